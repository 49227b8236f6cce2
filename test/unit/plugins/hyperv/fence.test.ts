import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Call, Fork } from '../../../../core/contract/index.ts';
import { callOf, crash, epoch, errorOf, forkOf, forks, type Made, made, snapshotSource } from './ground.ts';

const OLD = epoch(1);
const NEW = epoch(2, 'site-b');

const advance = async ({ session, replica }: Made) => {
  await session.fence!.advance(replica, undefined, OLD, callOf());
  await session.fence!.advance(replica, OLD, NEW, callOf());
};

describe('an older epoch', () => {
  const methods: readonly (readonly [string, (one: Made, call: Call) => Promise<unknown>])[] = [
    ['power', ({ session, replica }, call) => session.power!.set(replica, 'on', call)],
    ['adoptReplica', ({ session, replica, source }, call) => session.target!.adoptReplica(replica, source.spec, call)],
    ['reshapeReplica', ({ session, replica, source }, call) => session.target!.reshapeReplica(replica, source.spec, call)],
    [
      'deleteReplicaDisk',
      ({ session, replica, placed }, call) => session.target!.deleteReplicaDisk(replica, placed.machine.spec.disks[0]!.id, call),
    ],
    ['deleteReplica', ({ session, replica }, call) => session.target!.deleteReplica!(replica, call)],
    [
      'openReplicaDisk',
      ({ session, replica, placed }, call) => session.target!.openReplicaDisk(replica, placed.machine.spec.disks[0]!.id, call),
    ],
    ['forks.create', (one, call) => forkOf(one, { call })],
    [
      'connectNic',
      ({ session, replica, placed }, call) => session.network!.connectNic(replica, [...placed.nics.values()][0]!, 'disconnected', call),
    ],
    ['setGuestAddresses', ({ session, replica }, call) => session.network!.setGuestAddresses(replica, new Map(), call)],
    ['isolate', ({ session, replica }, call) => session.fence!.isolate(replica, call)],
  ];
  for (const [name, work] of methods) {
    it(`is refused by ${name} before anything has changed, also with the same number of another holder`, async () => {
      await using one = await made();
      await advance(one);
      const from = one.ground.seen.length;

      for (const fence of [OLD, epoch(2, 'site-c')]) expect((await errorOf(work(one, callOf({ fence })))).code).to.equal('FENCED');

      expect(one.ground.cmdlets(from).filter((cmdlet) => !cmdlet.startsWith('Get-'))).to.deep.equal([]);
    });
  }

  for (const [mode, purpose] of [
    ['overlay', 'failover'],
    ['overlay', 'test'],
    ['clone', 'failover'],
  ] as const) {
    it(`is refused by what there is of a fork (${mode} for a ${purpose})`, async () => {
      await using one = await made();
      const { session, ground } = one;
      await advance(one);
      const fork = await forkOf(one, { mode, purpose, call: { fence: NEW } });
      const from = ground.seen.length;
      const [disk] = fork.machine.spec.disks;

      for (const work of [
        (call: Call) => session.power!.set(fork.machine.id, 'on', call),
        (call: Call) => forks(session).openDisk(fork.id, disk!.id, call),
        (call: Call) => forks(session).promote(fork.id, call),
        (call: Call) => forks(session).discard(fork.id, call),
      ])
        expect((await errorOf(work(callOf({ fence: OLD })))).code).to.equal('FENCED');

      expect(ground.cmdlets(from).filter((cmdlet) => !cmdlet.startsWith('Get-'))).to.deep.equal([]);
    });

    for (const end of ['discard', 'promote'] as const) {
      if (end === 'promote' && purpose === 'test') continue;
      it(`is none again once a fork (${mode} for a ${purpose}) has come to its end by ${end}`, async () => {
        await using one = await made();
        const { session, replica } = one;
        await session.fence!.advance(replica, undefined, OLD, callOf());
        const fork = await forkOf(one, { mode, purpose, call: { fence: OLD } });
        await session.fence!.advance(replica, OLD, NEW, callOf());

        await forks(session)[end](fork.id, callOf({ fence: NEW }));

        const left = end === 'discard' ? replica : fork.machine.id;
        expect(await session.fence!.read(left, callOf())).to.deep.equal(NEW);
      });
    }
  }

  it('does not come back with a fork that another process makes again', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    await session.fence!.advance(replica, undefined, OLD, callOf());
    await ground.cutOff({ after: 4, how: 'killed' }, (more) => forkOf(one, { call: { operationId: 'fork', fence: OLD, ...more } }));
    const next = await ground.connect();
    await next.fence!.advance(replica, OLD, NEW, callOf());

    const fork = await forkOf({ ...one, session: next }, { call: { operationId: 'fork', fence: NEW } });

    expect(fork.machine.id).to.equal(replica);
    expect(await next.fence!.read(replica, callOf())).to.deep.equal(NEW);
  });

  it('does not come back with a discard that ends right after the checkpoint was applied', async () => {
    for (let after = 1; ; after++) {
      await using one = await made();
      const { ground, session, replica } = one;
      await session.fence!.advance(replica, undefined, OLD, callOf());
      const fork = await forkOf(one, { call: { fence: OLD } });
      await session.fence!.advance(replica, OLD, NEW, callOf());
      const isCut = await ground.cutOff({ after, how: 'killed' }, (more) =>
        forks(session).discard(fork.id, callOf({ fence: NEW, ...more })),
      );
      const next = await ground.connect();

      await forks(next).discard(fork.id, callOf({ fence: NEW }));

      expect(await next.fence!.read(replica, callOf()), `${after}`).to.deep.equal(NEW);
      if (!isCut) break;
    }
  });

  it('of two sessions that race is held by one', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    const other = await ground.connect('installation-2');
    const results = await Promise.allSettled([
      session.fence!.advance(replica, undefined, epoch(1, 'a'), callOf()),
      other.fence!.advance(replica, undefined, epoch(1, 'b'), callOf()),
    ]);

    expect(results.map(({ status }) => status).sort()).to.deep.equal(['fulfilled', 'rejected']);
  });

  it('ends a writer at its next flush, when another session has advanced it', async () => {
    await using one = await made();
    const { ground, session, replica, placed } = one;
    await session.fence!.advance(replica, undefined, OLD, callOf());
    await using writer = await session.target!.openReplicaDisk(replica, placed.machine.spec.disks[0]!.id, callOf({ fence: OLD }));
    const other = await ground.connect();
    await other.fence!.advance(replica, OLD, NEW, callOf());

    expect((await errorOf(writer.flush(callOf({ fence: OLD })))).code).to.equal('FENCED');
    expect((await errorOf(writer.write(0, new Uint8Array(512), callOf({ fence: OLD })))).code).to.equal('FENCED');
  });
});

describe('a fork that is discarded', () => {
  it('takes along the checkpoints, cycles and reference points that came while it was there', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    const fork: Fork = await forkOf(one);
    const source = snapshotSource(session);
    const first = await source.createSnapshot([replica], crash(), callOf());
    await source.releaseSnapshot(first.id, 'sealed', callOf());
    await source.createSnapshot([replica], crash(), callOf());
    await ground.byHand([
      { cmdlet: 'Get-VM', params: { Id: replica } },
      { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'nightly' } },
    ]);

    await forks(session).discard(fork.id, callOf());

    const { checkpoints, referencePoints, notes } = ground.hv(replica);
    expect(checkpoints).to.deep.equal([]);
    expect(referencePoints).to.deep.equal([]);
    expect(notes).not.to.include('cycle');
    expect(ground.files().filter((path) => path.includes('.avhdx'))).to.deep.equal([]);
    expect(await ground.leftovers()).to.deep.equal([`replica ${replica}`]);
  });

  it('takes along what somebody has tried in a test', async () => {
    await using one = await made();
    const { ground, session } = one;
    const before = ground.files().length;
    const fork = await forkOf(one, { purpose: 'test' });
    await session.power!.set(fork.machine.id, 'on', callOf());
    await ground.byHand([
      { cmdlet: 'Get-VM', params: { Id: fork.machine.id } },
      { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'before the upgrade' } },
    ]);

    await forks(session).discard(fork.id, callOf());

    expect(ground.files()).to.have.length(before);
  });
});
