import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DATA_PATH, type Finding } from '../../../core/contract/index.ts';
import type { DryRun } from '../../../core/engine/operations-recover.ts';
import { PinnedHome } from '../../support/pinned-home.ts';

const FIRST = `5f0a91c2${'11'.repeat(28)}`;
const SECOND = `77c3d00e${'22'.repeat(28)}`;
const shownAs = (pin: string): string => pin.toUpperCase().match(/../g)?.join(':') ?? '';

describe('endpoint add', () => {
  it('shows the fingerprint to a person, and stores it with the endpoint once that was answered with yes', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });

    const { code, err, out } = await home.add([], ['yes']);

    expect(code).to.equal(0);
    expect(err)
      .to.include('nobody vouches for the endpoint')
      .and.to.include(`shown now        ${shownAs(FIRST)}`);
    expect(out).to.include('endpoint vc-a is there');
    expect(await home.config()).to.deep.equal({ address: home.address, pin: FIRST });
  });

  for (const typed of ['', 'y', 'YES', 'no', FIRST]) {
    it(`stores nothing when ${JSON.stringify(typed.slice(0, 8))} is typed instead`, async () => {
      using home = await PinnedHome.create({ fingerprint: FIRST });

      const { code } = await home.add([], [typed]);

      expect(code).to.equal(6);
      expect(await home.config()).to.equal(undefined);
    });
  }

  it('asks nobody without a terminal: it stores nothing and gives the command that accepts this fingerprint', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });

    const refused = await home.add();
    const before = await home.config();
    const repeated = await home.repeat(refused.err);

    expect(refused.code).to.equal(6);
    expect(refused.err)
      .to.include(`compare ${shownAs(FIRST)} with what the server shows at its console`)
      .and.not.to.include('Type yes');
    expect(refused.err).to.include(`warmsite endpoint add vc-a --site site-a --plugin pinned --set address=${home.address} --pin ${FIRST}`);
    expect(before).to.equal(undefined);
    expect(repeated.code).to.equal(0);
    expect(await home.config()).to.include({ pin: FIRST });
  });

  it('asks nothing when the pin is given, and refuses an endpoint that shows another one', async () => {
    using home = await PinnedHome.create({ fingerprint: SECOND });

    const refused = await home.add(['--pin', shownAs(FIRST)], ['yes']);
    home.show({ fingerprint: FIRST });
    const asSetting = await home.add(['--set', `pin=${SECOND}`], ['yes']);

    expect([refused.code, asSetting.code]).to.deep.equal([6, 6]);
    expect(refused.err + asSetting.err).not.to.include('Type yes');
    expect(refused.err).to.include(`the server shows ${shownAs(SECOND)}: ask its administrator`);
    const added = await home.add(['--pin', shownAs(FIRST)]);
    expect(added.code).to.equal(0);
  });
});

describe('endpoint trust', () => {
  it('shows the old and the new fingerprint, and takes the first digits of the new one', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);
    home.show({ fingerprint: SECOND });

    const { code, err, out } = await home.run(['endpoint', 'trust', 'vc-a'], { typed: [SECOND.slice(0, 8)] });

    expect(code).to.equal(0);
    expect(err)
      .to.include(`shown now        ${shownAs(SECOND)}`)
      .and.to.include(`accepted before  ${shownAs(FIRST)}`);
    expect(out).to.include(`endpoint vc-a is known by ${shownAs(SECOND)} now`);
    expect(await home.config()).to.include({ pin: SECOND });
    expect((await home.run(['endpoint', 'check', 'vc-a'])).code).to.equal(0);
  });

  it('changes nothing without a terminal, and gives the command that accepts this fingerprint', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);
    home.show({ fingerprint: SECOND });

    const refused = await home.run(['endpoint', 'trust', 'vc-a']);
    const wrong = await home.run(['endpoint', 'trust', 'vc-a', '--confirm', FIRST.slice(0, 8)]);
    const before = await home.config();
    const repeated = await home.repeat(refused.err);

    expect([refused.code, wrong.code]).to.deep.equal([2, 2]);
    expect(refused.err).to.include('CONFIRMATION_NEEDED').and.to.include(`warmsite endpoint trust vc-a --pin ${SECOND}`);
    expect(before).to.include({ pin: FIRST });
    expect(repeated.code).to.equal(0);
    expect(await home.config()).to.include({ pin: SECOND });
  });

  it('takes the first digits with --confirm', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);
    home.show({ fingerprint: SECOND });

    expect((await home.run(['endpoint', 'trust', 'vc-a', '--confirm', SECOND.slice(0, 8)])).code).to.equal(0);
    expect(await home.config()).to.include({ pin: SECOND });
  });

  it('has nothing to ask of an endpoint that is who it was', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);

    const { code, out } = await home.run(['endpoint', 'trust', 'vc-a'], { typed: [] });

    expect(code).to.equal(0);
    expect(out).to.include('needs no trust').and.to.include(shownAs(FIRST));
  });

  it('shows the key of a host as OpenSSH does', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST, refusal: 'HOST_KEY_MISMATCH' });

    const { err } = await home.add([], ['no']);

    expect(err).to.include(`shown now        SHA256:${Buffer.from(FIRST, 'hex').toString('base64').replace('=', '')}`);
  });
});

describe('endpoint set', () => {
  it('changes fields and leaves the others as they are', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);

    const set = await home.run(['endpoint', 'set', 'vc-a', '--set', 'user=ada']);
    const unset = await home.run(['endpoint', 'set', 'vc-a', '--unset', 'user']);
    const nothing = await home.run(['endpoint', 'set', 'vc-a']);

    expect(set.out).to.include('endpoint vc-a has changed: user');
    expect(unset.out).to.include('endpoint vc-a has changed: user');
    expect(nothing.code).to.equal(2);
    expect(await home.config()).to.deep.equal({ address: home.address, pin: FIRST });
  });

  it('asks about the identity of a new address, beside the one that was accepted', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST });
    await home.add(['--pin', FIRST]);
    const moved = join(home.folder, 'moved.json');
    home.show({ fingerprint: SECOND }, moved);
    const args = ['endpoint', 'set', 'vc-a', '--set', `address=${moved}`];

    const refused = await home.run(args);
    const accepted = await home.run(args, { typed: ['yes'] });

    expect(refused.code).to.equal(6);
    expect(refused.err).to.include(`warmsite endpoint set vc-a --set address=${moved} --pin ${SECOND}`);
    expect(accepted.err).to.include(`accepted before  ${shownAs(FIRST)}`);
    expect(accepted.code).to.equal(0);
    expect(await home.config()).to.deep.equal({ address: moved, pin: SECOND });
  });
});

describe('the way that data takes', () => {
  const path = (message: string, more: Partial<Finding> = {}): Finding => ({
    code: DATA_PATH,
    level: 'info',
    message,
    hint: 'nothing to do',
    ...more,
  });
  const reads = path('disks are read over the network, since no appliance is given: at most 8 at a time', { hint: 'name an appliance' });

  it('is shown with its reason when an endpoint is added and checked', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST, signed: true, checks: [reads, path('nothing better is known')] });

    const added = await home.add();
    const checked = await home.run(['endpoint', 'check', 'vc-a']);

    for (const { out } of [added, checked]) {
      expect(out).to.include(`  data  ${reads.message}; next: name an appliance\n`);
      expect(out).to.include('  data  nothing better is known\n');
    }
  });

  it('is shown by an assessment with the number of machines, wide with their names', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST, signed: true, assessed: { source: [reads] } });
    await home.add();

    const table = await home.run(['machine', 'assess']);
    const wide = await home.run(['machine', 'assess', '-o', 'wide']);

    expect(table.out).to.include('1 ready').and.to.include(`how their disks would be read\n  1 of 1: ${reads.message}\n`);
    expect(table.out).not.to.include(`${reads.message}\n    name of m1`);
    expect(wide.out).to.include(`${reads.message}\n    name of m1\n`);
  });

  it('is shown by a dry run of protect for the machine and both of its ends', async () => {
    using home = await PinnedHome.create({
      fingerprint: FIRST,
      signed: true,
      checks: [path('reads by NBD')],
      assessed: { source: [path('this one by HotAdd')] },
    });
    await home.add();
    const other = join(home.folder, 'vc-b.json');
    home.show({ fingerprint: SECOND, signed: true, checks: [path('writes by HotAdd', { level: 'warning', hint: 'add room' })] }, other);
    await home.run(['endpoint', 'add', 'vc-b', '--site', 'site-b', '--plugin', 'pinned', '--set', `address=${other}`]);
    const args = ['protect', 'vc-a/m1', '--to', 'site-b', '--dry-run'];

    const { code, out } = await home.run(args);
    const { data } = await home.json<{ data: DryRun }>(args);

    expect(code).to.equal(0);
    expect(out).to.include('  at vc-a: data  reads by NBD\n');
    expect(out).to.include('  at vc-b: warn  writes by HotAdd; next: add room\n');
    expect(out).to.include('      data  this one by HotAdd\n');
    expect(data.dataPaths?.map(({ endpoint, message }) => `${endpoint} ${message}`)).to.deep.equal([
      'vc-a reads by NBD',
      'vc-b writes by HotAdd',
    ]);
  });

  it('is shown by a dry run for a seed too, and what stands in the way of the seed', async () => {
    using home = await PinnedHome.create({ fingerprint: FIRST, signed: true });
    await home.add();
    const other = join(home.folder, 'vc-b.json');
    const blocks = { code: 'HAS_FORKS', level: 'blocks', message: 'forks run on the seed', hint: 'discard them' } as const;
    home.show({ fingerprint: SECOND, signed: true, assessed: { target: [path('the seed is written by HotAdd'), blocks] } }, other);
    await home.run(['endpoint', 'add', 'vc-b', '--site', 'site-b', '--plugin', 'pinned', '--set', `address=${other}`]);

    const { code, out } = await home.run(['protect', 'vc-a/m1', '--to', 'site-b', '--seed', 'm1', '--dry-run']);

    expect(code).to.equal(8);
    expect(out).to.include('not now: forks run on the seed').and.to.include('data  the seed is written by HotAdd');
    expect(out).to.include('adopt the seed as the replica');
  });
});
