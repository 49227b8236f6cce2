import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DrError } from '../../../../core/contract/index.ts';
import { choosePaths } from '../../../../plugins/vmware/movers/choose.ts';
import type { Mover, MoverName } from '../../../../plugins/vmware/movers/mover.ts';
import { callOf } from './ground.ts';

const mover = (name: MoverName, writes: boolean): Mover => ({
  name,
  describe: () => `by ${name}, with its limits`,
  openRead: () => Promise.reject(new Error('not opened here')),
  ...(writes ? { openWrite: () => Promise.reject(new Error('not opened here')) } : {}),
  release: async () => undefined,
  close: async () => undefined,
});
const [nbd, hotadd, https] = [mover('nbd', true), mover('hotadd', true), mover('https', false)];

const chosen = (movers: readonly Mover[], asked?: MoverName) => {
  const { read, write } = choosePaths(movers, asked);
  return [read.name, write?.name];
};

describe('the way that data takes', () => {
  for (const [has, expected] of [
    [
      [nbd, hotadd, https],
      ['nbd', 'hotadd'],
    ],
    [
      [hotadd, https],
      ['hotadd', 'hotadd'],
    ],
    [
      [nbd, https],
      ['nbd', 'nbd'],
    ],
    [[https], ['https', undefined]],
  ] as const) {
    it(`is ${expected[0]} for reading and ${expected[1] ?? 'none'} for writing where there are ${has.map(({ name }) => name).join(', ')}`, () => {
      expect(chosen(has)).to.deep.equal(expected);
    });
  }

  it('is the one that the endpoint asks for, for reading only', () => {
    expect(chosen([nbd, hotadd, https], 'https')).to.deep.equal(['https', 'hotadd']);
    expect(chosen([nbd, hotadd, https], 'hotadd')).to.deep.equal(['hotadd', 'hotadd']);
  });

  for (const [asked, says, hint] of [
    ['nbd', /cannot read by nbd: no VDDK is named/, /set vddk/],
    ['hotadd', /cannot read by hotadd: no appliance is named/, /set appliance/],
  ] as const) {
    it(`is refused with what is missing where ${asked} is asked for and not there`, () => {
      expect(() => choosePaths([https], asked))
        .to.throw(says)
        .with.property('hint')
        .that.matches(hint);
    });
  }

  it('is told with its reason and its limits', async () => {
    const findings = await choosePaths([nbd, hotadd, https], undefined).findings(callOf());

    expect(findings.source).to.deep.include({ code: 'DATA_PATH', level: 'info' });
    expect(findings.source.message).to.equal('disks are read by nbd, with its limits (the best way that the endpoint has)');
    expect(findings.target.message).to.equal('replica disks are written by hotadd, with its limits');
    expect((await choosePaths([nbd], 'nbd').findings(callOf())).source.message).to.include('as the endpoint asks for');
  });

  it('is not for writing one that did not open, where another one did', async () => {
    const late: Mover = { ...hotadd, trouble: async () => new DrError('NOT_FOUND', 'the appliance is gone') };

    expect(chosen([nbd, late, https])).to.deep.equal(['nbd', 'nbd']);
    expect(chosen([late, https])).to.deep.equal(['hotadd', 'hotadd']);
    const { source, target } = await choosePaths([late, https], undefined).findings(callOf());
    expect([source.level, source.message]).to.deep.equal(['blocks', 'disks cannot be read by hotadd: the appliance is gone']);
    expect([target.level, target.message]).to.deep.equal(['blocks', 'disks cannot be written by hotadd: the appliance is gone']);
  });

  it('warns of HTTPS, and says what would make the endpoint a target', async () => {
    const paths = choosePaths([https], undefined);
    const findings = await paths.findings(callOf());

    expect(findings.source).to.deep.include({ level: 'warning', hint: 'set appliance or vddk at the endpoint' });
    expect(paths.write).to.equal(undefined);
    expect(findings.target).to.deep.include({ level: 'blocks', hint: 'set appliance or vddk at the endpoint' });
  });
});
