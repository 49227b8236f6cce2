// What goes wrong between an engine and a vCenter: each trouble has its message, and after it replication goes on with nothing lost.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { FaultRule } from '../../adapters/lab/port.ts';
import {
  type MoRef,
  typed,
  type VirtualDevice,
  type VirtualDeviceConfigSpec,
  type VirtualDisk,
  type VirtualMachineSnapshotInfo,
  type VsphereClient,
} from '../../adapters/vsphere/port.ts';
import { openVim25 } from '../../adapters/vsphere/vim25/client.ts';
import type { JobRecord } from '../../core/flow/flow.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;
const MACHINE = 'shop-web';

const prepared = async (): Promise<World> => {
  const world = await World.create({ diskBytes: 4 * MIB, writesPerSecond: 40 });
  await world.protect([MACHINE]);
  await world.advance(3_000);
  return world;
};

const addFault = (world: World, rule: FaultRule) => world.lab.control.call('lab.addFault', { rule });
const setVcenter = (world: World, endpoint: string, how: object) => world.lab.control.call('lab.setVcenter', { endpoint, ...how });

/** What the failed steps and the job itself say. */
const saidBy = async (world: World, job: JobRecord): Promise<string> => {
  const { steps } = (await world.engine.call('job.show', { id: job.id })) as {
    steps: { error?: { code: string; message: string; hint: string } }[];
  };
  return JSON.stringify([job.error, job.result, ...steps.map(({ error }) => error)]);
};

/** One more cycle; the replica is what the source was, and nothing is left. */
const goesOn = async (world: World): Promise<void> => {
  await world.lab.control.call('lab.clearFaults', {});
  await world.advance(1_000);
  await world.engine.sweep();
  await world.do('sync.now', { target: MACHINE });
  expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

const vcenterOf = (world: World, endpoint: string) =>
  openVim25(world.lab.openWire, { address: endpoint, username: 'somebody', password: 'else' });

const vmRef = (value: string): MoRef => ({ type: 'VirtualMachine', value });

const propsOf = async (client: VsphereClient, obj: MoRef, pathSet: readonly string[]): Promise<Record<string, unknown>> => {
  const specSet = [{ propSet: [{ type: obj.type, pathSet }], objectSet: [{ obj }] }];
  const { objects } = await client.call('RetrievePropertiesEx', client.content.propertyCollector, { specSet, options: {} });
  return Object.fromEntries((objects[0]?.propSet ?? []).map(({ name, val }) => [name, val]));
};

const devicesOf = async (client: VsphereClient, on: MoRef): Promise<readonly VirtualDevice[]> =>
  (await propsOf(client, on, ['config.hardware.device']))['config.hardware.device'] as readonly VirtualDevice[];

const untilSnapshot = async (client: VsphereClient, machine: MoRef): Promise<MoRef> => {
  for (;;) {
    const { snapshot } = await propsOf(client, machine, ['snapshot']);
    const [root] = (snapshot as VirtualMachineSnapshotInfo | undefined)?.rootSnapshotList ?? [];
    if (root) return root.snapshot;
  }
};

const firstDisk = async (client: VsphereClient, snapshot: MoRef): Promise<VirtualDisk> =>
  (await devicesOf(client, snapshot)).find((device): device is VirtualDisk => device.$type === 'VirtualDisk')!;

const independent = ({ backing }: VirtualDisk) =>
  typed('VirtualDiskFlatVer2BackingInfo', { fileName: (backing as { fileName: string }).fileName, diskMode: 'independent_nonpersistent' });

/** As another product would, which knows nothing of us. */
const reconfigure = async (client: VsphereClient, machine: MoRef, change: VirtualDeviceConfigSpec): Promise<void> => {
  const task = await client.call('ReconfigVM_Task', machine, { spec: { deviceChange: [change] } });
  for (;;) {
    const { 'info.state': state, 'info.error': error } = await propsOf(client, task, ['info.state', 'info.error']);
    if (state === 'success') return;
    if (state === 'error') throw new Error(JSON.stringify(error));
  }
};

/** So many log-ins since the world began to count. */
const countLogins = async (world: World): Promise<() => Promise<number>> => {
  await addFault(world, { id: 'logins', method: 'vim.Login', act: { delayMs: 0 } });
  return async () => (await world.lab.control.call('lab.faults', {})).faults.find(({ id }) => id === 'logins')?.matched ?? 0;
};

describe('trouble with a vCenter', () => {
  it('a session that expires in the middle of a copy is opened again, and the copy goes on', async () => {
    await using world = await prepared();
    await setVcenter(world, 'vcenter-a', { sessionIdleMs: 20_000 });
    await addFault(world, { method: 'device.read', act: { delayMs: 45_000 }, times: 2 });
    const logins = await countLogins(world);

    await world.do('sync.now', { target: MACHINE });

    expect(await logins()).to.be.greaterThan(0);
    expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);
    await goesOn(world);
  });

  it('a vCenter that restarts in the middle of a cycle costs that cycle at most', async () => {
    await using world = await prepared();
    await addFault(world, { method: 'device.read', act: { delayMs: 5_000 }, times: 1 });
    const running = world.run('sync.now', { target: MACHINE });
    await setVcenter(world, 'vcenter-a', { restart: true });
    await running;

    await goesOn(world);
  });

  it('an account that lost a privilege is told which one', async () => {
    await using world = await prepared();
    await setVcenter(world, 'vcenter-a', { missingPrivileges: ['VirtualMachine.State.CreateSnapshot'] });

    const job = await world.run('sync.now', { target: MACHINE });

    const said = await saidBy(world, job);
    expect(job.state).to.equal('Failed');
    expect(said).to.include('PERMISSION_DENIED').and.to.include('the account lacks the privilege VirtualMachine.State.CreateSnapshot');
    expect(said).to.include('grant VirtualMachine.State.CreateSnapshot to the account');
    await setVcenter(world, 'vcenter-a', { missingPrivileges: [] });
    await goesOn(world);
  });

  it('a task that never ends is given up at its deadline, with its name', async () => {
    await using world = await prepared();
    await addFault(world, { method: 'vim.CreateSnapshot_Task', act: { stall: true }, times: 1 });

    const job = await world.run('sync.now', { target: MACHINE });

    expect(job.state).to.equal('Failed');
    expect(await saidBy(world, job))
      .to.include('TIMED_OUT')
      .and.to.match(/CreateSnapshot_Task on VirtualMachine vm-\d+ was not done within 300 s|did not answer within/);
    await setVcenter(world, 'vcenter-a', { restart: true });
    await goesOn(world);
  });

  it('a disk that somebody else holds is named as locked', async () => {
    await using world = await prepared();
    await addFault(world, {
      method: 'vim.ReconfigVM_Task',
      endpoint: 'vcenter-a',
      act: { vimFault: 'FileLocked', detail: { file: '[store] a/b.vmdk' }, inTask: true },
    });

    const job = await world.run('sync.now', { target: MACHINE });

    expect(job.state).to.equal('Failed');
    expect(await saidBy(world, job))
      .to.include('FILE_LOCKED')
      .and.to.include('[store] a/b.vmdk');
    await goesOn(world);
  });

  it('a machine whose snapshot cannot be merged is named, and is consolidated when the holder lets go', async () => {
    await using world = await prepared();
    const held = vmRef((await world.machine(MACHINE)).machine);
    const holder = vmRef((await world.machine('shop-db')).machine);
    await using client = await vcenterOf(world, 'vcenter-a');
    await addFault(world, { method: 'device.read', act: { delayMs: 60_000 }, times: 1 });
    const running = world.run('sync.now', { target: MACHINE });
    const disk = await firstDisk(client, await untilSnapshot(client, held));
    await reconfigure(client, holder, {
      operation: 'add',
      device: { ...disk, key: -1, controllerKey: 1000, unitNumber: 12, backing: independent(disk) },
    });

    expect((await running).state).to.equal('Succeeded');
    await world.lab.control.call('lab.clearFaults', {});
    // The point was sealed before; on top of what could not be merged no new snapshot is taken.
    const next = await world.run('sync.now', { target: MACHINE });

    expect(next.state).to.equal('Failed');
    expect(await saidBy(world, next))
      .to.include('CONSOLIDATION_NEEDED')
      .and.to.include(`the disks of machine ${held.value} cannot be consolidated`);
    const attached = (await devicesOf(client, holder)).find(({ unitNumber, controllerKey }) => unitNumber === 12 && controllerKey === 1000);
    await reconfigure(client, holder, { operation: 'remove', device: attached! });
    await goesOn(world);
    const { snapshot, 'runtime.consolidationNeeded': needed } = await propsOf(client, held, ['snapshot', 'runtime.consolidationNeeded']);
    expect({ snapshot, needed }).to.deep.equal({ snapshot: undefined, needed: false });
  });

  it('a wrong password is no reason to try for ever', async () => {
    await using world = await prepared();
    await addFault(world, { method: 'vim.Login', act: { vimFault: 'InvalidLogin' } });
    await setVcenter(world, 'vcenter-a', { restart: true });

    const job = await world.run('sync.now', { target: MACHINE });

    expect(job.state).to.equal('Failed');
    expect(await saidBy(world, job))
      .to.include('AUTH_REJECTED')
      .and.to.include('the server rejects the user name or password');
    await goesOn(world);
  });

  it('what a process that is gone has attached to the appliance is detached before anything else', async () => {
    await using world = await prepared();
    await addFault(world, { method: 'device.read', act: { delayMs: 5_000 }, times: 1 });
    const running = world.run('sync.now', { target: MACHINE });
    world.faults.crashAt = world.faults.calls + 40;
    await world.untilCrash(running);
    await world.crashAndRestart();

    await goesOn(world);
    for (const endpoint of ['vcenter-a', 'vcenter-b']) {
      const { appliance } = await world.lab.control.call('lab.vcenter', { endpoint });
      const { spec } = await world.lab.control.call('lab.machine', { machine: appliance! });
      expect(spec.disks, endpoint).to.have.length(1);
    }
  });
});

describe('machines between VMware and other hypervisors', () => {
  for (const { machine, from, to } of [
    { machine: 'shop-db', from: 'vcenter-a', to: 'vmm-b' },
    { machine: 'shop-web', from: 'vcenter-a', to: 'kvm-b' },
    { machine: 'erp-db', from: 'vmm-a', to: 'vcenter-b' },
    { machine: 'files', from: 'servers-a', to: 'vcenter-b' },
  ]) {
    it(`${machine} goes from ${from} to ${to} and back, byte for byte`, async () => {
      await using world = await World.create({ diskBytes: 2 * MIB, writesPerSecond: 30 });
      const equal = async () => expect(await replicaDiffers(world, machine)).to.equal(undefined);
      const cycle = async () => {
        await world.advance(2_000);
        await world.do('sync.now', { target: machine });
        await equal();
      };
      await world.protect([machine], { target: to });
      await cycle();

      await world.do('failover.planned', { target: machine });
      if ((await world.item(machine)).state.protection === 'CommitPending') await world.do('failover.commit', { target: machine });
      await cycle();
      expect((await world.item(machine)).state.direction).to.deep.equal({ from: 'site-b', to: 'site-a' });
      await world.do('failback', { target: machine });
      await cycle();

      expect((await world.item(machine)).state.direction).to.deep.equal({ from: 'site-a', to: 'site-b' });
      expect((await world.verdict({ machine: (await world.machine(machine, from)).machine })).consistent).to.equal(true);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }
});
