import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { demoEstate } from '../../../../adapters/lab/demo-estate.ts';
import type { EstateSpec, ProfileName } from '../../../../adapters/lab/port.ts';
import {
  type Baseline,
  type DiskId,
  isDrError,
  type Session,
  type SnapshotSource,
  type StreamingSource,
} from '../../../../core/contract/index.ts';
import { Bench, callOf, collect, createReplica, forkOf, replicate } from './replicate.ts';

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

const snapshots = (session: Session): SnapshotSource => {
  if (session.source?.kind !== 'snapshot') throw new Error('no snapshot source');
  return session.source;
};

/** One endpoint that is source and target. */
const loneEstate = (profile: ProfileName): EstateSpec => ({
  sites: [
    {
      name: 'site',
      endpoints: [
        {
          name: 'endpoint',
          profile,
          networks: ['net'],
          storage: [{ name: 'store', capacityBytes: 2 ** 30 }],
          machines: [{ name: 'm', disks: [{ sizeBytes: 2 ** 19 }, { sizeBytes: 2 ** 19 }], writesPerSecond: 400 }],
        },
      ],
    },
  ],
});

const setUp = async (profile: ProfileName) => {
  const bench = new Bench(loneEstate(profile));
  const session = await bench.connect('endpoint', profile);
  const machine = await bench.machineNamed('m');
  await session.source!.enableTracking(machine, callOf());
  const placed = await createReplica(session, await session.inventory.getMachine(machine, callOf()));
  return { bench, session, machine, placed };
};

const HYPERVISORS = ['vmware', 'hyperv', 'kvm'] as const;

for (const profile of HYPERVISORS) {
  describe(`the life of a replica in the shape of ${profile}`, () => {
    it('reaches every sealed state exactly, whatever cycles were abandoned and whatever was reset between', async () => {
      const step = fc.oneof(
        { weight: 4, arbitrary: fc.constant('cycle' as const) },
        { weight: 2, arbitrary: fc.constant('abandon' as const) },
        { weight: 1, arbitrary: fc.constant('reset' as const) },
        { weight: 1, arbitrary: fc.constant('reconnect' as const) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(step, fc.nat({ max: 120 })), { maxLength: 12 }), async (steps) => {
          const { bench, session: first, machine, placed } = await setUp(profile);
          await using _ = bench;
          let session = first;
          let sealed: ReadonlyMap<DiskId, Baseline> = new Map();
          for (const [what, ms] of steps) {
            await bench.advance(ms);
            if (what === 'reset') await bench.lab.control.call('lab.resetTracker', { machine });
            else if (what === 'reconnect') session = await bench.connect('endpoint', profile);
            else if (what === 'abandon') {
              const { id } = await snapshots(session).createSnapshot(
                [machine],
                { consistency: 'crash', orElse: 'crash', since: sealed },
                callOf(),
              );
              await bench.advance(ms);
              await snapshots(session).releaseSnapshot(id, 'abandoned', callOf());
            } else {
              const cycle = await replicate(session, machine, session, placed, sealed).catch(async (error: unknown) => {
                if (!isDrError(error, 'TRACKING_LOST')) throw error;
                for await (const { id } of snapshots(session).listSnapshots(callOf())) {
                  await snapshots(session).releaseSnapshot(id, 'abandoned', callOf());
                }
                return replicate(session, machine, session, placed);
              });
              const { truths } = await bench.lab.control.call('lab.truth', { snapshot: cycle.snapshot.id });
              const { digests } = await bench.inspect({ replica: placed.machine.id });
              expect(digests.map((row) => row.digest)).to.deep.equal(truths[0]!.digests.map((row) => row.digest));
              await snapshots(session).releaseSnapshot(cycle.snapshot.id, 'sealed', callOf());
              sealed = cycle.baselines;
            }
          }
          expect((await bench.leftovers()).filter((one) => one.kind === 'snapshot')).to.deep.equal([]);
        }),
        { numRuns: 25 },
      );
    });

    it('tells after promotion what the fork wrote since a baseline from before its first start, or that it cannot', async () => {
      const { bench, session, machine, placed } = await setUp(profile);
      await using _ = bench;
      await session.source!.enableTracking(placed.machine.id, callOf());
      await replicate(session, machine, session, placed);
      await session.power!.set(machine, 'off', callOf());
      const fork = await forkOf(session, placed);
      const source = snapshots(session);
      const want = { consistency: 'crash', orElse: 'crash' } as const;
      const before = await source.createSnapshot([fork.machine.id], { ...want, since: new Map() }, callOf());
      await source.releaseSnapshot(before.id, 'sealed', callOf());
      const content = await bench.inspect({ fork: fork.id });
      await session.power!.set(fork.machine.id, 'on', callOf());
      await bench.advance(2000);
      const { id } = await session.target!.forks!.promote(fork.id, callOf());
      await bench.advance(1000);

      const since = new Map(before.disks.map(({ disk, baseline }) => [disk, baseline!]));
      const after = await source.createSnapshot([id], { ...want, since }, callOf());
      const changed = collect(source.changedExtents(after.id, after.disks[0]!.disk, 0, callOf()));

      expect(await codeOf(changed)).to.equal(profile === 'kvm' ? 'TRACKING_LOST' : 'none');
      if (profile !== 'kvm') expect(await changed).not.to.deep.equal([]);
      expect((await bench.inspect({ machine: id })).digests).not.to.deep.equal(content.digests);
      expect((await bench.inspect({ machine: id })).verdict.consistent).to.equal(true);
    });

    it('ends a promotion that was stopped half way when it is promoted again', async () => {
      const { bench, session, machine, placed } = await setUp(profile);
      await using _ = bench;
      await replicate(session, machine, session, placed);
      await session.power!.set(machine, 'off', callOf());
      const fork = await forkOf(session, placed);
      await session.power!.set(fork.machine.id, 'on', callOf());
      await bench.advance(2000);
      const controller = new AbortController();
      const stopped = session.target!.forks!.promote(fork.id, callOf({ signal: controller.signal }));
      await bench.advance(25);
      controller.abort(new Error('stopped'));
      expect(await codeOf(stopped)).to.equal('Error: stopped');

      expect(await codeOf(session.target!.forks!.discard(fork.id, callOf()))).to.equal('STATE_CONFLICT');
      expect((await bench.inspect({ machine: fork.machine.id })).verdict.consistent).to.equal(true);
      const again = await session.target!.forks!.promote(fork.id, callOf());

      expect(again.id).to.equal(fork.machine.id);
      expect((await bench.status(again.id)).role).to.equal('machine');
      expect((await bench.inspect({ machine: again.id })).verdict.consistent).to.equal(true);
      expect((await bench.leftovers()).filter((one) => one.kind !== 'snapshot')).to.deep.equal([]);
    });
  });
}

describe('a replica under forks', () => {
  it('starts only when nothing runs on it, and is promoted only when no other fork does', async () => {
    const { bench, session, machine, placed } = await setUp('hyperv');
    await using _ = bench;
    await replicate(session, machine, session, placed);
    const [test, failover] = [await forkOf(session, placed), await forkOf(session, placed)];

    expect(await codeOf(session.power!.set(placed.machine.id, 'on', callOf()))).to.equal('STATE_CONFLICT');
    expect(await codeOf(session.target!.forks!.promote(failover.id, callOf()))).to.equal('STATE_CONFLICT');
    expect(await codeOf(session.target!.deleteReplica!(placed.machine.id, callOf()))).to.equal('STATE_CONFLICT');
    await session.target!.forks!.discard(test.id, callOf());
    expect(await codeOf(session.target!.forks!.promote(failover.id, callOf()))).to.equal('none');
  });

  it('is the fork itself at a vCenter, which therefore holds one at a time, and comes back as it was', async () => {
    const { bench, session, machine, placed } = await setUp('vmware');
    await using _ = bench;
    await replicate(session, machine, session, placed);
    const before = await session.inventory.getMachine(placed.machine.id, callOf());

    const fork = await forkOf(session, placed);
    expect(fork.machine.id).to.equal(placed.machine.id);
    expect(await codeOf(forkOf(session, placed))).to.equal('STATE_CONFLICT');
    await session.target!.forks!.discard(fork.id, callOf());

    expect(await session.inventory.getMachine(placed.machine.id, callOf())).to.deep.equal(before);
  });

  it('forgets, when its fork is discarded, every baseline that counted the content of the fork', async () => {
    const { bench, session, machine, placed } = await setUp('vmware');
    await using _ = bench;
    await session.source!.enableTracking(placed.machine.id, callOf());
    await replicate(session, machine, session, placed);
    await session.power!.set(machine, 'off', callOf());
    const fork = await forkOf(session, placed);
    await session.power!.set(fork.machine.id, 'on', callOf());
    await bench.advance(1000);
    const take = (since: ReadonlyMap<DiskId, Baseline>) =>
      snapshots(session).createSnapshot([placed.machine.id], { consistency: 'crash', orElse: 'crash', since }, callOf());
    const { disk, baseline } = (await take(new Map())).disks[0]!;

    await session.target!.forks!.discard(fork.id, callOf());

    const { id } = await take(new Map([[disk, baseline!]]));
    expect(await codeOf(collect(snapshots(session).changedExtents(id, disk, 0, callOf())))).to.equal('TRACKING_LOST');
  });

  it('as a clone runs beside it, and the replica may be written meanwhile', async () => {
    const { bench, session, machine, placed } = await setUp('vmware');
    await using _ = bench;
    const { baselines } = await replicate(session, machine, session, placed);
    const fork = await forkOf(session, placed, { mode: 'clone' });
    await session.power!.set(machine, 'off', callOf());
    await session.power!.set(fork.machine.id, 'on', callOf());
    await bench.advance(1000);

    await replicate(session, machine, session, placed, baselines);
    expect((await bench.status(fork.machine.id)).guestUp).to.equal(true);
    expect((await bench.inspect({ fork: fork.id })).verdict.consistent).to.equal(true);
  });
});

describe('the way back', () => {
  it('adopts the original that is off and brings it to the state of the recovery site by differences', async () => {
    await using bench = new Bench(demoEstate({ diskBytes: 4 << 20 }));
    const protectedSite = await bench.connect('vmm-a', 'hyperv');
    const recoverySite = await bench.connect('vcenter-b', 'vmware');
    const machine = await bench.machineNamed('erp-db');
    const original = await protectedSite.inventory.getMachine(machine, callOf());
    const placed = await createReplica(recoverySite, original);
    await recoverySite.source!.enableTracking(placed.machine.id, callOf());
    await protectedSite.power!.set(machine, 'shutdown', callOf());
    await replicate(protectedSite, machine, recoverySite, placed);
    const fork = await forkOf(recoverySite, placed);
    const want = { consistency: 'crash', orElse: 'crash', since: new Map() } as const;
    const start = await snapshots(recoverySite).createSnapshot([fork.machine.id], want, callOf());
    await recoverySite.power!.set(fork.machine.id, 'on', callOf());
    await bench.advance(2000);
    const home = await recoverySite.target!.forks!.promote(fork.id, callOf());

    const adopted = await protectedSite.target!.adoptReplica(machine, home.spec, callOf());
    const since = new Map(start.disks.map(({ disk, baseline }) => [disk, baseline!]));
    const { copiedBytes, snapshot } = await replicate(recoverySite, home.id, protectedSite, adopted, since);

    const { truths } = await bench.lab.control.call('lab.truth', { snapshot: snapshot.id });
    const { digests, verdict } = await bench.inspect({ replica: machine });
    expect(digests.map((row) => row.digest)).to.deep.equal(truths[0]!.digests.map((row) => row.digest));
    expect(verdict.consistent).to.equal(true);
    expect(copiedBytes).to.be.lessThan(3 << 20);
    expect(await bench.violations()).to.deep.equal([]);
  });

  it('makes room on a hypervisor for what the source has more of, and says so where it cannot', async () => {
    await using bench = new Bench();
    const [hypervisor, server] = [await bench.connect('vmm-a', 'hyperv'), await bench.connect('servers-a', 'physical')];
    const [web, ledger] = [await bench.machineNamed('erp-web'), await bench.machineNamed('ledger')];
    const { spec } = await hypervisor.inventory.getMachine(web, callOf());
    const [boot] = spec.disks;
    const grown = { ...boot!, id: 'source-0' as DiskId, sizeBytes: 2 << 20 };
    const more = { ...boot!, id: 'source-1' as DiskId, slot: '0:1', boot: false };
    await hypervisor.power!.set(web, 'off', callOf());
    await server.power!.set(ledger, 'off', callOf());

    const roomy = await hypervisor.target!.adoptReplica(web, { ...spec, disks: [grown, more] }, callOf());
    const tight = await server.target!.adoptReplica(ledger, { ...spec, disks: [grown, more] }, callOf());

    expect(roomy.machine.spec.disks.map((disk) => disk.sizeBytes)).to.deep.equal([2 << 20, 1 << 20]);
    expect(roomy.disks.get(grown.id)).to.equal(boot!.id);
    expect([...roomy.disks.keys()]).to.deep.equal([grown.id, more.id]);
    expect(tight.disks.size).to.equal(0);
    expect(tight.findings.map((finding) => [finding.code, finding.level])).to.deep.equal([
      ['DISK_DOES_NOT_FIT', 'blocks'],
      ['DISK_DOES_NOT_FIT', 'blocks'],
    ]);
  });

  it('of a physical server begins with a comparison when its tracker was lost, before any pass', async () => {
    await using bench = new Bench();
    const session = await bench.connect('servers-a', 'physical');
    const machine = await bench.machineNamed('ledger');
    await session.source!.enableTracking(machine, callOf());
    const source = session.source as StreamingSource;
    const capture = async (since: ReadonlyMap<DiskId, Baseline>) => {
      const passes = await collect(
        source.capture(machine, { consistency: 'crash', orElse: 'refuse', since, maxFreezeMs: 1000, afterFinal: 'thaw' }, callOf()),
      );
      return new Map(passes.at(-1)!.disks.map((disk) => [disk.disk, disk.baseline!]));
    };
    const baselines = await capture(new Map());
    expect((await capture(baselines)).size).to.equal(1);

    await bench.lab.control.call('lab.powerCut', { machine });

    expect(await codeOf(capture(baselines))).to.equal('TRACKING_LOST');
  });
});
