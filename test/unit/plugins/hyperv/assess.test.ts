import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { PsRow, Step } from '../../../../adapters/powershell/port.ts';
import { callOf, codesOf, crash, Ground, made, snapshotSource, WEB } from './ground.ts';

type Ready = { readonly ground: Ground; readonly session: Awaited<ReturnType<Ground['connect']>>; readonly id: never };

const enumOf = (name: string) => ({ name, value: 0 });
/** Rows with this property are seen with these values. */
const seen = (has: string, more: PsRow) => (row: PsRow, _: Step) => (has in row ? { ...row, ...more } : row);

const ways: readonly (readonly [string, 'warning' | 'blocks' | 'info', (at: Ready) => unknown])[] = [
  ['DISK_PASS_THROUGH', 'blocks', ({ ground }) => ground.rewrite(seen('ControllerType', { DiskNumber: 3, Path: 'Disk 3' }))],
  ['DISK_SHARED', 'blocks', ({ ground }) => ground.rewrite(seen('SupportPersistentReservations', { SupportPersistentReservations: true }))],
  ['DISK_PMEM', 'blocks', ({ ground }) => ground.rewrite(seen('ControllerType', { ControllerType: enumOf('PMEM') }))],
  ['DISK_IS_VHD', 'blocks', ({ ground }) => ground.rewrite(seen('VhdFormat', { VhdFormat: enumOf('VHD') }))],
  ['DISK_IDENTITY_DOUBLE', 'blocks', ({ ground }) => ground.rewrite(seen('DiskIdentifier', { DiskIdentifier: 'SAME' }))],
  [
    'DISK_UNREADABLE',
    'blocks',
    ({ ground }) => ground.rewrite((row, step) => (step.cmdlet === 'Get-VHD' ? { ...row, Path: 'elsewhere' } : row)),
  ],
  ['NO_DISKS', 'blocks', ({ ground, id }) => Object.assign(ground.hv(id), { drives: [] })],
  ['VERSION_OLD', 'blocks', ({ ground }) => ground.rewrite(seen('Version', { Version: '5.0' }))],
  ['PROTECTED_ELSEWHERE', 'blocks', ({ ground }) => ground.rewrite(seen('ReplicationMode', { ReplicationMode: enumOf('Primary') }))],
  ['TPM_IS_NEW', 'warning', ({ ground, id }) => Object.assign(ground.hv(id), { tpm: true })],
  ['MERGING', 'info', ({ ground }) => ground.rewrite(seen('OperationalStatus', { OperationalStatus: [enumOf('MergingDisks')] }))],
  ['POWERED_OFF', 'info', ({ session, id }) => session.power!.set(id, 'off', callOf())],
  [
    'SNAPSHOTS_PRESENT',
    'warning',
    ({ ground, id }) =>
      ground.byHand([
        { cmdlet: 'Get-VM', params: { Id: id } },
        { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'by hand' } },
      ]),
  ],
  [
    'BACKUP_RUNNING',
    'warning',
    async ({ ground, id }) => {
      const other = await ground.connect('installation-2');
      await snapshotSource(other).createSnapshot([id], crash(), callOf());
      ground.hv(id).notes = '';
    },
  ],
];

describe('the assessment of a machine', () => {
  for (const [code, level, spoil] of ways) {
    it(`says ${code}, with a next step`, async () => {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const { id } = await ground.machine(session, 'web');
      await spoil({ ground, session, id: id as never });

      const found = (await session.inventory.checkProtectable(id, 'source', callOf())).find((one) => one.code === code);

      expect(found?.level).to.equal(level);
      expect(found?.hint).to.match(/^[a-z].+[^.]$/);
    });
  }

  it('finds nothing to say of a sound machine but how its data goes', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');

    expect(codesOf(await session.inventory.checkProtectable(id, 'source', callOf()))).to.deep.equal(['DATA_PATH']);
  });

  it('blocks a target with checkpoints of others, and not with ours', async () => {
    await using ground = await Ground.create({ machines: [WEB] });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    await snapshotSource(session).createSnapshot([id], crash(), callOf());
    expect(codesOf(await session.inventory.checkProtectable(id, 'target', callOf()))).to.deep.equal(['DATA_PATH']);
    await ground.byHand([
      { cmdlet: 'Get-VM', params: { Id: id } },
      { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'by hand' } },
    ]);

    const found = await session.inventory.checkProtectable(id, 'target', callOf());

    expect(found.find(({ code }) => code === 'SNAPSHOTS_PRESENT')?.level).to.equal('blocks');
  });

  it('says that a replica is one', async () => {
    await using one = await made();

    expect(codesOf(await one.session.inventory.checkProtectable(one.replica, 'source', callOf()))).to.include('IS_REPLICA');
  });
});

describe('the check of an endpoint', () => {
  it('names each host and its agent, and how data goes', async () => {
    await using ground = await Ground.create({ kind: 'cluster' });
    const session = await ground.connect();

    const found = await session.check(callOf());

    expect(codesOf(found)).to.deep.equal(['HOST', 'AGENT', 'HOST', 'AGENT', 'DATA_PATH']);
  });

  it('names the clouds of a VMM server, and says when it cannot', async () => {
    await using ground = await Ground.create({ kind: 'vmm', endpoint: { pools: ['silver', 'gold'] } });
    const session = await ground.connect();
    const found = await session.check(callOf());
    await ground.fault({ method: 'ps.Get-SCCloud', times: 1, act: { error: 'PERMISSION_DENIED' } });
    const silent = await session.check(callOf());

    expect(found[0]?.message).to.match(/: VMM, clouds gold, silver$/);
    expect(silent[0]).to.include({ code: 'MANAGER_SILENT', level: 'warning' });
    expect(codesOf(silent).slice(1)).to.deep.equal(codesOf(found).slice(1));
  });

  for (const [what, code, spoil] of [
    [
      'a node that is down',
      'HOST_SILENT',
      (ground) => ground.estate.control.call('lab.setHost', { endpoint: 'endpoint', host: 'hv-2', up: false }),
    ],
    [
      'a node that has been down for long',
      'HOST_SILENT',
      async (ground) => {
        await ground.estate.control.call('lab.setHost', { endpoint: 'endpoint', host: 'hv-2', up: false });
        await ground.estate.control.call('lab.advance', { ms: 60_000 });
      },
    ],
    [
      'a service that is stopped',
      'HOST_SILENT',
      (ground) => ground.fault({ method: 'ps.Get-VMHost', times: 1, act: { vmmsStopsMs: 60_000 } }),
    ],
    ['an agent that does not answer', 'AGENT_SILENT', (ground) => Object.assign(ground, { noAgents: true })],
  ] as readonly (readonly [string, string, (ground: Ground) => unknown])[]) {
    it(`names ${what}, with a next step`, async () => {
      await using ground = await Ground.create({ kind: 'cluster' });
      const session = await ground.connect();
      await session.inventory.listPlaces('host', callOf())[Symbol.asyncIterator]().next();
      await spoil(ground);

      const found = await session.check(callOf());

      const one = found.find((row) => row.code === code);
      expect(one?.level).to.equal('warning');
      expect(one?.hint).to.be.a('string').and.not.equal('');
      if (code === 'AGENT_SILENT') expect(found.at(-1)).to.deep.include({ code: 'DATA_PATH', level: 'warning' });
    });
  }

  it('says of a node of a cluster that was added alone what would be lost', async () => {
    await using ground = await Ground.create({ kind: 'cluster' });
    const session = await ground.connect(undefined, { kind: 'host', address: 'hv-1' });

    expect(codesOf(await session.check(callOf()))).to.include('IS_CLUSTER_NODE');
  });
});
