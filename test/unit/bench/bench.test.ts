import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const NAMES = [
  'cold-start',
  'plugin-call',
  'journal-apply',
  'pump',
  'first-copy-sparse',
  'machines-1000',
  'vsphere-client',
  'hyperv-inventory',
  'vsphere-inventory',
];

const bench = async (...args: readonly string[]): Promise<{ code: number; out: string; err: string }> => {
  const child = spawn(process.execPath, ['bench/main.ts', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (part: Buffer) => {
    out += String(part);
  });
  child.stderr.on('data', (part: Buffer) => {
    err += String(part);
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
};

describe('the benchmarks', () => {
  it('all run, and print one JSON object a line with name, value and unit, and a ratio wherever there is a peer', async function () {
    this.timeout(120_000);
    const { code, out, err } = await bench('--quick', '--json');

    expect(code, err).to.equal(0);
    const figures = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const figure of figures) {
      expect(Object.keys(figure)).to.include.members(['name', 'value', 'unit']);
      expect(['name', 'value', 'unit', 'peer', 'ratio']).to.include.members(Object.keys(figure));
      expect(figure['value'], String(figure['name'])).to.be.a('number').and.to.be.above(0);
      expect('peer' in figure).to.equal('ratio' in figure);
    }
    expect([...new Set(figures.map(({ name }) => String(name).split(' ')[0]))]).to.deep.equal(NAMES);
  });

  it('name what there is when a name is not known', async () => {
    const { code, out, err } = await bench('cold-stat');

    expect(code).to.equal(2);
    expect(out).to.equal('');
    for (const name of NAMES) expect(err).to.include(name);
  });
});
