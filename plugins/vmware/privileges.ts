// What the account of an endpoint needs, by what it is for. docs/plugins/vmware.md is generated from this, and a test holds it against the calls that the plugin makes.

export type Purpose = 'assess' | 'protect' | 'recover';

export interface PrivilegeRow {
  /** As the vSphere API names it. */
  readonly id: string;
  readonly purposes: readonly Purpose[];
  readonly why: string;
}

const row = (id: string, purposes: readonly Purpose[], why: string): PrivilegeRow => ({ id, purposes, why });
const ALL: readonly Purpose[] = ['assess', 'protect', 'recover'];
const BOTH: readonly Purpose[] = ['protect', 'recover'];

export const PRIVILEGES: readonly PrivilegeRow[] = [
  row('System.View', ALL, 'see the inventory, its views and property collectors'),
  row('System.Read', ALL, 'read the properties of machines, hosts, networks and datastores'),
  row('VirtualMachine.Config.ChangeTracking', BOTH, 'enable change tracking'),
  row('VirtualMachine.State.CreateSnapshot', BOTH, 'take the snapshot of each cycle, and the one that a fork stands on'),
  row('VirtualMachine.State.RemoveSnapshot', BOTH, 'remove and consolidate snapshots'),
  row('VirtualMachine.State.RevertToSnapshot', ['recover'], 'discard a fork'),
  row('VirtualMachine.Provisioning.DiskRandomRead', ['protect'], 'ask which areas of a disk have changed, read disks by VDDK'),
  row('VirtualMachine.Provisioning.DiskRandomAccess', ['recover'], 'write disks by VDDK'),
  row('VirtualMachine.Config.DiskLease', BOTH, 'open disks by VDDK'),
  row('Datastore.Browse', BOTH, 'read disks of machines that are off by HTTPS'),
  row('Datastore.FileManagement', BOTH, 'read disks of machines that are off by HTTPS, delete disks that a promoted machine does not have'),
  row('Datastore.AllocateSpace', ['recover'], 'make the disks of replicas'),
  row('VirtualMachine.Config.AddExistingDisk', BOTH, 'attach disks to the appliance (HotAdd)'),
  row('VirtualMachine.Config.RemoveDisk', BOTH, 'detach disks from the appliance, delete disks of replicas'),
  row('VirtualMachine.Config.AdvancedConfig', BOTH, 'note owner, fencing epoch and attachments in the configuration of machines'),
  row('VirtualMachine.Inventory.Create', ['recover'], 'make replicas'),
  row('VirtualMachine.Inventory.CreateFromExisting', ['recover'], 'make test copies by cloning (--copy)'),
  row('VirtualMachine.Inventory.Delete', ['recover'], 'delete replicas and test copies'),
  row('VirtualMachine.Provisioning.Clone', ['recover'], 'make test copies by cloning (--copy)'),
  row('VirtualMachine.Config.AddNewDisk', ['recover'], 'add disks to replicas'),
  row('VirtualMachine.Config.DiskExtend', ['recover'], 'grow disks of replicas'),
  row('VirtualMachine.Config.AddRemoveDevice', ['recover'], 'give replicas controllers and network cards'),
  row('VirtualMachine.Config.EditDevice', ['recover'], 'connect network cards, and take them off the network when a machine is isolated'),
  row('VirtualMachine.Config.CPUCount', ['recover'], 'give a fork the processors of its recovery point'),
  row('VirtualMachine.Config.Memory', ['recover'], 'give a fork the memory of its recovery point'),
  row('VirtualMachine.Config.Settings', ['recover'], 'set firmware and boot options of replicas'),
  row('VirtualMachine.Config.Rename', ['recover'], 'name a fork, and give a discarded one its name back'),
  row('VirtualMachine.Config.Annotation', ['recover'], 'say on a replica that it is one'),
  row('VirtualMachine.Interact.DeviceConnection', ['recover'], 'plug and pull the network cable of a machine that runs'),
  row('VirtualMachine.Interact.PowerOn', ['recover'], 'start machines'),
  row('VirtualMachine.Interact.PowerOff', ['recover'], 'shut guests down, power machines off'),
  row('VirtualMachine.Provisioning.Customize', ['recover'], 'change addresses in guests'),
  row('Resource.AssignVMToPool', ['recover'], 'put replicas into a cluster or pool'),
  row('Network.Assign', ['recover'], 'connect network cards'),
  row('Host.Config.Network', ['recover'], 'make and remove isolated test networks'),
  row('Host.Config.AutoStart', ['recover'], 'keep a host from starting an isolated machine by itself'),
];

export const privilegesFor = (purpose: Purpose): string[] =>
  PRIVILEGES.filter(({ purposes }) => purposes.includes(purpose)).map(({ id }) => id);
