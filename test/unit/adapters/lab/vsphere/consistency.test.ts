import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Dispatcher } from '../../../../../adapters/lab/dispatch.ts';
import { LabHome } from '../../../../../adapters/lab/home.ts';
import { serveInProcess } from '../../../../../adapters/lab/in-process.ts';
import { applianceOf } from '../../../../../adapters/lab/vsphere/appliance.ts';
import type { MachineId } from '../../../../../core/contract/index.ts';
import { failure, VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const MIB = 2 ** 20;

describe('a simulated vCenter over an end', () => {
  /** `clean`: an orderly end of the lab; else it was killed. */
  const restarted = async (
    clean: boolean,
    work: (bench: VcenterBench) => Promise<void>,
    then: (bench: VcenterBench) => Promise<void>,
  ): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), 'warmsite-lab-'));
    const open = () =>
      LabHome.open({
        directory,
        seed: 7,
        spec: () => ({ sites: [{ name: 'site-a', endpoints: [vcenterSpec()] }] }),
        clock: 'jump',
        say: () => undefined,
      });
    try {
      const first = open();
      const before = await VcenterBench.over(serveInProcess(new Dispatcher(first.estate, 1)));
      await work(before);
      first.save(false);
      if (clean) first.close();
      const again = await VcenterBench.over(serveInProcess(new Dispatcher(open().estate, 1)));
      await then(again);
      await again[Symbol.asyncDispose]();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  it('of the lab in order, goes on: snapshots, overlays, attachments, and ids of changes that still hold', async () => {
    let frozen: string[] = [];
    let asked = { changeId: '', deviceKey: 0 };
    await restarted(
      true,
      async (bench) => {
        const vm = bench.vm('shop-db');
        await bench.reconfigure(vm, { changeTrackingEnabled: true, extraConfig: [{ key: 'k', value: 'v' }] });
        const snapshot = await bench.snapshot(vm, { operationId: 'a' });
        const [disk] = await bench.disks(vm);
        await bench.attach(disk!.backing.parent!.fileName, 'independent_nonpersistent');
        asked = { changeId: disk!.backing.changeId!, deviceKey: disk!.key };
        await bench.lab.control.call('lab.setWorkload', { paused: true });
        frozen = await bench.digests({ snapshot: snapshot.value });
      },
      async (bench) => {
        const vm = bench.vm('shop-db');
        const [disk] = await bench.disks(vm);
        const { value } = (await bench.read<{ currentSnapshot: { value: string } }>(vm, 'snapshot')).currentSnapshot;
        expect(await bench.digests({ snapshot: value })).to.deep.equal(frozen);
        expect((await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId })).status).to.include({
          guestUp: true,
          power: 'on',
        });
        expect((await bench.lab.control.call('lab.inspect', { of: { machine: vm.value as MachineId } })).verdict.consistent).to.equal(true);
        expect((await bench.config(vm)).extraConfig?.[0]).to.include({ key: 'k', value: 'v' });
        const device = await bench.device(disk!.backing.uuid!, false);
        await device.read(0, new Uint8Array(512));
        await bench.detach(disk!.backing.uuid!);
        const next = await bench.snapshot(vm, { operationId: 'b' });
        await bench.changedAreas(vm, { snapshot: next, ...asked, capacityBytes: MIB });
        await bench.removeSnapshot({ type: 'VirtualMachineSnapshot', value });
        await bench.removeSnapshot(next);
        expect((await bench.disks(vm))[0]!.backing.fileName).to.equal('[ds-1] shop-db/shop-db.vmdk');
      },
    );
  });

  it('of the lab by a kill, is a power cut: what stood on the disks stands there, and trackers begin anew', async () => {
    let changeId = '';
    await restarted(
      false,
      async (bench) => {
        const vm = bench.vm('shop-db');
        await bench.reconfigure(vm, { changeTrackingEnabled: true });
        await bench.snapshot(vm, { operationId: 'a' });
        changeId = (await bench.disks(vm))[0]!.backing.changeId!;
      },
      async (bench) => {
        const vm = bench.vm('shop-db');
        expect(await bench.read(vm, 'runtime.powerState')).to.equal('poweredOn');
        expect(await bench.read(bench.appliance, 'runtime.powerState')).to.equal('poweredOn');
        const { verdict } = await bench.lab.control.call('lab.inspect', { of: { machine: vm.value as MachineId } });
        expect(verdict.consistent, verdict.problems.join()).to.equal(true);
        const snapshot = await bench.snapshot(vm, { operationId: 'b' });
        const [disk] = await bench.disks(vm);
        const query = bench.call('QueryChangedDiskAreas', vm, { snapshot, deviceKey: disk!.key, startOffset: 0, changeId });
        expect(await failure(query)).to.match(/FileFault/);
      },
    );
  });

  it('of its site keeps everything for the day when the site is back', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const frozen = await bench.digests({ snapshot: snapshot.value });
    const { estate, control } = bench.lab;

    await control.call('lab.burnSite', { site: 'site-a' });
    expect(applianceOf(estate, estate.endpoint('vcenter-a'))!.power).to.equal('off');
    expect(await failure(bench.read(vm, 'name'))).to.match(/CONNECTION|does not answer|lost/);
    await control.call('lab.restoreSite', { site: 'site-a' });

    await using again = await VcenterBench.over(bench.lab);
    expect(applianceOf(estate, estate.endpoint('vcenter-a'))!.power).to.equal('on');
    expect(await again.digests({ snapshot: snapshot.value })).to.deep.equal(frozen);
    await again.removeSnapshot(snapshot);
    expect(await again.read(vm, 'runtime.consolidationNeeded')).to.equal(false);
  });

  it('of power at its hosts ends no attachment: the appliance starts again with it', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    await bench.snapshot(vm, { operationId: 'a' });
    await bench.attach(disk!.backing.fileName, 'independent_nonpersistent');

    await bench.lab.control.call('lab.powerCut', { endpoint: 'vcenter-a' });

    const device = await bench.device(disk!.backing.uuid!, false);
    await device.read(0, new Uint8Array(512));
    await bench.run('PowerOnVM_Task', vm, {});
  });
});

describe('the block devices of an appliance', () => {
  it('fail, wait and lie as the rules of the lab ask', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.attach(disk!.backing.fileName, 'independent_persistent');
    const device = await bench.device(disk!.backing.uuid!, true);
    const rule = (method: string, act: object) => bench.lab.control.call('lab.addFault', { rule: { method, times: 1, act: act as never } });

    await device.write(0, new Uint8Array(1024).fill(1));
    await rule('device.read', { lie: 'halfData' });
    const data = new Uint8Array(1024);
    await device.read(0, data);
    expect(data.indexOf(0)).to.equal(512);
    await rule('device.write', { error: 'TARGET_FULL' });
    expect(await failure(device.write(0, new Uint8Array(512)))).to.match(/TARGET_FULL|fault was asked/);

    await rule('device.flush', { lie: 'noFlush' });
    const half = 65_536;
    await device.flush();
    await device.writeZeroes(0, half);
    await rule('device.flush', { lie: 'noFlush' });
    await device.flush();
    await bench.lab.control.call('lab.powerCut', { endpoint: 'vcenter-a' });
    const after = new Uint8Array(half);
    await device.read(0, after);
    expect(after.some((byte) => byte !== 0)).to.equal(true);
  });

  it('refuse what does not lie on the disk, and what the datastore has no room for', async () => {
    await using bench = await VcenterBench.open(
      vcenterSpec([{ name: 'small', disks: [{ sizeBytes: MIB }], workload: 'none', power: 'off' }], {
        storage: [{ name: 'ds-1', capacityBytes: 262_144 }],
      }),
    );
    const [disk] = await bench.disks(bench.vm('small'));
    await bench.attach(disk!.backing.fileName, 'independent_persistent');
    const device = await bench.device(disk!.backing.uuid!, true);

    expect(await failure(device.read(MIB, new Uint8Array(512)))).to.match(/out of bounds/);
    expect(await failure(device.write(1, new Uint8Array(512)))).to.match(/not aligned/);
    expect(await failure(device.write(0, new Uint8Array(MIB)))).to.match(/bytes left/);
    await device.write(0, new Uint8Array(65_536).fill(3));
  });
});
