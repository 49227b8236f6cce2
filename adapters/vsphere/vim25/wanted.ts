// The part of the vSphere API that is spoken here: what scripts/vim25.ts takes out of the whole table. Bases, enums and the tree of faults come by themselves.

export const METHODS: readonly string[] = [
  // Session
  ...['RetrieveServiceContent', 'Login', 'Logout', 'CurrentTime', 'HasPrivilegeOnEntities'],
  // Looking
  ...['CreateContainerView', 'DestroyView', 'RetrievePropertiesEx', 'ContinueRetrievePropertiesEx', 'CancelRetrievePropertiesEx'],
  // As older clients look
  ...['RetrieveProperties', 'FindByInventoryPath', 'SessionIsActive'],
  ...['CreatePropertyCollector', 'DestroyPropertyCollector', 'CreateFilter', 'DestroyPropertyFilter'],
  ...['WaitForUpdatesEx', 'CancelWaitForUpdates', 'FindByUuid', 'FindAllByUuid', 'QueryEvents'],
  // Machines
  ...[
    'CreateVM_Task',
    'ReconfigVM_Task',
    'Destroy_Task',
    'UnregisterVM',
    'RegisterVM_Task',
    'Rename_Task',
    'CloneVM_Task',
    'RelocateVM_Task',
  ],
  ...['PowerOnVM_Task', 'PowerOffVM_Task', 'ShutdownGuest', 'CustomizeVM_Task', 'CheckCustomizationSpec', 'CancelTask'],
  ...['CreateSnapshot_Task', 'RemoveSnapshot_Task', 'RevertToSnapshot_Task', 'ConsolidateVMDisks_Task', 'QueryChangedDiskAreas'],
  // Disks and files
  ...['CreateVirtualDisk_Task', 'DeleteVirtualDisk_Task', 'ExtendVirtualDisk_Task', 'MakeDirectory', 'DeleteDatastoreFile_Task'],
  ...['SearchDatastore_Task', 'CreateNasDatastore', 'RemoveDatastore'],
  ...['ExportVm', 'ExportSnapshot', 'ImportVApp', 'HttpNfcLeaseProgress', 'HttpNfcLeaseComplete', 'HttpNfcLeaseAbort'],
  // Hosts
  ...['AddVirtualSwitch', 'RemoveVirtualSwitch', 'AddPortGroup', 'RemovePortGroup', 'ReconfigureAutostart', 'CreateFolder'],
];

export const OBJECTS: readonly string[] = [
  ...['ServiceInstance', 'SessionManager', 'PropertyCollector', 'PropertyFilter', 'ViewManager', 'ContainerView', 'SearchIndex'],
  ...['EventManager', 'AuthorizationManager', 'TaskManager', 'Task', 'FileManager', 'VirtualDiskManager'],
  ...['Folder', 'Datacenter', 'ComputeResource', 'ClusterComputeResource', 'ResourcePool', 'HostSystem', 'Datastore', 'Network'],
  ...['DistributedVirtualPortgroup', 'DistributedVirtualSwitch', 'OpaqueNetwork', 'VirtualMachine', 'VirtualMachineSnapshot'],
  ...['HostNetworkSystem', 'HostDatastoreSystem', 'HostAutoStartManager', 'HostDatastoreBrowser', 'HttpNfcLease', 'EnvironmentBrowser'],
  ...['CustomFieldsManager', 'StoragePod', 'VirtualApp', 'VmwareDistributedVirtualSwitch'],
];

export const TYPES: readonly string[] = [
  // Session and property collector
  ...['ServiceContent', 'AboutInfo', 'UserSession', 'EntityPrivilege', 'PrivilegeAvailability'],
  ...['PropertyFilterSpec', 'PropertySpec', 'ObjectSpec', 'SelectionSpec', 'TraversalSpec', 'RetrieveOptions', 'RetrieveResult'],
  ...['ObjectContent', 'DynamicProperty', 'MissingProperty', 'MissingObject', 'UpdateSet', 'PropertyFilterUpdate', 'ObjectUpdate'],
  ...['PropertyChange', 'WaitOptions', 'TaskInfo', 'LocalizableMessage', 'KeyAnyValue', 'Description', 'ElementDescription'],
  ...['TaskReason', 'TaskReasonUser', 'TaskReasonSystem', 'TaskReasonSchedule', 'TaskReasonAlarm'],
  // Faults with something to read in them
  ...[
    'LocalizedMethodFault',
    'MethodFault',
    'NoPermission',
    'NotAuthenticated',
    'InvalidLogin',
    'ManagedObjectNotFound',
    'InvalidProperty',
  ],
  ...['InvalidArgument', 'InvalidRequest', 'InvalidType', 'MethodNotFound', 'InvalidCollectorVersion', 'NotSupported', 'RequestCanceled'],
  ...[
    'FileFault',
    'FileLocked',
    'FileNotFound',
    'FileAlreadyExists',
    'CannotAccessFile',
    'NoDiskSpace',
    'InvalidDatastorePath',
    'NotFound',
  ],
  ...['DuplicateName', 'AlreadyExists', 'InvalidName', 'InvalidState', 'InvalidPowerState', 'TaskInProgress', 'ToolsUnavailable'],
  ...['ConcurrentAccess', 'InvalidDeviceSpec', 'InvalidDeviceBacking', 'InvalidDeviceOperation', 'ResourceInUse', 'SnapshotFault'],
  ...[
    'TooManySnapshotLevels',
    'ApplicationQuiesceFault',
    'ResourceNotAvailable',
    'InsufficientResourcesFault',
    'InsufficientMemoryResourcesFault',
  ],
  ...[
    'HostConfigFault',
    'GenericVmConfigFault',
    'CustomizationFault',
    'UncustomizableGuest',
    'Timedout',
    'NotEnoughLicenses',
    'SystemError',
  ],
  // A machine
  ...['VirtualMachineConfigSpec', 'VirtualMachineConfigInfo', 'VirtualMachineFileInfo', 'VirtualHardware', 'VirtualMachineBootOptions'],
  ...['VirtualMachineBootOptionsBootableDevice', 'VirtualMachineBootOptionsBootableDiskDevice', 'VirtualMachineFlagInfo', 'ManagedByInfo'],
  ...[
    'OptionValue',
    'VirtualMachineRuntimeInfo',
    'VirtualMachineCapability',
    'GuestInfo',
    'GuestNicInfo',
    'NetIpConfigInfo',
    'ToolsConfigInfo',
  ],
  ...['NetIpConfigInfoIpAddress', 'VirtualMachineSnapshotInfo', 'VirtualMachineSnapshotTree', 'VirtualMachineDefaultPowerOpInfo'],
  ...[
    'ResourceAllocationInfo',
    'SharesInfo',
    'VirtualMachineSummary',
    'VirtualMachineConfigSummary',
    'VirtualMachineGuestSummary',
    'VirtualMachineQuickStats',
  ],
  ...[
    'VirtualMachineFileLayoutEx',
    'VirtualMachineFileLayoutExFileInfo',
    'VirtualMachineFileLayoutExDiskLayout',
    'VirtualMachineFileLayoutExDiskUnit',
  ],
  // Devices
  ...['VirtualDeviceConfigSpec', 'VirtualDevice', 'VirtualDeviceConnectInfo', 'VirtualDeviceBackingInfo', 'VirtualDeviceFileBackingInfo'],
  ...['VirtualDeviceDeviceBackingInfo', 'VirtualDeviceRemoteDeviceBackingInfo', 'VirtualDisk', 'VirtualDiskFlatVer1BackingInfo'],
  ...[
    'VirtualDiskFlatVer2BackingInfo',
    'VirtualDiskSeSparseBackingInfo',
    'VirtualDiskSparseVer2BackingInfo',
    'VirtualDiskLocalPMemBackingInfo',
  ],
  ...['VirtualDiskRawDiskMappingVer1BackingInfo', 'VirtualDiskRawDiskVer2BackingInfo', 'VirtualController', 'VirtualSCSIController'],
  ...['ParaVirtualSCSIController', 'VirtualLsiLogicController', 'VirtualLsiLogicSASController', 'VirtualBusLogicController'],
  ...['VirtualIDEController', 'VirtualSATAController', 'VirtualAHCIController', 'VirtualNVMEController', 'VirtualPCIController'],
  ...['VirtualPS2Controller', 'VirtualSIOController', 'VirtualKeyboard', 'VirtualPointingDevice', 'VirtualMachineVideoCard'],
  ...['VirtualMachineVMCIDevice', 'VirtualTPM', 'VirtualCdrom', 'VirtualCdromIsoBackingInfo', 'VirtualCdromRemotePassthroughBackingInfo'],
  ...['VirtualEthernetCard', 'VirtualE1000', 'VirtualE1000e', 'VirtualVmxnet', 'VirtualVmxnet2', 'VirtualVmxnet3', 'VirtualPCNet32'],
  ...['VirtualSriovEthernetCard', 'VirtualEthernetCardNetworkBackingInfo', 'VirtualEthernetCardDistributedVirtualPortBackingInfo'],
  ...['VirtualEthernetCardOpaqueNetworkBackingInfo', 'DistributedVirtualSwitchPortConnection'],
  ...['VirtualDeviceBusSlotInfo', 'VirtualDevicePciBusSlotInfo', 'VirtualCdromAtapiBackingInfo'],
  // Changed blocks, disks, files, leases
  ...['DiskChangeInfo', 'DiskChangeExtent', 'VirtualDiskSpec', 'FileBackedVirtualDiskSpec', 'HostDatastoreBrowserSearchSpec'],
  ...[
    'HostDatastoreBrowserSearchResults',
    'FileInfo',
    'FileQueryFlags',
    'DatastoreSummary',
    'HostNasVolumeSpec',
    'DatastoreInfo',
    'HttpNfcLeaseInfo',
  ],
  ...['HttpNfcLeaseDeviceUrl', 'HttpNfcLeaseDatastoreLeaseInfo', 'HttpNfcLeaseHostInfo', 'ImportSpec', 'VirtualMachineImportSpec'],
  ...['VirtualMachineCloneSpec', 'VirtualMachineRelocateSpec', 'VirtualMachineRelocateSpecDiskLocator', 'VirtualMachineProfileSpec'],
  // Hosts and networks
  ...[
    'HostVirtualSwitchSpec',
    'HostPortGroupSpec',
    'HostNetworkPolicy',
    'HostNetworkSecurityPolicy',
    'HostConfigManager',
    'HostRuntimeInfo',
  ],
  ...[
    'HostAutoStartManagerConfig',
    'AutoStartDefaults',
    'AutoStartPowerInfo',
    'NetworkSummary',
    'OpaqueNetworkSummary',
    'HostDatastoreConnectInfo',
  ],
  ...['DVPortgroupConfigInfo', 'HostListSummary', 'HostConfigSummary', 'HostListSummaryQuickStats', 'HostHardwareSummary'],
  ...['ComputeResourceSummary', 'DatastoreHostMount', 'HostMountInfo', 'DatastoreCapability'],
  // Addresses in a guest
  ...['CustomizationSpec', 'CustomizationOptions', 'CustomizationLinuxOptions', 'CustomizationWinOptions', 'CustomizationIdentitySettings'],
  ...[
    'CustomizationLinuxPrep',
    'CustomizationSysprep',
    'CustomizationGuiUnattended',
    'CustomizationUserData',
    'CustomizationIdentification',
  ],
  ...[
    'CustomizationName',
    'CustomizationFixedName',
    'CustomizationVirtualMachineName',
    'CustomizationPassword',
    'CustomizationGlobalIPSettings',
  ],
  ...[
    'CustomizationAdapterMapping',
    'CustomizationIPSettings',
    'CustomizationIpGenerator',
    'CustomizationFixedIp',
    'CustomizationDhcpIpGenerator',
  ],
  ...['CustomizationIPSettingsIpV6AddressSpec', 'CustomizationIpV6Generator', 'CustomizationFixedIpV6', 'CustomizationDhcpIpV6Generator'],
  ...['CustomFieldDef', 'CustomFieldValue', 'CustomFieldStringValue'],
  // Events
  ...[
    'EventFilterSpec',
    'EventFilterSpecByEntity',
    'EventFilterSpecByTime',
    'Event',
    'VmEvent',
    'EntityEventArgument',
    'ManagedEntityEventArgument',
  ],
  ...['VmEventArgument', 'EventArgument', 'VmPoweredOnEvent', 'VmPoweredOffEvent', 'EventEx'],
];
