import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef, VirtualMachineConfigInfo, VirtualMachineSnapshotInfo } from '../../../../../adapters/vsphere/port.ts';
import type { DiskId, ForkId, MachineId } from '../../../../../core/contract/index.ts';
import { type Disk, failure, VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const MIB = 2 ** 20;
const TWO_DISKS = vcenterSpec([
  {
    name: 'shop-db',
    disks: [
      { sizeBytes: MIB, contentBytes: 131_072 },
      { sizeBytes: MIB, contentBytes: 131_072 },
    ],
    writesPerSecond: 400,
  },
]);

const changeIds = async (bench: VcenterBench, of: MoRef): Promise<(string | undefined)[]> => {
  const { hardware } = await bench.read<VirtualMachineConfigInfo>(of, 'config');
  return (hardware.device ?? []).filter((device): device is Disk => device.$type === 'VirtualDisk').map(({ backing }) => backing.changeId);
};

const enable = async (bench: VcenterBench, vm: MoRef): Promise<void> => {
  await bench.reconfigure(vm, { changeTrackingEnabled: true });
  await bench.removeSnapshot(await bench.snapshot(vm));
};

describe('snapshots of a simulated vCenter', () => {
  it('freezes all disks at one instant, as the truth of that instant says, while the guest goes on', async () => {
    await using bench = await VcenterBench.open(TWO_DISKS);
    const vm = bench.vm('shop-db');
    await bench.lab.clock.sleep(1000);

    const snapshot = await bench.snapshot(vm, { operationId: 'cycle-1' });
    await bench.lab.clock.sleep(3000);

    const { truths } = await bench.lab.control.call('lab.truth', { operationId: 'cycle-1' });
    expect(await bench.digests({ snapshot: snapshot.value })).to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
    expect(await bench.digests({ machine: vm.value })).not.to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
    const { leftovers } = await bench.lab.control.call('lab.status', {});
    expect(leftovers).to.deep.equal([{ owner: 'owner-1', kind: 'snapshot', id: snapshot.value }]);
    const { verdict } = await bench.lab.control.call('lab.inspect', { of: { snapshot: snapshot.value as never } });
    expect(verdict.consistent).to.equal(true);
  });

  it('shows the overlays in the live devices, the frozen files in the snapshot, and the tree', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [before] = await bench.disks(vm);

    const first = await bench.snapshot(vm, { operationId: 'a' });
    const second = await bench.snapshot(vm, { operationId: 'b', quiesce: true });
    const [live] = await bench.disks(vm);
    const { hardware } = await bench.read<VirtualMachineConfigInfo>(second, 'config');
    const frozen = hardware.device!.find((device) => device.$type === 'VirtualDisk') as Disk;
    const tree = await bench.read<VirtualMachineSnapshotInfo>(vm, 'snapshot');

    expect(live!.backing.fileName).to.equal('[ds-1] shop-db/shop-db-000002.vmdk');
    expect(live!.backing.uuid).to.equal(before!.backing.uuid);
    expect(live!.backing.parent?.parent?.fileName).to.equal('[ds-1] shop-db/shop-db.vmdk');
    expect(frozen.backing.fileName).to.equal('[ds-1] shop-db/shop-db-000001.vmdk');
    expect(tree.currentSnapshot).to.deep.equal(second);
    expect(tree.rootSnapshotList[0]).to.deep.include({ snapshot: first, name: 'warmsite cycle', quiesced: false });
    expect(tree.rootSnapshotList[0]!.childSnapshotList![0]).to.deep.include({ snapshot: second, quiesced: true });
    expect(JSON.parse(tree.rootSnapshotList[0]!.description)).to.deep.include({ owner: 'owner-1', operationId: 'a', kind: 'cycle' });
  });

  it('keeps what was written when snapshots go, in whichever order', async () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      await using bench = await VcenterBench.open(TWO_DISKS);
      const vm = bench.vm('shop-db');
      const taken: MoRef[] = [];
      for (const operationId of ['a', 'b', 'c']) {
        taken.push(await bench.snapshot(vm, { operationId }));
        await bench.lab.clock.sleep(500);
      }
      await bench.run('PowerOffVM_Task', vm, {});
      const before = await bench.digests({ machine: vm.value });

      for (const [index, which] of order.entries()) {
        await bench.removeSnapshot(taken[which]!);
        expect(await bench.digests({ machine: vm.value })).to.deep.equal(before);
        for (const later of order.slice(index + 1)) {
          const { truths } = await bench.lab.control.call('lab.truth', { operationId: 'abc'[later]! });
          expect(await bench.digests({ snapshot: taken[later]!.value })).to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
        }
      }
      expect((await bench.disks(vm)).map(({ backing }) => backing.fileName)).to.deep.equal([
        '[ds-1] shop-db/shop-db.vmdk',
        '[ds-1] shop-db/shop-db_1.vmdk',
      ]);
      expect(await bench.read(vm, 'snapshot')).to.equal(undefined);
    }
  });

  it('brings content and configuration back by a revert, switches off, and makes the tracker begin anew', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await enable(bench, vm);
    await bench.reconfigure(vm, { annotation: 'before', extraConfig: [{ key: 'k', value: 'before' }] });
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const [id] = await changeIds(bench, snapshot);
    await bench.lab.clock.sleep(1000);
    await bench.reconfigure(vm, {
      annotation: 'after',
      extraConfig: [
        { key: 'k', value: 'after' },
        { key: 'new', value: '1' },
      ],
    });

    await bench.run('RevertToSnapshot_Task', snapshot, {});

    const config = await bench.config(vm);
    expect(config.annotation).to.equal('before');
    expect(config.extraConfig?.map(({ key, value }) => [key, value])).to.deep.equal([['k', 'before']]);
    expect(await bench.read(vm, 'runtime.powerState')).to.equal('poweredOff');
    expect(await bench.digests({ machine: vm.value })).to.deep.equal(await bench.digests({ snapshot: snapshot.value }));
    await bench.removeSnapshot(snapshot);
    const next = await bench.snapshot(vm, { operationId: 'b' });
    const [disk] = await bench.disks(vm);
    const asked = { snapshot: next, deviceKey: disk!.key, startOffset: 0, changeId: id! };
    expect(await failure(bench.call('QueryChangedDiskAreas', vm, asked))).to.match(/FileFault/);
  });

  it('keeps the state under a fork for whoever looks at the replica', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.run('PowerOffVM_Task', vm, {});
    const replica = JSON.stringify({ operationId: 'r', adopted: false, disks: {}, nics: {} });
    await bench.reconfigure(vm, {
      extraConfig: [
        { key: 'warmsite.owner', value: 'owner-1' },
        { key: 'warmsite.replica', value: replica },
      ],
    });
    const base = await bench.digests({ machine: vm.value });

    const fork = await bench.snapshot(vm, { operationId: 'f', kind: 'fork' });
    await bench.run('PowerOnVM_Task', vm, {});
    await bench.lab.clock.sleep(2000);

    expect(await bench.digests({ replica: vm.value })).to.deep.equal(base);
    expect(await bench.digests({ machine: vm.value })).not.to.deep.equal(base);
    const { leftovers, machines } = await bench.lab.control.call('lab.status', {});
    expect(machines.map(({ role }) => role)).to.deep.equal(['fork']);
    expect(leftovers).to.have.deep.members([
      { owner: 'owner-1', kind: 'fork', id: `${vm.value}/${fork.value}` },
      { owner: 'owner-1', kind: 'replica', id: vm.value },
    ]);
    const { digests } = await bench.lab.control.call('lab.inspect', { of: { fork: `${vm.value}/${fork.value}` as ForkId } });
    expect(digests.map(({ digest }) => digest)).not.to.deep.equal(base);
    await bench.run('RevertToSnapshot_Task', fork, {});
    await bench.removeSnapshot(fork);
    expect(await bench.digests({ machine: vm.value })).to.deep.equal(base);
  });

  it('keep a disk that the machine has lost since, and give up its files when they go', async () => {
    await using bench = await VcenterBench.open(TWO_DISKS);
    const vm = bench.vm('shop-db');
    const layers = bench.lab.estate.layers.size;
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const frozen = await bench.digests({ snapshot: snapshot.value });
    const [, second] = await bench.disks(vm);

    await bench.lab.control.call('lab.removeDisk', { machine: vm.value as MachineId, disk: second!.backing.uuid as DiskId });

    expect(await bench.disks(vm)).to.have.length(1);
    expect(await bench.digests({ snapshot: snapshot.value })).to.deep.equal(frozen);
    await bench.removeSnapshot(snapshot);
    expect(bench.lab.estate.layers.size).to.equal(layers - 1);
    expect(Object.keys(bench.lab.estate.endpoint('vcenter-a').vsphere!.files).filter((path) => path.includes('shop-db'))).to.deep.equal([
      '[ds-1] shop-db/shop-db.vmx',
      '[ds-1] shop-db/shop-db.vmdk',
    ]);
  });

  it('ends at 32 levels, and quiesces only a guest that answers', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');

    for (let level = 0; level < 32; level++) await bench.snapshot(vm, { operationId: `${level}` });
    expect(await failure(bench.snapshot(vm))).to.match(/TooManySnapshotLevels/);

    await using other = await VcenterBench.open(vcenterSpec([{ name: 'empty', disks: [{ sizeBytes: MIB }], workload: 'none' }]));
    expect(await failure(other.snapshot(other.vm('empty'), { quiesce: true }))).to.match(/ApplicationQuiesceFault/);
    await other.run('PowerOffVM_Task', other.vm('empty'), {});
    expect(await failure(other.snapshot(other.vm('empty'), { quiesce: true }))).to.equal('none');
  });

  it('shows disks of different instants when a fault asks for a torn snapshot, and the live disk for a live copy', async () => {
    await using bench = await VcenterBench.open(TWO_DISKS);
    const vm = bench.vm('shop-db');
    for (const lie of ['tornSnapshot', 'liveCopy'] as const) {
      await bench.lab.control.call('lab.addFault', { rule: { method: 'vim.CreateSnapshot_Task', nth: 1, act: { lie } } });
      const snapshot = await bench.snapshot(vm, { operationId: lie });
      await bench.lab.clock.sleep(1000);
      const { truths } = await bench.lab.control.call('lab.truth', { operationId: lie });
      expect(await bench.digests({ snapshot: snapshot.value }), lie).not.to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
      await bench.removeSnapshot(snapshot);
    }
  });
});

describe('changed blocks of a simulated vCenter', () => {
  it('are tracked from the next stun after it was switched on', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.reconfigure(vm, { changeTrackingEnabled: true });

    expect(await changeIds(bench, vm)).to.deep.equal([undefined]);
    await bench.removeSnapshot(await bench.snapshot(vm));
    const [id] = await changeIds(bench, vm);
    expect(id).to.match(/^52( [0-9a-f]{2}){7}-[0-9a-f]{2}( [0-9a-f]{2}){7}\/\d+$/);
    expect((await bench.config(vm)).changeTrackingEnabled).to.equal(true);
  });

  it('miss nothing between two snapshots, page by page, of which some are empty', async () => {
    await using bench = await VcenterBench.open(
      vcenterSpec([{ name: 'shop-db', disks: [{ sizeBytes: 8 * MIB, contentBytes: MIB }], writesPerSecond: 0 }]),
    );
    const vm = bench.vm('shop-db');
    await enable(bench, vm);
    const [disk] = await bench.disks(vm);
    const from = await bench.snapshot(vm, { operationId: 'a' });
    const [since] = await changeIds(bench, from);
    await bench.removeSnapshot(from);
    await bench.write(vm, disk!.backing.uuid!, 5 * MIB + 512, 1024);
    const to = await bench.snapshot(vm, { operationId: 'b' });
    await bench.write(vm, disk!.backing.uuid!, 0, 512);

    const asked = { snapshot: to, deviceKey: disk!.key, changeId: since! };
    const all = { ...asked, capacityBytes: 8 * MIB };
    expect(await bench.changedAreas(vm, all)).to.deep.equal([{ start: 5 * MIB, length: 65_536 }]);
    const first = await bench.call('QueryChangedDiskAreas', vm, { ...asked, startOffset: 0 });
    expect(first.changedArea ?? []).to.have.length(0);
    expect(first.length).to.be.greaterThan(0);
    expect(await failure(bench.call('QueryChangedDiskAreas', vm, { ...asked, startOffset: 8 * MIB }))).to.match(/InvalidArgument/);
    const inUse = await bench.changedAreas(vm, { ...all, changeId: '*' });
    expect(inUse.reduce((sum, { length }) => sum + length, 0)).to.be.within(MIB, 2 * MIB);
  });

  it('are forgotten when the power is cut: an older id is a fault', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await enable(bench, vm);
    const before = await bench.snapshot(vm, { operationId: 'a' });
    const [since] = await changeIds(bench, before);

    await bench.lab.control.call('lab.powerCut', { machine: vm.value as MachineId });
    await bench.run('PowerOnVM_Task', vm, {});
    const after = await bench.snapshot(vm, { operationId: 'b' });

    const [disk] = await bench.disks(vm);
    const asked = { snapshot: after, deviceKey: disk!.key, startOffset: 0 };
    expect(await failure(bench.call('QueryChangedDiskAreas', vm, { ...asked, changeId: since! }))).to.match(/FileFault/);
    expect(await failure(bench.call('QueryChangedDiskAreas', vm, { ...asked, changeId: '52 00/1' }))).to.match(/FileFault/);
    await bench.lab.control.call('lab.addFault', { rule: { method: 'vim.QueryChangedDiskAreas', act: { lie: 'resetBaseline' } } });
    expect(await failure(bench.call('QueryChangedDiskAreas', vm, { ...asked, changeId: since! }))).to.equal('none');
  });

  it('are wrong without a word when tracking was switched on over a snapshot, or when a fault asks for it', async () => {
    for (const over of [true, false]) {
      await using bench = await VcenterBench.open(vcenterSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }], workload: 'none' }]));
      const vm = bench.vm('shop-db');
      if (over) await bench.snapshot(vm, { operationId: 'older' });
      await bench.reconfigure(vm, { changeTrackingEnabled: true });
      const from = await bench.snapshot(vm, { operationId: 'a' });
      const [since] = await changeIds(bench, from);
      const [disk] = await bench.disks(vm);
      await bench.write(vm, disk!.backing.uuid!, 131_072, 512);
      const to = await bench.snapshot(vm, { operationId: 'b' });
      const asked = { snapshot: to, deviceKey: disk!.key, changeId: since!, capacityBytes: MIB };

      expect(await bench.changedAreas(vm, asked)).to.have.length(over ? 0 : 1);
      if (over) continue;
      await bench.lab.control.call('lab.addFault', { rule: { method: 'vim.QueryChangedDiskAreas', act: { lie: 'skipDirtyRange' } } });
      expect(await bench.changedAreas(vm, asked)).to.have.length(0);
    }
  });
});

describe('HotAdd in a simulated vCenter', () => {
  it('reads the file under a snapshot while the machine runs on', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    const uuid = disk!.backing.uuid!;
    const snapshot = await bench.snapshot(vm);

    expect(await failure(bench.device(uuid, false))).to.match(/has not appeared/);
    await bench.attach(disk!.backing.fileName, 'independent_nonpersistent');
    const device = await bench.device(uuid, false);
    const whole = new Uint8Array(device.sizeBytes);
    await device.read(0, whole);
    const expected = new Uint8Array(device.sizeBytes);
    const layer = bench.lab.estate.snapshots.get(snapshot.value as never)!.volumes[uuid as DiskId]!;
    bench.lab.estate.layer(layer).volume.read(0, expected);

    expect(Buffer.compare(whole, expected)).to.equal(0);
    expect((await bench.disks(bench.appliance)).map(({ backing }) => backing.uuid)).to.include(uuid);
    expect(await failure(device.write(0, new Uint8Array(512)))).to.match(/for reading only/);
    await bench.detach(uuid);
    expect(await failure(device.read(0, whole))).to.match(/is attached/);
    await bench.removeSnapshot(snapshot);
    expect(await bench.read(vm, 'runtime.consolidationNeeded')).to.equal(false);
  });

  it('leaves a snapshot to be consolidated that was removed while its file was attached', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    const snapshot = await bench.snapshot(vm);
    await bench.attach(disk!.backing.fileName, 'independent_nonpersistent');

    expect(await failure(bench.removeSnapshot(snapshot))).to.match(/FileLocked/);
    expect(await bench.read(vm, 'snapshot')).to.equal(undefined);
    expect(await bench.read(vm, 'runtime.consolidationNeeded')).to.equal(true);
    expect(await failure(bench.run('ConsolidateVMDisks_Task', vm, {}))).to.match(/FileLocked/);
    await bench.detach(disk!.backing.uuid!);
    await bench.run('ConsolidateVMDisks_Task', vm, {});
    expect(await bench.read(vm, 'runtime.consolidationNeeded')).to.equal(false);
    expect((await bench.disks(vm))[0]!.backing.fileName).to.equal(disk!.backing.fileName);
  });

  it('opens no file that another has open for writing, and keeps a machine from starting on it', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    const { fileName, uuid } = disk!.backing;

    expect(await failure(bench.attach(fileName, 'independent_persistent'))).to.match(/FileLocked/);
    expect(await failure(bench.attach(fileName, 'independent_nonpersistent'))).to.match(/FileLocked/);
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.attach(fileName, 'independent_persistent');
    expect(await failure(bench.run('PowerOnVM_Task', vm, {}))).to.match(/FileLocked/);
    expect(await failure(bench.snapshot(vm))).to.match(/FileLocked/);
    await bench.detach(uuid!);
    await bench.run('PowerOnVM_Task', vm, {});
  });

  it('writes to a disk of a machine that is off; what was not flushed is lost in part with the power', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const machine = vm.value as MachineId;
    const [disk] = await bench.disks(vm);
    const { fileName, uuid } = disk!.backing;
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.attach(fileName, 'independent_persistent');
    const device = await bench.device(uuid!, true);
    const read = async () =>
      Buffer.from((await bench.lab.control.call('lab.read', { machine, disk: uuid as DiskId, offset: 0, length: 65_536 })).data);

    await device.write(0, new Uint8Array(65_536).fill(1));
    await device.flush();
    await device.write(0, new Uint8Array(65_536).fill(2));
    await bench.lab.control.call('lab.powerCut', { endpoint: 'vcenter-a' });

    const found = new Set(await read());
    expect([...found].sort()).to.deep.equal([1, 2]);
    await bench.detach(uuid!);
    expect(await bench.read(bench.appliance, 'runtime.powerState')).to.equal('poweredOn');
  });
});
