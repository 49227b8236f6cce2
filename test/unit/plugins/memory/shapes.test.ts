import { expect } from 'chai';
import { describe, it } from 'mocha';
import { demoEstate } from '../../../../adapters/lab/demo-estate.ts';
import { type ErrorCode, isDrError, type MachineId, type SnapshotSource, type StreamingSource } from '../../../../core/contract/index.ts';
import { Bench, callOf, collect, createReplica, epoch, firstPlace, forkOf, replicate, stream } from './replicate.ts';

const rejection = async (promise: Promise<unknown>): Promise<ErrorCode | 'none' | 'foreign'> =>
  promise.then(
    () => 'none' as const,
    (error: unknown) => (isDrError(error) ? error.code : 'foreign'),
  );

const digests = (report: { readonly digests: readonly { readonly digest: string }[] }) => report.digests.map((row) => row.digest);

const SNAPSHOT_SHAPES = [
  { shape: 'vmware', source: 'vcenter-a', target: 'vcenter-b', machine: 'shop-db' },
  { shape: 'hyperv', source: 'vmm-a', target: 'vmm-b', machine: 'erp-db' },
] as const;

for (const { shape, source: sourceName, target: targetName, machine: name } of SNAPSHOT_SHAPES) {
  describe(`a ${shape} machine with two disks`, () => {
    const setUp = async () => {
      const bench = new Bench(demoEstate({ diskBytes: 4 << 20 }));
      const source = await bench.connect(sourceName, shape);
      const target = await bench.connect(targetName, shape);
      const machine = await bench.machineNamed(name);
      await source.source!.enableTracking(machine, callOf());
      const placed = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
      return { bench, source, target, machine, placed };
    };

    it('is identical at the other side after a first copy and after deltas, which carry less', async () => {
      const { bench, source, target, machine, placed } = await setUp();
      await using _ = bench;

      let cycle = await replicate(source, machine, target, placed);
      const first = cycle.copiedBytes;
      for (let round = 0; round < 5; round++) {
        await bench.advance(150);
        await (source.source as SnapshotSource).releaseSnapshot(cycle.snapshot.id, 'sealed', callOf());
        cycle = await replicate(source, machine, target, placed, cycle.baselines);
        const { truths } = await bench.lab.control.call('lab.truth', { snapshot: cycle.snapshot.id });
        expect(digests(await bench.inspect({ replica: placed.machine.id }))).to.deep.equal(digests(truths[0]!));
      }

      expect(cycle.copiedBytes).to.be.lessThan(first);
      expect((await bench.inspect({ replica: placed.machine.id })).verdict.consistent).to.equal(true);
    });

    it('boots on a fork of the replica without changing it, and the fork leaves nothing behind', async () => {
      const { bench, source, target, machine, placed } = await setUp();
      await using _ = bench;
      const { snapshot } = await replicate(source, machine, target, placed);
      const before = await bench.inspect({ replica: placed.machine.id });

      const fork = await forkOf(target, placed);
      await target.power!.set(fork.machine.id, 'on', callOf());
      await bench.advance(5000);
      const status = await bench.status(fork.machine.id);
      expect(status.guestUp).to.equal(true);
      expect(status.transactions).to.be.greaterThan(0);
      expect(digests(await bench.inspect({ fork: fork.id }))).not.to.deep.equal(digests(before));
      await target.target!.forks!.discard(fork.id, callOf());

      expect(digests(await bench.inspect({ replica: placed.machine.id }))).to.deep.equal(digests(before));
      await (source.source as SnapshotSource).releaseSnapshot(snapshot.id, 'sealed', callOf());
      await target.target!.deleteReplica!(placed.machine.id, callOf());
      expect(await bench.leftovers()).to.deep.equal([]);
      expect(await bench.violations()).to.deep.equal([]);
    });

    it('goes on without a break while its fork is promoted under it', async () => {
      const { bench, source, target, machine, placed } = await setUp();
      await using _ = bench;
      await replicate(source, machine, target, placed);
      const fork = await forkOf(target, placed);
      await target.power!.set(fork.machine.id, 'on', callOf());
      await bench.advance(3000);

      const remains = await target.target!.forks!.promote(fork.id, callOf());
      const again = await target.target!.forks!.promote(fork.id, callOf());
      await bench.advance(3000);

      expect(again.id).to.equal(remains.id);
      expect(remains.power).to.equal('on');
      expect(remains.id === placed.machine.id).to.equal(shape === 'vmware');
      expect((await bench.inspect({ machine: remains.id })).verdict).to.include({ kind: 'guest', consistent: true });
      expect((await bench.status(remains.id)).transactions).to.be.greaterThan(100);
    });

    it('refuses writes to a replica that runs or lies under a fork', async () => {
      const { bench, source, target, machine, placed } = await setUp();
      await using _ = bench;
      await replicate(source, machine, target, placed);
      const disk = [...placed.disks.values()][0]!;
      const replica = await target.target!.openReplicaDisk(placed.machine.id, disk, callOf());
      const fork = await forkOf(target, placed);

      expect(await rejection(replica.write(0, new Uint8Array(512), callOf()))).to.equal('FILE_LOCKED');
      await target.power!.set(fork.machine.id, 'on', callOf());
      expect(await rejection(target.target!.forks!.openDisk(fork.id, fork.disks.get(disk)!, callOf()))).to.equal('FILE_LOCKED');
      await target.target!.forks!.discard(fork.id, callOf());
      expect(await rejection(replica.write(0, new Uint8Array(512), callOf()))).to.equal('none');
    });
  });
}

describe('a source whose tracker needs the old baseline when the snapshot is taken', () => {
  const setUp = async () => {
    const bench = new Bench({
      sites: [
        {
          name: 'site-a',
          endpoints: [
            {
              name: 'kvm-a',
              profile: 'kvm',
              networks: ['net'],
              storage: [{ name: 'pool', capacityBytes: 2 ** 30 }],
              machines: [{ name: 'm', disks: [{ sizeBytes: 2 ** 20 }] }],
            },
          ],
        },
      ],
    });
    const session = await bench.connect('kvm-a', 'kvm');
    const machine = await bench.machineNamed('m');
    await session.source!.enableTracking(machine, callOf());
    const source = session.source as SnapshotSource;
    const take = (since: ReadonlyMap<never, never> | Parameters<SnapshotSource['createSnapshot']>[1]['since']) =>
      source.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since }, callOf());
    return { bench, source, take, machine };
  };

  it('answers for the baseline it was given, and for none that it was not', async () => {
    const { bench, source, take } = await setUp();
    await using _ = bench;
    const first = await take(new Map());
    const { disk, baseline } = first.disks[0]!;
    await bench.advance(500);

    const told = await take(new Map([[disk, baseline!]]));
    const notTold = await take(new Map());

    expect(await collect(source.changedExtents(told.id, disk, 0, callOf()))).not.to.deep.equal([]);
    expect(await rejection(collect(source.changedExtents(notTold.id, disk, 0, callOf())))).to.equal('TRACKING_LOST');
  });

  it('loses no change when a cycle is abandoned: the old baseline answers for both, the new one is gone', async () => {
    const { bench, source, take } = await setUp();
    await using _ = bench;
    const first = await take(new Map());
    const { disk, baseline } = first.disks[0]!;
    await bench.advance(400);
    const abandoned = await take(new Map([[disk, baseline!]]));
    const seen = await collect(source.changedExtents(abandoned.id, disk, 0, callOf()));
    await source.releaseSnapshot(abandoned.id, 'abandoned', callOf());

    const next = await take(new Map([[disk, baseline!]]));
    const after = await take(new Map([[disk, abandoned.disks[0]!.baseline!]]));

    const covered = await collect(source.changedExtents(next.id, disk, 0, callOf()));
    for (const { offset, length } of seen) {
      expect(covered.some((extent) => extent.offset <= offset && offset + length <= extent.offset + extent.length)).to.equal(true);
    }
    expect(await rejection(collect(source.changedExtents(after.id, disk, 0, callOf())))).to.equal('TRACKING_LOST');
  });
});

describe('a physical server', () => {
  const setUp = async () => {
    const bench = new Bench();
    const source = await bench.connect('servers-a', 'physical');
    const target = await bench.connect('kvm-b', 'kvm');
    const machine = await bench.machineNamed('ledger');
    await source.source!.enableTracking(machine, callOf());
    const placed = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
    return { bench, source, target, machine, placed };
  };

  it('is copied in passes while it runs, and the last, frozen one makes a state that boots', async () => {
    const { bench, source, target, machine, placed } = await setUp();
    await using _ = bench;

    const call = callOf();
    const baselines = await stream(source, machine, target, placed, { call });
    const { truths } = await bench.lab.control.call('lab.truth', { operationId: call.operationId });
    expect(digests(await bench.inspect({ replica: placed.machine.id }))).to.deep.equal(digests(truths[0]!));

    await bench.advance(500);
    await stream(source, machine, target, placed, { since: baselines });
    expect((await bench.inspect({ replica: placed.machine.id })).verdict).to.include({ kind: 'guest', consistent: true });
    expect((await bench.status(machine)).frozen).to.equal(false);
  });

  it('is not held frozen beyond the maximum: the pass is void and the server goes on', async () => {
    const { bench, source, target, machine, placed } = await setUp();
    await using _ = bench;

    const capture = stream(source, machine, target, placed, {
      maxFreezeMs: 1000,
      whileFrozen: async () => void (await bench.advance(2000)),
    });

    expect(await rejection(capture)).to.equal('TIMED_OUT');
    expect((await bench.status(machine)).frozen).to.equal(false);
  });

  it('thaws when the caller stops reading in the middle of the last pass', async () => {
    const { bench, source, machine } = await setUp();
    await using _ = bench;
    const want = { consistency: 'crash', orElse: 'refuse', since: new Map(), maxFreezeMs: 60_000, afterFinal: 'thaw' } as const;

    for await (const pass of (source.source as StreamingSource).capture(machine, want, callOf())) if (pass.final) break;

    expect((await bench.status(machine)).frozen).to.equal(false);
  });

  it('stays frozen after the last pass when asked, so that nothing is written until it is off', async () => {
    const { bench, source, target, machine, placed } = await setUp();
    await using _ = bench;
    await stream(source, machine, target, placed, { afterFinal: 'stayFrozen' });

    await bench.advance(60_000);
    await source.power!.set(machine, 'off', callOf());

    expect(digests(await bench.inspect({ replica: placed.machine.id }))).to.deep.equal(digests(await bench.inspect({ machine })));
  });

  it('can be adopted as a replica when it is off, but makes no machines and no forks', async () => {
    const { bench, source, machine } = await setUp();
    await using _ = bench;
    const { spec } = await source.inventory.getMachine(machine, callOf());

    expect(source.target!.createReplica).to.equal(undefined);
    expect(source.target!.forks).to.equal(undefined);
    expect(await rejection(source.target!.adoptReplica(machine, spec, callOf()))).to.equal('STATE_CONFLICT');
    await source.power!.set(machine, 'shutdown', callOf());
    const placed = await source.target!.adoptReplica(machine, spec, callOf());

    expect([...placed.disks]).to.deep.equal(spec.disks.map((disk) => [disk.id, disk.id]));
  });
});

describe('two copies of one guest', () => {
  const runFork = async (connected: boolean) => {
    const bench = new Bench();
    const source = await bench.connect('vcenter-a', 'vmware');
    const target = await bench.connect('vmm-b', 'hyperv');
    const machine = await bench.machineNamed('shop-web');
    const { spec } = await source.inventory.getMachine(machine, callOf());
    const placed = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
    await replicate(source, machine, target, placed);
    const network = await firstPlace(target, 'network');
    const test = await target.network!.createTestNetwork(network, callOf());
    const nic = placed.machine.spec.nics[0]!.id;
    expect(spec.nics).to.have.length(1);
    const fork = await forkOf(target, placed, { nics: new Map([[nic, connected ? network : test.id]]) });
    await target.power!.set(fork.machine.id, 'on', callOf());
    await bench.advance(1000);
    return { bench, machine, fork };
  };

  it('on production networks at once are a violation that stays on record', async () => {
    const { bench, machine, fork } = await runFork(true);
    await using _ = bench;

    const [violation] = await bench.violations();
    expect(violation?.kind).to.equal('twoLive');
    expect(violation?.machines.map((one) => one.machine)).to.have.members([machine, fork.machine.id]);
  });

  it('are none while one of them is on a test network', async () => {
    const { bench } = await runFork(false);
    await using _ = bench;

    expect(await bench.violations()).to.deep.equal([]);
  });
});

describe('a session', () => {
  it('is refused with the wrong password, and for an endpoint of another kind', async () => {
    await using bench = new Bench({
      sites: [
        {
          name: 's',
          endpoints: [
            {
              name: 'e',
              profile: 'vmware',
              username: 'admin',
              password: 'right',
              networks: [],
              storage: [{ name: 'd', capacityBytes: 1 }],
            },
          ],
        },
      ],
    });

    expect(await rejection(bench.connect('e', 'vmware', { username: 'admin', password: 'wrong' }))).to.equal('AUTH_REJECTED');
    expect(await rejection(bench.connect('e', 'hyperv', { username: 'admin', password: 'right' }))).to.equal('CONFIG_INVALID');
    expect(await rejection(bench.connect('e', 'vmware', { username: 'admin', password: 'right' }))).to.equal('none');
  });

  it('finds what a repeated creating call has made before', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await session.inventory.getMachine(await bench.machineNamed('shop-web'), callOf());
    const [snap, replica, fork] = [callOf(), callOf(), callOf()];
    const source = session.source as SnapshotSource;
    const take = () => source.createSnapshot([machine.id], { consistency: 'crash', orElse: 'crash', since: new Map() }, snap);

    const placed = await createReplica(session, machine, replica);

    expect((await take()).id).to.equal((await take()).id);
    expect((await createReplica(session, machine, replica)).machine.id).to.equal(placed.machine.id);
    expect((await forkOf(session, placed, { call: fork })).id).to.equal((await forkOf(session, placed, { call: fork })).id);
  });

  it('is fenced off by a newer epoch', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vmm-a', 'hyperv');
    const machine = await bench.machineNamed('erp-web');
    await session.fence!.advance(machine, undefined, epoch(1), callOf());
    await session.fence!.advance(machine, epoch(1), epoch(2, 'engine-2'), callOf());

    expect(await rejection(session.fence!.advance(machine, epoch(1), epoch(3), callOf()))).to.equal('FENCED');
    expect(await rejection(session.power!.set(machine, 'off', callOf({ fence: epoch(1) })))).to.equal('FENCED');
    expect(await rejection(session.power!.set(machine, 'off', callOf({ fence: epoch(2, 'engine-2') })))).to.equal('none');
  });

  it('is fenced off the fork and what remains of it by the epoch of the replica', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vmm-a', 'hyperv');
    const machine = await session.inventory.getMachine(await bench.machineNamed('erp-web'), callOf());
    const placed = await createReplica(session, machine);
    await session.fence!.advance(placed.machine.id, undefined, epoch(5, 'engine-2'), callOf());

    const fork = await forkOf(session, placed, { call: callOf({ fence: epoch(5, 'engine-2') }) });
    expect(await rejection(session.power!.set(fork.machine.id, 'on', callOf({ fence: epoch(4) })))).to.equal('FENCED');
    const remains = await session.target!.forks!.promote(fork.id, callOf({ fence: epoch(5, 'engine-2') }));

    expect(await rejection(session.power!.set(remains.id, 'on', callOf({ fence: epoch(4) })))).to.equal('FENCED');
    expect(await session.fence!.read(remains.id, callOf())).to.deep.equal(epoch(5, 'engine-2'));
  });

  it('reports a guest that refuses to shut down at the deadline, and the machine still runs', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vmm-a', 'hyperv');
    const machine = await bench.machineNamed('erp-web');
    await bench.lab.control.call('lab.setGuest', { machine, refusesShutdown: true });

    expect(await rejection(session.power!.set(machine, 'shutdown', callOf()))).to.equal('SHUTDOWN_REFUSED');
    expect((await session.inventory.getMachine(machine, callOf())).power).to.equal('on');
  });

  it('stops a stream at the element at which the signal aborts, with its reason', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');
    for (const stopAt of [1, 2]) {
      const controller = new AbortController();
      let seen = 0;
      const listing = (async () => {
        for await (const _ of session.inventory.listMachines({}, callOf({ signal: controller.signal }))) {
          if (++seen === stopAt) controller.abort(new Error('enough'));
        }
      })();

      expect(await listing.catch((error: Error) => error.message)).to.equal('enough');
      expect(seen).to.equal(stopAt);
    }
  });

  it('names a machine that is gone', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');

    expect(await rejection(session.inventory.getMachine('vm-none' as MachineId, callOf()))).to.equal('NOT_FOUND');
  });
});
