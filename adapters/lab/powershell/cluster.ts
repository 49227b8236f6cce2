// Cmdlets of FailoverClusters, on the nodes of a cluster.
import { int, member, object, type PsObject, type Shape } from './cells.ts';
import { hvMachinesOf } from './equipment.ts';
import { brokerName, clusterName, coordinator, guidFrom, hostOf, idOnHosts } from './fabric.ts';
import { PsFailure } from './failures.ts';
import { type Handlers, machineHere, nothing, placeOf } from './handlers.ts';
import type { At, HostRecord, Hv } from './model.ts';
import { type VolumeOfHost, volumesOf } from './paths.ts';
import { freeBytes } from './vhd-object.ts';

const CLUSTERS = 'Microsoft.FailoverClusters.PowerShell.';

interface OfNode {
  readonly at: At;
  readonly host: HostRecord;
}

const NODE: Shape<OfNode> = {
  type: `${CLUSTERS}ClusterNode`,
  text: ({ host }) => host.name,
  properties: {
    Name: ({ host }) => host.name,
    NodeName: ({ host }) => host.name,
    Id: ({ at, host }) => String(at.hyperv.hosts.indexOf(host) + 1),
    State: ({ host }) => member('ClusterNodeState', host.up ? 'Up' : 'Down'),
    Cluster: ({ at }) => clusterName(at),
  },
};

const nodeObject = (of: OfNode): PsObject => object(NODE, of);

const CLUSTER: Shape<At> = {
  type: `${CLUSTERS}Cluster`,
  text: clusterName,
  properties: {
    Name: clusterName,
    Domain: () => 'lab.invalid',
    Id: (at) => guidFrom(at.endpoint.name, 'cluster'),
    ClusterFunctionalLevel: () => 11,
  },
};

interface OfGroup {
  readonly at: At;
  /** Absent: a group of the cluster itself. */
  readonly machine?: Hv;
  readonly name: string;
  readonly type: 'Cluster' | 'AvailableStorage' | 'VMReplicaBroker' | 'VirtualMachine';
}

const ownerOf = ({ at, machine }: OfGroup): HostRecord => (machine ? hostOf(at, machine) : (coordinator(at.hyperv) ?? at.hyperv.hosts[0]!));

const GROUP: Shape<OfGroup> = {
  type: `${CLUSTERS}ClusterGroup`,
  text: ({ name }) => name,
  properties: {
    Name: ({ name }) => name,
    Id: ({ at, name, machine }) => guidFrom(at.endpoint.name, 'group', machine?.id ?? name),
    GroupType: ({ type }) => member('GroupType', type),
    OwnerNode: (of) => nodeObject({ at: of.at, host: ownerOf(of) }),
    State: ({ machine }) => member('ClusterGroupState', machine?.power === 'off' ? 'Offline' : 'Online'),
    Cluster: ({ at }) => clusterName(at),
  },
};

const groupsOf = (at: At): OfGroup[] => [
  { at, name: 'Cluster Group', type: 'Cluster' },
  { at, name: 'Available Storage', type: 'AvailableStorage' },
  { at, name: brokerName(at), type: 'VMReplicaBroker' },
  ...hvMachinesOf(at)
    .filter(({ hv }) => hv.clustered)
    .map((machine): OfGroup => ({ at, machine, name: machine.name, type: 'VirtualMachine' })),
];

const groupObject = (of: OfGroup): PsObject => object(GROUP, of, of.machine?.id);

const RESOURCE: Shape<OfGroup & { readonly kind: string }> = {
  type: `${CLUSTERS}ClusterResource`,
  text: ({ kind, name }) => `${kind} ${name}`,
  properties: {
    Name: ({ kind, name }) => `${kind} ${name}`,
    Id: ({ at, kind, name, machine }) => guidFrom(at.endpoint.name, kind, machine?.id ?? name),
    ResourceType: ({ kind }) => kind,
    OwnerGroup: (of) => groupObject(of),
    OwnerNode: (of) => nodeObject({ at: of.at, host: ownerOf(of) }),
    State: ({ machine }) => member('ClusterResourceState', machine?.power === 'off' ? 'Offline' : 'Online'),
  },
};

interface OfShared {
  readonly at: At;
  readonly volume: VolumeOfHost;
}

const PARTITION: Shape<OfShared> = {
  type: `${CLUSTERS}ClusterDiskPartitionInfo`,
  text: () => `${CLUSTERS}ClusterDiskPartitionInfo`,
  properties: {
    Name: ({ volume }) => `\\\\?\\Volume{${volume.place.id}}\\`,
    Size: ({ volume }) => int(volume.place.capacityBytes ?? 0),
    FreeSpace: (of) => int(freeBytes(of)),
    UsedSpace: (of) => int((of.volume.place.capacityBytes ?? 0) - freeBytes(of)),
  },
};

const SHARED_INFO: Shape<OfShared> = {
  type: `${CLUSTERS}ClusterSharedVolumeInfo`,
  text: () => `${CLUSTERS}ClusterSharedVolumeInfo`,
  properties: {
    FriendlyVolumeName: ({ volume }) => volume.root,
    VolumeName: ({ volume }) => `\\\\?\\Volume{${volume.place.id}}\\`,
    Partition: (of) => object(PARTITION, of),
    MaintenanceMode: () => false,
  },
};

const SHARED: Shape<OfShared> = {
  type: `${CLUSTERS}ClusterSharedVolume`,
  text: ({ volume }) => volume.place.name,
  properties: {
    Name: ({ volume }) => volume.place.name,
    Id: ({ at, volume }) => guidFrom(at.endpoint.name, 'csv', volume.place.id),
    State: () => member('ClusterResourceState', 'Online'),
    OwnerNode: ({ at }) => nodeObject({ at, host: coordinator(at.hyperv) ?? at.hyperv.hosts[0]! }),
    // One for each partition.
    SharedVolumeInfo: (of) => [object(SHARED_INFO, of)],
  },
};

const noGroup = (id: string): PsFailure =>
  new PsFailure({
    category: 'ObjectNotFound',
    id: 'ClusterObjectNotFound',
    message: `Unable to find a cluster group of the virtual machine ${id}.`,
    type: `${CLUSTERS}ClusterCmdletException`,
    target: id,
  });

export const cluster: Handlers = {
  'Get-Cluster': (context) => [object(CLUSTER, placeOf(context))],
  'Get-ClusterNode': (context) => context.hyperv.hosts.map((host) => nodeObject({ at: placeOf(context), host })),
  'Get-ClusterGroup': (context) => groupsOf(placeOf(context)).map(groupObject),
  'Get-ClusterResource': (context) =>
    groupsOf(placeOf(context))
      .filter(({ machine }) => machine)
      .flatMap((of) =>
        ['Virtual Machine', 'Virtual Machine Configuration'].map((kind) => object(RESOURCE, { ...of, kind }, of.machine?.id)),
      ),
  'Get-ClusterSharedVolume': (context) => {
    const at = placeOf(context);
    return volumesOf(at).map((volume) => object(SHARED, { at, volume }));
  },

  'Add-ClusterVirtualMachineRole': (context, args) => {
    const machine = machineHere(context, args.text('VMId'));
    if (machine.hv.clustered) {
      throw new PsFailure({
        category: 'InvalidOperation',
        id: 'InvalidState',
        message: `The virtual machine '${machine.name}' is clustered already.`,
      });
    }
    machine.hv.clustered = true;
    context.estate.touch(machine);
    return [groupObject({ at: placeOf(context), machine, name: machine.name, type: 'VirtualMachine' })];
  },

  /** The machine itself stays. */
  'Remove-ClusterGroup': (context, args) => {
    const id = args.text('VMId');
    const machine = hvMachinesOf(context).find((one) => idOnHosts(one) === id && one.hv.clustered);
    if (!machine) throw noGroup(id);
    machine.hv.clustered = false;
    context.estate.touch(machine);
    return nothing;
  },
};
