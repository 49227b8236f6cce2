// Requests that must have equal replies by both ways: every cmdlet on the list, what fails, what warns, what is hostile.
import type { Cmdlet } from '../../adapters/powershell/allowed.ts';
import type { Argument, PsError, PsRow, Step, StepResult } from '../../adapters/powershell/port.ts';

/** What a request came to: its results, or the record of its error. */
export type Outcome = readonly StepResult[] | PsError;

/** Plays requests on one estate, one after the other. */
export interface Player {
  /** Rows of the last step; none where the request failed. */
  run(...steps: Step[]): Promise<readonly PsRow[]>;
  /** Lets what the host has begun come to its end. */
  advance(ms: number): Promise<void>;
  /** Of the machine with the name. */
  id(name: string): string;
}

export type Recording = (play: Player) => Promise<void>;

const HOSTILE = [
  '"; Remove-VM *',
  '$(reboot)',
  "';exit",
  '`n`0',
  '\u0000',
  '\u2028\u2029\r\n',
  '😀数据',
  '[*]?',
  '‘’‚‛“”„',
  '{"$step":0}',
  '<![CDATA[&amp;',
  'x'.repeat(300),
];

const NAMESPACE = 'root/virtualization/v2';
const VM: Argument = { $step: 0 };

type Params = Readonly<Record<string, Argument>>;

const step = (cmdlet: Cmdlet, params: Params = {}, select: readonly string[] = []): Step => ({ cmdlet, params, select });
const instances = (ClassName: string, select: readonly string[] = [], filter?: string): Step =>
  step('Get-CimInstance', { Namespace: NAMESPACE, ClassName, ...(filter === undefined ? {} : { Filter: filter }) }, select);
const associated = (of: number, Association: string, ResultClassName: string, select: readonly string[]): Step =>
  step('Get-CimAssociatedInstance', { InputObject: { $step: of }, Association, ResultClassName }, select);

/** About the machine that Get-VM gives first. */
const aboutVm = (id: string, cmdlet: Cmdlet, params: Params = {}, select: readonly string[] = []): Step[] => [
  step('Get-VM', { Id: id }),
  step(cmdlet, { VM, ...params }, select),
];

const VM_PROPERTIES = [
  ...['Id', 'name', 'State', 'OperationalStatus', 'Generation', 'Version', 'ProcessorCount', 'MemoryStartup', 'Uptime', 'CreationTime'],
  ...['Notes', 'IsClustered', 'Heartbeat', 'CheckpointType', 'AutomaticStartAction', 'AutomaticStopAction', 'ParentSnapshotId'],
  ...[
    'HardDrives',
    'HardDrives.Path',
    'HardDrives.ControllerType',
    'NetworkAdapters.SwitchName',
    'NetworkAdapters.VlanSetting.AccessVlanId',
  ],
  'FromTheFuture?',
];

export const HOST: readonly (readonly [string, Recording])[] = [
  [
    'the host',
    async ({ run }) => {
      await run(step('Get-VMHost', {}, ['Name', 'LogicalProcessorCount', 'MemoryCapacity', 'VirtualHardDiskPath']));
      await run(step('Get-VMHostSupportedVersion', {}, ['Version', 'IsDefault']));
      await run(step('Get-Volume', {}, ['DriveLetter', 'Size', 'SizeRemaining', 'Path', 'FileSystemLabel']));
      const [made] = await run(
        step('New-VMSwitch', { Name: 'isolated', SwitchType: 'Private', Notes: 'ours' }, ['Id', 'Name', 'SwitchType', 'Notes']),
      );
      await run(step('Get-VMSwitch', {}, ['Id', 'Name', 'SwitchType', 'Notes']));
      await run(step('Get-VMSwitch', { Id: made?.['Id'] as string }), step('Remove-VMSwitch', { VMSwitch: { $step: 0 }, Force: true }));
      await run(step('Get-VMSwitch', { Id: made?.['Id'] as string }, ['Id']));
    },
  ],
  [
    'a machine',
    async ({ run, id }) => {
      await run(step('Get-VM', {}, VM_PROPERTIES));
      const db = id('shop-db');
      await run(...aboutVm(db, 'Get-VMIntegrationService', {}, ['Name', 'Enabled', 'PrimaryOperationalStatus?']));
      await run(...aboutVm(db, 'Get-VMFirmware', {}, ['SecureBoot', 'SecureBootTemplate', 'BootOrder.BootType', 'BootOrder']));
      await run(...aboutVm(db, 'Get-VMSecurity', {}, ['TpmEnabled', 'Shielded']));
      await run(...aboutVm(db, 'Start-VM'));
      await run(...aboutVm(db, 'Stop-VM', { TurnOff: true, Force: true }), step('Get-VM', { Id: db }, ['State']));
      await run(...aboutVm(db, 'Start-VM'), step('Get-VM', { Id: db }, ['State', 'Uptime']));
      await run(...aboutVm(db, 'Stop-VM', { Force: true }));
    },
  ],
  [
    'a new machine',
    async ({ run, advance }) => {
      const [made] = await run(
        step('New-VM', { Name: 'new', Generation: 2, MemoryStartupBytes: 2 ** 30, NoVHD: true, Path: 'D:\\made', Version: '9.0' }, [
          'Id',
          'Path',
        ]),
      );
      const id = String(made?.['Id']);
      await run(
        ...aboutVm(id, 'Set-VM', {
          Notes: 'kept',
          AutomaticStartAction: 'Nothing',
          AutomaticStopAction: 'ShutDown',
          CheckpointType: 'Standard',
          AutomaticCheckpointsEnabled: false,
        }),
        step('Get-VM', { Id: id }, VM_PROPERTIES),
      );
      await run(
        ...aboutVm(id, 'Set-VMMemory', { DynamicMemoryEnabled: true, StartupBytes: 2 ** 31, MinimumBytes: 2 ** 30, MaximumBytes: 2 ** 32 }),
      );
      await run(
        ...aboutVm(id, 'Set-VMMemory', { DynamicMemoryEnabled: true, StartupBytes: 2 ** 31, MinimumBytes: 2 ** 32, MaximumBytes: 2 ** 32 }),
      );
      await run(...aboutVm(id, 'Set-VMProcessor', { Count: 4 }), step('Get-VM', { Id: id }, ['ProcessorCount', 'MemoryMaximum']));
      await run(
        step(
          'New-VHD',
          { Path: 'D:\\made\\a.vhdx', SizeBytes: 2 ** 20, Dynamic: true, LogicalSectorSizeBytes: 512, PhysicalSectorSizeBytes: 4096 },
          [...['Path', 'Size', 'VhdType', 'VhdFormat', 'LogicalSectorSize', 'BlockSize', 'DiskNumber', 'ParentPath', 'Attached']],
        ),
      );
      await run(
        step('New-VHD', { Path: 'D:\\made\\b.vhdx', ParentPath: 'D:\\made\\a.vhdx', Differencing: true }, ['VhdType', 'ParentPath']),
      );
      await run(step('Set-VHD', { Path: 'D:\\made\\b.vhdx', ResetDiskIdentifier: true, Force: true }));
      await run(step('Convert-VHD', { Path: 'D:\\made\\b.vhdx', DestinationPath: 'D:\\made\\c.vhdx', VHDType: 'Dynamic' }));
      await run(
        step('Resize-VHD', { Path: 'D:\\made\\c.vhdx', SizeBytes: 2 ** 21 }),
        step('Get-VHD', { Path: 'D:\\made\\c.vhdx' }, ['Size', 'FileSize']),
      );
      await run(...aboutVm(id, 'Add-VMScsiController'), step('Get-VMScsiController', { VM }, ['ControllerNumber']));
      await run(
        ...aboutVm(
          id,
          'Add-VMHardDiskDrive',
          { ControllerType: 'SCSI', ControllerNumber: 0, ControllerLocation: 1, Path: 'D:\\made\\c.vhdx', Passthru: true },
          ['Path'],
        ),
      );
      await run(
        ...aboutVm(id, 'Get-VMHardDiskDrive', {}, ['Id', 'Path', 'ControllerType', 'VMSnapshotId']),
        step('Set-VMFirmware', {
          VM,
          EnableSecureBoot: 'Off',
          FirstBootDevice: { $step: 1 },
        }),
      );
      await run(...aboutVm(id, 'Get-VMDvdDrive', {}, ['Path']), step('Remove-VMDvdDrive', { VMDvdDrive: { $step: 1 } }));
      await run(...aboutVm(id, 'Start-VM'), step('Get-VM', { Id: id }, ['State', 'HardDrives.IsDeleted']));
      await run(...aboutVm(id, 'Stop-VM', { TurnOff: true }));
      await advance(5_000);
      await run(...aboutVm(id, 'Get-VMHardDiskDrive'), step('Remove-VMHardDiskDrive', { VMHardDiskDrive: { $step: 1 } }));
      await run(step('Remove-Item', { LiteralPath: ['D:\\made\\c.vhdx', 'D:\\made\\b.vhdx'] }));
      await run(step('Remove-Item', { LiteralPath: 'D:\\made\\c.vhdx' }));
      await run(...aboutVm(id, 'Rename-VM', { NewName: 'renamed' }), step('Remove-VM', { VM, Force: true }), step('Get-VM', { Id: id }));
    },
  ],
  [
    'disks of the host',
    async ({ run }) => {
      await run(step('New-VHD', { Path: 'D:\\m.vhdx', SizeBytes: 2 ** 20, Dynamic: true }));
      const [mounted] = await run(
        step('Mount-VHD', { Path: 'D:\\m.vhdx', NoDriveLetter: true, Passthru: true }, ['DiskNumber', 'Attached']),
        step('Get-VHD', { Path: 'D:\\m.vhdx' }, ['DiskNumber', 'Number']),
      );
      await run(step('Set-Disk', { Number: Number(mounted?.['DiskNumber']), IsOffline: true }));
      await run(step('Set-Disk', { Number: 99, IsReadOnly: false }));
      await run(step('Remove-Item', { LiteralPath: 'D:\\m.vhdx' }));
      await run(step('Dismount-VHD', { Path: 'D:\\m.vhdx' }));
      await run(step('Dismount-VHD', { Path: 'D:\\m.vhdx' }));
    },
  ],
  [
    'cards',
    async ({ run, id }) => {
      const web = id('shop-web');
      await run(
        ...aboutVm(web, 'Get-VMNetworkAdapter', {}, ['Id', 'Name', 'MacAddress', 'SwitchName', 'SwitchId', 'IPAddresses', 'Connected']),
      );
      await run(
        ...aboutVm(web, 'Add-VMNetworkAdapter', { Name: 'second', StaticMacAddress: '00155D010203', Passthru: true }, [
          'Name',
          'MacAddress',
        ]),
      );
      const second = step('Get-VMNetworkAdapter', { VM });
      const card: Argument = { $step: 1, $where: { property: 'Name', is: 'SECOND' } };
      const about = (...steps: Step[]): Promise<unknown> => run(step('Get-VM', { Id: web }), second, ...steps);
      await about(
        step('Get-VMSwitch'),
        step('Connect-VMNetworkAdapter', {
          VMNetworkAdapter: card,
          VMSwitch: { $step: 2, $where: { property: 'Name', is: 'management' } },
        }),
        step('Get-VMNetworkAdapter', { VM }, ['SwitchName']),
      );
      await about(step('Set-VMNetworkAdapterVlan', { VMNetworkAdapter: card, Access: true, VlanId: 12 }));
      await about(
        step('Get-VMNetworkAdapterVlan', { VMNetworkAdapter: { $step: 1 } }, ['OperationMode', 'AccessVlanId', 'ParentAdapter.Name']),
      );
      await about(step('Set-VMNetworkAdapterVlan', { VMNetworkAdapter: card, Untagged: true }));
      await about(step('Set-VMNetworkAdapter', { VMNetworkAdapter: card, TestReplicaSwitchName: 'management' }));
      await about(
        step('Set-VMNetworkAdapterFailoverConfiguration', { VMNetworkAdapter: card, IPv4Address: '10.0.0.2', IPv4SubnetMask: '255.0.0.0' }),
      );
      await about(step('Disconnect-VMNetworkAdapter', { VMNetworkAdapter: { $step: 1 } }));
      await about(step('Remove-VMNetworkAdapter', { VMNetworkAdapter: card }), step('Get-VMNetworkAdapter', { VM }, ['Name']));
      await about(step('Remove-VMNetworkAdapter', { VMNetworkAdapter: { $step: 1, $where: { property: 'Name', is: 'nobody' } } }));
    },
  ],
  [
    'checkpoints',
    async ({ run, advance, id }) => {
      const web = id('shop-web');
      const select = ['Id', 'Name', 'SnapshotType', 'CreationTime', 'ParentSnapshotId', 'HardDrives.Path', 'Notes'];
      const [made] = await run(...aboutVm(web, 'Checkpoint-VM', { SnapshotName: 'one', Passthru: true }, select));
      await run(
        ...aboutVm(web, 'Checkpoint-VM', { SnapshotName: 'two' }),
        step('Get-VMSnapshot', { VM, SnapshotType: 'Standard' }, select),
      );
      const one = step('Get-VMSnapshot', { Id: String(made?.['Id']) }, select);
      await run(one, step('Get-VMHardDiskDrive', { VMSnapshot: { $step: 0 } }, ['Path']));
      await run(...aboutVm(web, 'Stop-VM', { TurnOff: true }));
      await advance(5_000);
      await run(
        one,
        step('Restore-VMSnapshot', { VMSnapshot: { $step: 0 } }),
        step('Get-VM', { Id: web }, ['State', 'ParentSnapshotId', 'HardDrives.Path']),
      );
      await run(one, step('Remove-VMSnapshot', { VMSnapshot: { $step: 0 }, IncludeAllChildSnapshots: true }));
      await advance(5_000);
      await run(...aboutVm(web, 'Get-VMSnapshot', {}, select), step('Remove-VMSnapshot', { VMSnapshot: { $step: 1 } }));
      await run(...aboutVm(web, 'Start-VM'));
    },
  ],
  [
    'WMI',
    async ({ run, advance, id }) => {
      const web = id('shop-web').toUpperCase();
      const computer = instances(
        'Msvm_ComputerSystem',
        ['Name', 'ElementName', 'EnabledState', 'OperationalStatus', 'ProcessID'],
        `Name='${web}'`,
      );
      const job = ['ReturnValue', 'Job.InstanceID'];
      const jobs = instances('Msvm_ConcreteJob', [
        'InstanceID',
        'Name',
        'JobState',
        'PercentComplete',
        'ErrorCode',
        'Cancellable',
        'StartTime',
      ]);
      await run(instances('Msvm_ComputerSystem', ['Name', 'Caption']));
      await run(
        computer,
        associated(0, 'Msvm_SettingsDefineState', 'Msvm_VirtualSystemSettingData', [
          'InstanceID',
          'VirtualSystemType',
          'Notes',
          'CreationTime',
        ]),
        associated(1, 'Msvm_VirtualSystemSettingDataComponent', 'Msvm_StorageAllocationSettingData', [
          'InstanceID',
          'HostResource',
          'ResourceType',
        ]),
        associated(1, 'Msvm_VirtualSystemSettingDataComponent', 'Msvm_SyntheticEthernetPortSettingData', ['InstanceID', 'Address']),
        associated(0, 'Msvm_SystemDevice', 'Msvm_KvpExchangeComponent', ['GuestIntrinsicExchangeItems', 'EnabledState']),
      );
      await run(instances('Msvm_GuestNetworkAdapterConfiguration', ['InstanceID', 'IPAddresses', 'ProtocolIFType']));
      const service = (
        name: string,
        method: string,
        args: Params,
        before: Step[],
        select: readonly string[] = job,
      ): Promise<readonly PsRow[]> =>
        run(
          ...before,
          instances(name),
          step('Invoke-CimMethod', { InputObject: { $step: before.length }, MethodName: method, Arguments: args }, select),
        );
      await service(
        'Msvm_VirtualSystemSnapshotService',
        'CreateSnapshot',
        { AffectedSystem: { $step: 0 }, SnapshotSettings: '', SnapshotType: { $type: 'uint16', value: 32_768 } },
        [computer],
      );
      await run(jobs);
      await advance(1_000);
      await run(jobs, step('Get-CimAssociatedInstance', { InputObject: { $step: 0 }, Association: 'Msvm_AffectedJobElement' }, []));
      await run(
        jobs,
        step('Invoke-CimMethod', { InputObject: { $step: 0 }, MethodName: 'GetErrorEx', Arguments: {} }, ['ReturnValue', 'Errors']),
      );
      const cancel = { RequestedState: { $type: 'uint16', value: 5 } } as const;
      await run(
        jobs,
        step('Invoke-CimMethod', { InputObject: { $step: 0 }, MethodName: 'RequestStateChange', Arguments: cancel }, ['ReturnValue']),
      );
      const recovery = [
        computer,
        associated(0, 'Msvm_SnapshotOfVirtualSystem', 'Msvm_VirtualSystemSettingData', ['InstanceID', 'VirtualSystemType']),
      ];
      await service(
        'Msvm_VirtualSystemSnapshotService',
        'ConvertToReferencePoint',
        { AffectedSnapshot: { $step: 1 }, ReferencePointSettings: '' },
        recovery,
      );
      await advance(1_000);
      const points = [
        computer,
        associated(0, 'Msvm_ReferencePointOfVirtualSystem', 'Msvm_VirtualSystemReferencePoint', [
          ...['InstanceID', 'ConsistencyLevel', 'VirtualDiskIdentifiers', 'ResilientChangeTrackingIdentifiers'],
        ]),
      ];
      const [point] = await run(...points);
      const [drive] = await run(...aboutVm(id('shop-web'), 'Get-VMHardDiskDrive', {}, ['Path']));
      const changes = (length: Argument): Promise<unknown> =>
        service(
          'Msvm_ImageManagementService',
          'GetVirtualDiskChanges',
          {
            Path: drive?.['Path'] as string,
            LimitId: (point?.['ResilientChangeTrackingIdentifiers'] as string[] | undefined)?.[0] ?? '',
            TargetSnapshotId: '',
            ByteOffset: { $type: 'uint64', value: '0' },
            ByteLength: length,
          },
          [],
          ['ReturnValue', 'ProcessedByteLength', 'ChangedByteOffsets', 'ChangedByteLengths', 'Job'],
        );
      await changes({ $type: 'uint64', value: String(2 ** 20) });
      await changes(2 ** 20);
      await service('Msvm_VirtualSystemReferencePointService', 'DestroyReferencePoint', { AffectedReferencePoint: { $step: 1 } }, points);
      await advance(1_000);
      await run(...points);
      await service('Msvm_VirtualSystemSnapshotService', 'DestroySnapshot', { AffectedSnapshot: { $step: 0 } }, [computer]);
      await service(
        'Msvm_VirtualSystemManagementService',
        'SetGuestNetworkAdapterConfiguration',
        {
          ComputerSystem: { $step: 0 },
          NetworkConfiguration: ['instance of Msvm_GuestNetworkAdapterConfiguration { DHCPEnabled = False; IPAddresses = {"10.1.1.1"}; };'],
        },
        [computer],
      );
      await advance(1_000);
      await run(...aboutVm(id('shop-web'), 'Get-VMNetworkAdapter', {}, ['IPAddresses']));
      await service('Msvm_VirtualSystemSnapshotService', 'DestroySnapshot', { Nothing: 1 }, [computer]);
    },
  ],
  [
    'what is not there, not allowed or not right',
    async ({ run, id }) => {
      const nobody = '00000000-0000-0000-0000-000000000001';
      await run(step('Get-VM', { Id: nobody }));
      await run(step('Get-VHD', { Path: ['D:\\nix.vhdx', 'Q:\\nix.vhdx'] }));
      await run({ ...step('Get-VHD', { Path: ['D:\\nix.vhdx', 'D:\\nix2.vhdx'] }, ['Path']), collect: true });
      await run(step('Get-VM'), { ...step('Get-VHD', { VMId: { $step: 0, $property: 'Id' } }, ['Path', 'Attached']), collect: true });
      await run(...aboutVm(id('shop-db'), 'Set-VMProcessor', { Count: 2 }));
      await run(step('Get-VM', { Name: 'x' } as Params));
      await run(step('Get-VM', { Id: 'no guid' }));
      await run(step('New-VM', { Generation: 3 }));
      await run(step('New-VHD', { Path: 'D:\\x.vhdx', Dynamic: true }));
      await run(step('New-VHD', { Path: 'D:\\x.vhdx', SizeBytes: 2 ** 20, LogicalSectorSizeBytes: 1024 }));
      await run(step('New-VMSwitch', { Name: 'x', SwitchType: 'Quantum' }));
      await run(...aboutVm(id('shop-db'), 'Set-VM', { CheckpointType: 'Sometimes' }));
      await run(step('Get-VMHost'), step('Start-VM', { VM: { $step: 0 } }));
      await run(step('Get-VMSwitch'), step('Set-VM', { VM: { $step: 0 }, Notes: 'x' }));
      await run(step('Get-VM', {}, ['Name', 'Colour']));
      await run(step('Get-VM'), step('Set-VM', { VM: [{ $step: 0, $where: { property: 'Name', is: 'nobody' } }] }));
      await run(step('Invoke-Expression' as Cmdlet));
      await run(step('Remove-Item', { LiteralPath: '/etc/passwd' }));
      await run(step('Get-CimInstance', { Namespace: NAMESPACE, ClassName: 'Win32_Process' }));
      await run(
        instances('Msvm_VirtualSystemManagementService'),
        step('Invoke-CimMethod', { InputObject: { $step: 0 }, MethodName: 'DestroySystem' }),
      );
      await run(instances('Msvm_ComputerSystem', [], "Colour='red'"));
      await run(instances('Msvm_ComputerSystem', ['Colour']));
      await run(step('Get-Volume', {}, ['Colour']));
      await run(step('Get-Cluster', {}, ['Name']));
      await run(step('Get-SCVMHost', {}, ['Name']));
    },
  ],
  [
    'hostile names',
    async ({ run, id }) => {
      for (const text of HOSTILE) {
        const about = aboutVm(id('shop-web'), 'Set-VM', { Notes: text });
        await run(...about, step('Rename-VM', { VM, NewName: text }), step('Get-VM', { Id: id('shop-web') }, ['Name', 'Notes']));
        await run(step('New-VHD', { Path: `D:\\${text}.vhdx`, SizeBytes: 2 ** 20, Dynamic: true }, ['Path']));
        await run(
          step('Get-VM', {}, ['Name']),
          step('Get-VMHardDiskDrive', { VM: { $step: 0, $where: { property: 'Name', is: text } } }, ['VMName']),
        );
      }
    },
  ],
  [
    'replication of Hyper-V itself',
    async ({ run, id }) => {
      const [db, web] = [id('shop-db'), id('shop-web')];
      const server = { ReplicaServerName: 'elsewhere', ReplicaServerPort: 80, AuthenticationType: 'Kerberos' } as const;
      await run(step('Get-VMReplicationServer', {}, ['ReplicationEnabled?', 'AllowedAuthenticationType?']));
      await run(step('Test-VMReplicationConnection', server));
      for (const cmdlet of ['Get-VMReplication', 'Measure-VMReplication'] as const)
        await run(...aboutVm(db, cmdlet, {}, ['State?', 'Health?']));
      await run(...aboutVm(db, 'Enable-VMReplication', { ...server, CompressionEnabled: true, ReplicationFrequencySec: 300 }));
      await run(...aboutVm(db, 'Set-VMReplication', { AutoResynchronizeEnabled: true }));
      await run(...aboutVm(db, 'Start-VMInitialReplication'));
      await run(...aboutVm(db, 'Import-VMInitialReplication', { Path: 'D:\\seed' }));
      for (const cmdlet of ['Stop-VMInitialReplication', 'Suspend-VMReplication', 'Resume-VMReplication'] as const)
        await run(...aboutVm(db, cmdlet));
      await run(...aboutVm(web, 'Start-VMFailover', { Prepare: true }));
      for (const cmdlet of ['Stop-VMFailover', 'Complete-VMFailover', 'Remove-VMReplication'] as const) await run(...aboutVm(web, cmdlet));
    },
  ],
];

export const CLUSTER: Recording = async ({ run, id }) => {
  await run(step('Get-Cluster', {}, ['Name', 'Id?']));
  await run(step('Get-ClusterNode', {}, ['Name', 'State']));
  await run(step('Get-ClusterResource', {}, ['Name', 'State', 'OwnerGroup', 'OwnerNode', 'ResourceType']));
  await run(
    step('Get-ClusterSharedVolume', {}, ['Name', 'State', 'SharedVolumeInfo.FriendlyVolumeName', 'SharedVolumeInfo.Partition.FreeSpace']),
  );
  await run(step('Add-ClusterVirtualMachineRole', { VMId: id('shop-db') }));
  await run(step('Get-ClusterGroup', {}, ['Name', 'State', 'GroupType', 'OwnerNode']));
  await run(step('Remove-ClusterGroup', { VMId: id('shop-db'), RemoveResources: true, Force: true }));
  await run(step('Remove-ClusterGroup', { VMId: '00000000-0000-0000-0000-000000000001', Force: true }));
};

export const VMM_SERVER: Recording = async ({ run }) => {
  const server = step('Get-SCVMMServer', { ComputerName: 'localhost' }, ['Name', 'ProductVersion']);
  await run(step('Get-SCCloud', {}, ['Name']));
  await run(step('Get-SCVMMServer', { ComputerName: 'another' }));
  await run(server, step('Get-SCCloud', {}, ['Name', 'ID']));
  await run(step('Get-SCVMHost', {}, ['Name', 'FQDN', 'ID', 'OverallState', 'HostCluster', 'VirtualizationPlatform']));
  const [machine] = await run(
    step('Get-SCVirtualMachine', { All: true }, ['Name', 'ID', 'VMId', 'Status', 'VMHost.Name', 'CustomProperty', 'Cloud']),
  );
  await run(
    step('Get-SCVirtualMachine', { ID: machine?.['ID'] as string }),
    step('Read-SCVirtualMachine', { VM: { $step: 0 }, Force: true }, ['Name']),
  );
  await run(step('Get-VM', {}, ['Name']));
};
