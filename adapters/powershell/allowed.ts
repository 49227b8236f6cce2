// What the dispatcher runs, and nothing else: cmdlets with their parameters, WMI classes with their methods. The shipped files in module/ are made from it
// (npm run powershell). Modules: Hyper-V, FailoverClusters, virtualmachinemanager, Storage, CimCmdlets, Microsoft.PowerShell.Management.

const REPLICA_SETTINGS = [
  'ReplicaServerName',
  'ReplicaServerPort',
  'AuthenticationType',
  'CertificateThumbprint',
  'CompressionEnabled',
  'ReplicationFrequencySec',
  'RecoveryHistory',
  'VSSSnapshotFrequencyHour',
  'AutoResynchronizeEnabled',
] as const;

export const CMDLETS = {
  // Hosts
  'Get-VMHost': [],
  'Get-VMHostSupportedVersion': [],
  'Get-VMSwitch': ['Id'],
  'New-VMSwitch': ['Name', 'SwitchType', 'Notes'],
  'Remove-VMSwitch': ['VMSwitch', 'Force'],
  'Get-Volume': [],

  // Machines
  'Get-VM': ['Id'],
  'New-VM': ['Name', 'Generation', 'MemoryStartupBytes', 'NoVHD', 'Path', 'Version'],
  'Set-VM': ['VM', 'Notes', 'AutomaticStartAction', 'AutomaticStopAction', 'CheckpointType', 'AutomaticCheckpointsEnabled'],
  'Rename-VM': ['VM', 'NewName'],
  'Remove-VM': ['VM', 'Force'],
  'Start-VM': ['VM'],
  'Stop-VM': ['VM', 'TurnOff', 'Force'],
  'Get-VMIntegrationService': ['VM'],
  'Set-VMMemory': ['VM', 'DynamicMemoryEnabled', 'StartupBytes', 'MinimumBytes', 'MaximumBytes'],
  'Set-VMProcessor': ['VM', 'Count'],
  'Get-VMFirmware': ['VM'],
  'Set-VMFirmware': ['VM', 'EnableSecureBoot', 'SecureBootTemplate', 'FirstBootDevice'],
  'Get-VMSecurity': ['VM'],

  // Disks
  'Get-VMHardDiskDrive': ['VM', 'VMSnapshot'],
  'Add-VMHardDiskDrive': ['VM', 'ControllerType', 'ControllerNumber', 'ControllerLocation', 'Path', 'Passthru'],
  'Remove-VMHardDiskDrive': ['VMHardDiskDrive'],
  'Get-VMScsiController': ['VM'],
  'Add-VMScsiController': ['VM'],
  'Get-VMDvdDrive': ['VM'],
  'Remove-VMDvdDrive': ['VMDvdDrive'],
  'Get-VHD': ['Path', 'VMId'],
  'New-VHD': ['Path', 'SizeBytes', 'Dynamic', 'Differencing', 'ParentPath', 'LogicalSectorSizeBytes', 'PhysicalSectorSizeBytes'],
  'Resize-VHD': ['Path', 'SizeBytes'],
  'Convert-VHD': ['Path', 'DestinationPath', 'VHDType'],
  'Set-VHD': ['Path', 'ResetDiskIdentifier', 'Force'],
  'Mount-VHD': ['Path', 'ReadOnly', 'NoDriveLetter', 'Passthru'],
  'Dismount-VHD': ['Path'],
  'Set-Disk': ['Number', 'IsOffline', 'IsReadOnly'],
  'Remove-Item': ['LiteralPath'],

  // Checkpoints
  'Get-VMSnapshot': ['VM', 'Id', 'SnapshotType'],
  'Checkpoint-VM': ['VM', 'SnapshotName', 'Passthru'],
  'Restore-VMSnapshot': ['VMSnapshot'],
  'Remove-VMSnapshot': ['VMSnapshot', 'IncludeAllChildSnapshots'],

  // Network cards
  'Get-VMNetworkAdapter': ['VM'],
  'Add-VMNetworkAdapter': ['VM', 'Name', 'StaticMacAddress', 'Passthru'],
  'Remove-VMNetworkAdapter': ['VMNetworkAdapter'],
  'Connect-VMNetworkAdapter': ['VMNetworkAdapter', 'VMSwitch'],
  'Disconnect-VMNetworkAdapter': ['VMNetworkAdapter'],
  'Set-VMNetworkAdapter': ['VMNetworkAdapter', 'TestReplicaSwitchName'],
  'Get-VMNetworkAdapterVlan': ['VMNetworkAdapter'],
  'Set-VMNetworkAdapterVlan': ['VMNetworkAdapter', 'Access', 'VlanId', 'Untagged'],
  'Set-VMNetworkAdapterFailoverConfiguration': [
    'VMNetworkAdapter',
    'IPv4Address',
    'IPv4SubnetMask',
    'IPv4DefaultGateway',
    'IPv4PreferredDNSServer',
    'IPv4AlternateDNSServer',
    'IPv6Address',
    'IPv6SubnetPrefixLength',
    'IPv6DefaultGateway',
  ],

  // Hyper-V Replica
  'Get-VMReplicationServer': [],
  'Test-VMReplicationConnection': ['ReplicaServerName', 'ReplicaServerPort', 'AuthenticationType', 'CertificateThumbprint'],
  'Enable-VMReplication': ['VM', ...REPLICA_SETTINGS],
  'Set-VMReplication': ['VM', 'Reverse', ...REPLICA_SETTINGS],
  'Get-VMReplication': ['VM'],
  'Measure-VMReplication': ['VM'],
  'Start-VMInitialReplication': ['VM', 'DestinationPath', 'InitialReplicationStartTime', 'UseBackup'],
  'Import-VMInitialReplication': ['VM', 'Path'],
  'Stop-VMInitialReplication': ['VM'],
  'Suspend-VMReplication': ['VM'],
  'Resume-VMReplication': ['VM', 'Resynchronize', 'Continue'],
  'Start-VMFailover': ['VM', 'VMRecoverySnapshot', 'Prepare', 'AsTest'],
  'Stop-VMFailover': ['VM'],
  'Complete-VMFailover': ['VM'],
  'Remove-VMReplication': ['VM'],

  // Clusters
  'Get-Cluster': [],
  'Get-ClusterNode': [],
  'Get-ClusterGroup': [],
  'Get-ClusterResource': [],
  'Get-ClusterSharedVolume': [],
  'Add-ClusterVirtualMachineRole': ['VMId'],
  'Remove-ClusterGroup': ['VMId', 'RemoveResources', 'Force'],

  // System Center VMM
  'Get-SCVMMServer': ['ComputerName'],
  'Get-SCCloud': [],
  'Get-SCVMHost': [],
  'Get-SCVirtualMachine': ['ID', 'All'],
  'Read-SCVirtualMachine': ['VM', 'Force'],

  // WMI, root\virtualization\v2
  'Get-CimInstance': ['Namespace', 'ClassName', 'Filter'],
  'Get-CimAssociatedInstance': ['InputObject', 'Association', 'ResultClassName'],
  'Invoke-CimMethod': ['InputObject', 'MethodName', 'Arguments'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Cmdlet = keyof typeof CMDLETS;

/** Of the whole text: `$` alone lets .NET pass a line break at the end. */
const END = '(?![\\s\\S])';

/** What a parameter's value must look like, where the cmdlet could do more than we ever ask of it. */
export const PATTERNS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'Remove-Item': { LiteralPath: `\\.a?vhdx?${END}` },
  'Get-CimInstance': { Namespace: `^root/virtualization/v2${END}`, Filter: `^[A-Za-z]+='[A-Za-z0-9:{}\\\\-]+'${END}` },
};

/** Classes that Get-CimInstance and Get-CimAssociatedInstance name, with the methods that Invoke-CimMethod calls on them. */
export const CIM_CLASSES: Readonly<Record<string, readonly string[]>> = {
  Msvm_ComputerSystem: [],
  Msvm_VirtualSystemSettingData: [],
  Msvm_StorageAllocationSettingData: [],
  Msvm_SnapshotOfVirtualSystem: [],
  Msvm_VirtualSystemSettingDataComponent: [],
  Msvm_VirtualSystemReferencePoint: [],
  Msvm_ReferencePointOfVirtualSystem: [],
  Msvm_ConcreteJob: ['GetErrorEx', 'RequestStateChange'],
  Msvm_AffectedJobElement: [],
  Msvm_VirtualSystemSnapshotService: ['CreateSnapshot', 'ConvertToReferencePoint', 'DestroySnapshot'],
  Msvm_VirtualSystemReferencePointService: ['DestroyReferencePoint'],
  Msvm_ImageManagementService: ['GetVirtualDiskChanges'],
  Msvm_VirtualSystemManagementService: ['SetGuestNetworkAdapterConfiguration'],
  Msvm_SettingsDefineState: [],
  Msvm_SyntheticEthernetPortSettingData: [],
  Msvm_GuestNetworkAdapterConfiguration: [],
  Msvm_KvpExchangeComponent: [],
  Msvm_SystemDevice: [],
};

/** The module that a cmdlet is of: other vendors have a Get-VM, too. */
export const moduleOf = (cmdlet: string): string => {
  if (/^[A-Z][a-z]+-SC/.test(cmdlet)) return 'virtualmachinemanager';
  if (/^[A-Z][a-z]+-Cluster/.test(cmdlet)) return 'FailoverClusters';
  if (/-Cim/.test(cmdlet)) return 'CimCmdlets';
  if (cmdlet === 'Get-Volume' || cmdlet === 'Set-Disk') return 'Storage';
  return cmdlet === 'Remove-Item' ? 'Microsoft.PowerShell.Management' : 'Hyper-V';
};
