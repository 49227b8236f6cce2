import { expect } from 'chai';
import { describe, it } from 'mocha';
import { demoEstate, manyEstate } from '../../../../adapters/lab/demo-estate.ts';
import { createEstate } from '../../../../adapters/lab/in-process.ts';
import { type DiskId, isDrError } from '../../../../core/contract/index.ts';
import { Bench, callOf, collect, createReplica, forkOf, replicate } from '../../plugins/memory/replicate.ts';

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

describe('an estate in process', () => {
  it('is the same byte for byte after the same steps with the same seed, and another with another seed', async () => {
    const run = async (seed: number) => {
      const bench = new Bench(demoEstate(), seed);
      await using _ = bench;
      await bench.advance(3000);
      const { machines } = await bench.lab.control.call('lab.status', {});
      const reports = await Promise.all(machines.map((machine) => bench.inspect({ machine: machine.machine })));
      return JSON.stringify([machines, reports]);
    };

    expect(await run(1)).to.equal(await run(1));
    expect(await run(1)).not.to.equal(await run(2));
  });

  it('lets whoever waits jump to the end of the wait, in the order of their ends', async () => {
    await using lab = createEstate({ spec: demoEstate() });
    const order: string[] = [];
    const start = lab.clock.now();

    await Promise.all([
      lab.clock.sleep(50_000).then(() => order.push('late')),
      lab.clock.sleep(1000).then(() => order.push('early')),
      lab.clock.sleep(20_000).then(() => order.push('middle')),
    ]);

    expect(order).to.deep.equal(['early', 'middle', 'late']);
    expect(lab.clock.now() - start).to.equal(50_000);
  });

  it('does not jump while somebody works, so that a deadline beside the work never comes first', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    const controller = new AbortController();
    let expired = false;
    const deadline = bench.lab.clock.sleep(1000, controller.signal).then(
      () => {
        expired = true;
      },
      () => undefined,
    );

    for (let call = 0; call < 100; call++) {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      await session.inventory.getMachine(machine, callOf());
    }
    expect(expired).to.equal(false);
    controller.abort();
    await deadline;
  });

  it('moves a manual clock only when it is told to', async () => {
    await using lab = createEstate({ spec: demoEstate(), clock: 'manual', msPerCall: 0 });
    let woken = false;
    const sleeping = lab.clock.sleep(1000).then(() => {
      woken = true;
    });

    await lab.control.call('lab.advance', { ms: 999 });
    expect(woken).to.equal(false);
    await lab.control.call('lab.advance', { ms: 1 });
    await sleeping;
    expect(woken).to.equal(true);
  });

  it('holds a thousand machines, whose names repeat and are hostile, and lists each once', async () => {
    await using bench = new Bench(manyEstate({ machines: 1000 }));
    const sessions = [await bench.connect('vcenter-a', 'vmware'), await bench.connect('vmm-a', 'hyperv')];

    const listed = (await Promise.all(sessions.map((session) => collect(session.inventory.listMachines({}, callOf()))))).flat();

    expect(new Set(listed.map((machine) => machine.id)).size).to.equal(1000);
    expect(new Set(listed.map((machine) => machine.name)).size).to.be.lessThan(10);
  });

  it('takes a point of a group in one instant where the hypervisor can, and says how far apart where it cannot', async () => {
    await using bench = new Bench();
    for (const [endpoint, profile, expected] of [
      ['vmm-a', 'hyperv', 'instant'],
      ['vcenter-a', 'vmware', { skewedMs: 5 }],
    ] as const) {
      const session = await bench.connect(endpoint, profile);
      const machines = (await collect(session.inventory.listMachines({}, callOf()))).map((machine) => machine.id);
      if (session.source?.kind !== 'snapshot') throw new Error('no snapshots');
      const snapshot = await session.source.createSnapshot(machines, { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());

      expect(snapshot.atomicity).to.deep.equal(expected);
      for (const machine of machines) expect((await bench.inspect({ snapshot: snapshot.id, machine })).verdict.consistent).to.equal(true);
    }
  });

  it('gives application consistency while the guest answers; else what the request says', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    if (session.source?.kind !== 'snapshot') throw new Error('no snapshots');
    const { source } = session;
    const take = (orElse: 'crash' | 'refuse') =>
      source.createSnapshot([machine], { consistency: 'application', orElse, since: new Map() }, callOf());

    expect(await take('refuse')).to.include({ consistency: 'application' });
    await session.power!.set(machine, 'off', callOf());
    expect((await take('crash')).fellBackBecause).to.match(/no guest answers/);
    expect(await codeOf(take('refuse'))).to.equal('CONSISTENCY_UNAVAILABLE');
  });

  it('limits the snapshots of a machine, and counts again when one is released', async () => {
    await using bench = new Bench(demoEstate({ diskBytes: 262_144 }));
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    if (session.source?.kind !== 'snapshot') throw new Error('no snapshots');
    const { source } = session;
    const take = () => source.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());
    const first = await take();
    for (let more = 1; more < session.capabilities.maxSnapshotsPerMachine; more++) await take();

    expect(await codeOf(take())).to.equal('SNAPSHOT_LIMIT_REACHED');
    await source.releaseSnapshot(first.id, 'sealed', callOf());
    expect(await codeOf(take())).to.equal('none');
  });

  it('fills its storage: a replica that does not fit is refused, and so is a write when the room has gone', async () => {
    const MIB = 2 ** 20;
    const endpoint = (name: string, capacityBytes: number) =>
      ({ name, profile: 'kvm', networks: ['n'], storage: [{ name: 's', capacityBytes }] }) as const;
    await using bench = new Bench({ sites: [{ name: 'b', endpoints: [endpoint('small', MIB), endpoint('tight', 2 * MIB)] }] });
    await using donor = new Bench();
    const like = (await donor.lab.control.call('lab.status', {})).machines[0]!;
    const { spec } = await donor.lab.control.call('lab.machine', { machine: like.machine });
    const one = { ...spec, disks: spec.disks.slice(0, 1).map((disk) => ({ ...disk, sizeBytes: 2 * MIB })) };
    const create = async (name: string, call = callOf()) =>
      (await bench.connect(name, 'kvm')).target!.createReplica!(one, { name: 'r', nics: new Map() }, call);

    expect(await codeOf(create('small'))).to.equal('TARGET_FULL');
    const [first, second] = [await create('tight'), await create('tight')];
    const session = await bench.connect('tight', 'kvm');
    const write = async (placed: typeof first, fill: number) => {
      const disk = await session.target!.openReplicaDisk(placed.machine.id, [...placed.disks.values()][0]!, callOf());
      await disk.write(0, new Uint8Array(2 * MIB).fill(fill), callOf());
    };
    await write(first, 1);
    expect(await codeOf(write(second, 1))).to.equal('TARGET_FULL');
    expect(await codeOf(write(first, 2))).to.equal('none');
    await session.target!.deleteReplica!(first.machine.id, callOf());
    expect(await codeOf(write(second, 1))).to.equal('none');
  });

  it('keeps a disk that was added or has grown in step with the replica', async () => {
    await using bench = new Bench();
    const source = await bench.connect('vcenter-a', 'vmware');
    const target = await bench.connect('vmm-b', 'hyperv');
    const machine = await bench.machineNamed('shop-web');
    const before = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
    const [boot] = [...before.disks.keys()];
    await bench.lab.control.call('lab.growDisk', { machine, disk: boot as DiskId, sizeBytes: 2 << 20 });
    const { disk: added } = await bench.lab.control.call('lab.addDisk', { machine, sizeBytes: 1 << 20 });

    const { spec } = await source.inventory.getMachine(machine, callOf());
    const after = await target.target!.reshapeReplica(before.machine.id, spec, callOf());

    expect(after.disks.get(boot as DiskId)).to.equal(before.disks.get(boot as DiskId));
    expect(after.machine.spec.disks.map((disk) => disk.sizeBytes)).to.deep.equal([2 << 20, 1 << 20]);
    expect(after.disks.has(added)).to.equal(true);
    await replicate(source, machine, target, after);
    expect((await bench.inspect({ replica: after.machine.id })).digests.map((row) => row.digest)).to.have.length(2);
    await target.target!.deleteReplicaDisk(after.machine.id, after.disks.get(added)!, callOf());
    expect((await target.inventory.getMachine(after.machine.id, callOf())).spec.disks).to.have.length(1);
  });

  it('keeps the addresses that a fork is given on its disks, so that they are there after its start', async () => {
    await using bench = new Bench();
    const source = await bench.connect('vcenter-a', 'vmware');
    const target = await bench.connect('vcenter-b', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    const placed = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
    await replicate(source, machine, target, placed);
    const fork = await forkOf(target, placed);
    const [nic] = [...fork.nics.values()];

    const findings = await target.network!.setGuestAddresses(fork.machine.id, new Map([[nic!, { ipv4: '192.0.2.7' }]]), callOf());
    await target.power!.set(fork.machine.id, 'on', callOf());
    await bench.advance(1000);

    expect(findings).to.deep.equal([]);
    expect((await target.inventory.getMachine(fork.machine.id, callOf())).addresses).to.deep.equal(['192.0.2.7']);
    expect((await source.inventory.getMachine(machine, callOf())).addresses).to.deep.equal(['10.1.0.22']);
  });

  it('reports a machine that cannot boot as on, without a guest, and with the reason', async () => {
    await using bench = new Bench();
    const source = await bench.connect('vcenter-a', 'vmware');
    const placed = await createReplica(source, await source.inventory.getMachine(await bench.machineNamed('shop-web'), callOf()));
    await source.power!.set(placed.machine.id, 'on', callOf());
    await bench.advance(1000);

    expect(await bench.status(placed.machine.id)).to.include({ power: 'on', guestUp: false });
    expect((await bench.status(placed.machine.id)).bootFailure).to.match(/empty/);
    expect((await source.inventory.getMachine(placed.machine.id, callOf())).addresses).to.deep.equal([]);
  });

  it('tells a watcher what has changed and what is gone', async () => {
    await using bench = new Bench();
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    const controller = new AbortController();
    const changes = session.inventory.watch!(undefined, callOf({ signal: controller.signal }))[Symbol.asyncIterator]();
    const next = changes.next();
    await session.power!.set(machine, 'off', callOf());

    expect((await next).value.changed).to.include(machine);
    const waiting = changes.next();
    controller.abort(new Error('enough'));
    expect(await codeOf(waiting)).to.equal('Error: enough');
  });
});

describe('a watcher and a writer of the lab', () => {
  it('do not make time pass: the one waits for a change, the other for the thaw', async () => {
    await using bench = new Bench();
    const session = await bench.connect('servers-a', 'physical');
    const machine = await bench.machineNamed('ledger');
    const { spec } = await session.inventory.getMachine(machine, callOf());
    const { control } = bench.lab;
    const at = { endpoint: 'servers-a', owner: 'owner-1', machine };
    const { freeze } = await control.call('stream.freeze', { ...at, operationId: 'one', consistency: 'crash', maxFreezeMs: 60_000 });
    const before = bench.lab.clock.now();
    let written = false;
    const writing = control.call('lab.write', { machine, disk: spec.disks[0]!.id, offset: 0, data: new Uint8Array(512) }).then(() => {
      written = true;
    });
    const watching = control.call('inventory.changes', { ...at, waitMs: 3_600_000 });
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(written).to.equal(false);
    expect(bench.lab.clock.now() - before).to.be.below(1000);

    await control.call('stream.endFreeze', { ...at, freeze, outcome: 'thaw' });
    await writing;
    await control.call('lab.rename', { machine, name: 'renamed' });
    expect((await watching).changed).to.deep.equal([machine]);
  });
});

describe('extents', () => {
  it('come in pages that join without a gap, from any offset on', async () => {
    await using bench = new Bench(demoEstate({ diskBytes: 64 << 20 }));
    const session = await bench.connect('vcenter-a', 'vmware');
    const machine = await bench.machineNamed('shop-web');
    if (session.source?.kind !== 'snapshot') throw new Error('no snapshots');
    const { source } = session;
    await session.power!.set(machine, 'off', callOf());
    await source.enableTracking(machine, callOf());
    const take = (since = new Map()) => source.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since }, callOf());
    const { disk, baseline } = (await take()).disks[0]!;
    for (let n = 0; n < 500; n++) {
      await bench.lab.control.call('lab.write', { machine, disk, offset: n * 131_072, data: new Uint8Array(512).fill(1) });
    }
    const { id } = await take(new Map([[disk, baseline]]));

    const all = await collect(source.changedExtents(id, disk, 0, callOf()));
    const later = await collect(source.changedExtents(id, disk, 300 * 131_072 + 4096, callOf()));

    expect(all.map((extent) => extent.offset)).to.deep.equal(Array.from({ length: 500 }, (_, n) => n * 131_072));
    expect(later).to.have.length(200);
    expect(later[0]).to.deep.equal({ offset: 300 * 131_072 + 4096, length: 65_536 - 4096 });
  });
});

describe('the description of an estate', () => {
  it('is refused with what is wrong with it', () => {
    const machine = { name: 'm', disks: [{ sizeBytes: 1000 }] };
    const endpoint = { name: 'e', profile: 'vmware', networks: [], storage: [{ name: 's', capacityBytes: 1 }], machines: [machine] };
    for (const [spec, what] of [
      [{}, /sites with endpoints/],
      [{ sites: [{ name: 's', endpoints: [{ ...endpoint, profile: 'xen' }] }] }, /xen/],
      [{ sites: [{ name: 's', endpoints: [endpoint] }] }, /machine m needs disks/],
    ] as const) {
      expect(() => createEstate({ spec: spec as never }))
        .to.throw(what)
        .with.property('code', 'CONFIG_INVALID');
    }
  });
});
