import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { VimMethod } from '../../../../adapters/vsphere/port.ts';
import { methodPrivilege } from '../../../../adapters/vsphere/vim25/schema.ts';
import { isDrError, type PlaceId, type Session } from '../../../../core/contract/index.ts';
import { PRIVILEGES, privilegesFor } from '../../../../plugins/vmware/privileges.ts';
import { callOf, codesOf, disk, forkOf, Ground, replicaOf, snapshotSource } from './ground.ts';

/** Every verb of the contract once, as a protected machine's life has them. */
const life = async (ground: Ground, session: Session): Promise<void> => {
  const { inventory, power, target, network, fence } = session;
  await session.check(callOf());
  const machine = await ground.machine(session, 'web');
  await inventory.checkProtectable(machine.id, 'source', callOf());
  for (const kind of ['network', 'storage', 'folder', 'host', 'pool'] as const) await Array.fromAsync(inventory.listPlaces(kind, callOf()));
  const source = snapshotSource(session);
  await source.enableTracking(machine.id, callOf());
  const wanted = { consistency: 'crash', orElse: 'crash' } as const;
  const first = await source.createSnapshot([machine.id], { ...wanted, since: new Map() }, callOf());
  const since = new Map(first.disks.map((row) => [row.disk, row.baseline!]));
  const [row] = machine.spec.disks;
  await Array.fromAsync(source.allocatedExtents(first.id, row!.id, 0, callOf()));
  {
    await using reader = await source.openReader(first.id, row!.id, callOf());
    await reader.read(0, new Uint8Array(512), callOf());
  }
  await source.releaseSnapshot(first.id, 'sealed', callOf());
  const second = await source.createSnapshot([machine.id], { ...wanted, since }, callOf());
  await Array.fromAsync(source.changedExtents(second.id, row!.id, 0, callOf()));
  await source.releaseSnapshot(second.id, 'sealed', callOf());

  const placed = await replicaOf(session, machine);
  {
    await using handle = await target!.openReplicaDisk(placed.machine.id, placed.machine.spec.disks[0]!.id, callOf());
    await handle.write(0, new Uint8Array(512).fill(1), callOf());
    await handle.flush(callOf());
  }
  const larger = { ...machine.spec, disks: machine.spec.disks.map((one) => ({ ...one, sizeBytes: one.sizeBytes * 2 })) };
  await target!.reshapeReplica(placed.machine.id, larger, callOf());
  const production = (await Array.fromAsync(inventory.listPlaces('network', callOf()))).find(({ name }) => name === 'production')!.id;
  const bubble = await network!.createTestNetwork(production, callOf());
  const nics = new Map(machine.spec.nics.map(({ id }): [typeof id, PlaceId] => [id, bubble.id]));
  const trial = await forkOf(session, placed, { purpose: 'test', spec: larger, nics, name: 'trial' });
  await network!.setGuestAddresses(trial.machine.id, new Map([[trial.machine.spec.nics[0]!.id, { ipv4: '10.9.0.1/24' }]]), callOf());
  await power!.set(trial.machine.id, 'on', callOf());
  await power!.set(trial.machine.id, 'off', callOf());
  await target!.forks!.discard(trial.id, callOf());
  const copy = await forkOf(session, placed, { mode: 'clone', purpose: 'test', spec: larger, name: 'copy of it' });
  await target!.forks!.discard(copy.id, callOf());
  await network!.deleteTestNetwork(bubble.id, callOf());
  await power!.set(machine.id, 'shutdown', callOf());
  const real = await forkOf(session, placed, { spec: { ...larger, disks: larger.disks.slice(0, 1) }, name: 'real' });
  await network!.connectNic(real.machine.id, real.machine.spec.nics[0]!.id, production, callOf());
  await power!.set(real.machine.id, 'on', callOf());
  await target!.forks!.promote(real.id, callOf());
  await power!.set(machine.id, 'on', callOf());
  await fence!.isolate(machine.id, callOf());
  await target!.adoptReplica(machine.id, machine.spec, callOf());
  const other = await replicaOf(session, machine, {}, 'another');
  await target!.deleteReplicaDisk(other.machine.id, other.machine.spec.disks[1]!.id, callOf());
  await target!.deleteReplica!(other.machine.id, callOf());
};

const grounded = () => Ground.create({ machines: [{ name: 'web', disks: [disk(), disk()], writesPerSecond: 0, autostart: true }] });

/** How the life goes on without the privilege: through, or the error that ends it. */
const without = async (privilege: string): Promise<unknown> => {
  await using ground = await grounded();
  await ground.vcenter({ missingPrivileges: [privilege] });
  return ground
    .connect()
    .then((session) => life(ground, session))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
};

/**
 * What the simulated vCenter does not miss, because the privilege depends on what a request changes, or belongs to VDDK and files, which have
 * no method with a privilege of its own.
 */
const NOT_MISSED: readonly string[] = [
  'Datastore.AllocateSpace',
  'Datastore.Browse',
  'Datastore.FileManagement',
  'Network.Assign',
  'Resource.AssignVMToPool',
  'VirtualMachine.Config.AddExistingDisk',
  'VirtualMachine.Config.AddNewDisk',
  'VirtualMachine.Config.AddRemoveDevice',
  'VirtualMachine.Config.AdvancedConfig',
  'VirtualMachine.Config.Annotation',
  'VirtualMachine.Config.CPUCount',
  'VirtualMachine.Config.ChangeTracking',
  'VirtualMachine.Config.DiskExtend',
  'VirtualMachine.Config.DiskLease',
  'VirtualMachine.Config.EditDevice',
  'VirtualMachine.Config.Memory',
  'VirtualMachine.Config.RemoveDisk',
  'VirtualMachine.Config.Rename',
  'VirtualMachine.Config.Settings',
  'VirtualMachine.Interact.DeviceConnection',
  'VirtualMachine.Inventory.CreateFromExisting',
  'VirtualMachine.Inventory.Delete',
  'VirtualMachine.Provisioning.Clone',
  'VirtualMachine.Provisioning.DiskRandomAccess',
];

describe('the privileges that the account of an endpoint needs', () => {
  it('are those of the methods that the plugin calls', async () => {
    await using ground = await grounded();
    await life(ground, await ground.connect());
    const called = new Set<VimMethod>(ground.seen.map(({ method }) => method));

    const needed = new Set([...called].map(methodPrivilege).filter((id) => id !== undefined && id !== 'System.Anonymous'));

    const listed = PRIVILEGES.map(({ id }) => id);
    expect([...needed].filter((id) => !listed.includes(id!))).to.deep.equal([]);
    // The life that is lived here is a whole one.
    expect([...called]).to.include.members([
      'QueryChangedDiskAreas',
      'RevertToSnapshot_Task',
      'CloneVM_Task',
      'CustomizeVM_Task',
      'ShutdownGuest',
      'ReconfigureAutostart',
      'DeleteVirtualDisk_Task',
      'AddPortGroup',
      'Rename_Task',
    ]);
  }).timeout(20_000);

  it('are each named when they are missing, and are listed here where nobody misses them', async () => {
    const notMissed: string[] = [];
    for (const { id } of PRIVILEGES) {
      const error = await without(id);
      if (error === undefined) {
        notMissed.push(id);
        continue;
      }
      expect(isDrError(error, 'PERMISSION_DENIED'), `${id}: ${String(error)}`).to.equal(true);
      expect(String(error)).to.include(id);
      expect((error as { hint: string }).hint).to.include(`grant ${id}`);
    }

    expect(notMissed.sort()).to.deep.equal([...NOT_MISSED].sort());
  }).timeout(60_000);

  it('are told by the check for each purpose, and no more than it takes', async () => {
    await using ground = await grounded();
    const session = await ground.connect();
    const told = async () => (await session.check(callOf())).filter(({ code }) => code.startsWith('RIGHTS'));
    expect(codesOf(await told())).to.deep.equal(['RIGHTS', 'RIGHTS', 'RIGHTS']);

    await ground.vcenter({ missingPrivileges: ['VirtualMachine.Interact.PowerOn'] });

    const findings = await told();
    expect(findings.map(({ code, message }) => `${code} ${message}`)).to.deep.equal([
      'RIGHTS the account may do all that it takes to assess',
      'RIGHTS the account may do all that it takes to protect',
      'RIGHTS_MISSING to recover the account lacks VirtualMachine.Interact.PowerOn at the root',
    ]);
    expect(privilegesFor('assess')).to.deep.equal(['System.View', 'System.Read']);
  });
});
