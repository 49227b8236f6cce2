// Made by scripts/vim25.ts from schema.json: not to be edited by hand.

/** A reference to a managed object: its type and the id that the server gave it. */
export interface MoRef {
  readonly type: string;
  readonly value: string;
}

export type AutoStartWaitHeartbeatSetting = 'yes' | 'no' | 'systemDefault';
export type CustomizationNetBIOSMode = 'enableNetBIOSViaDhcp' | 'enableNetBIOS' | 'disableNetBIOS';
export type CustomizationSysprepRebootOption = 'reboot' | 'noreboot' | 'shutdown';
export type EventFilterSpecRecursionOption = 'self' | 'children' | 'all';
export type HostSystemConnectionState = 'connected' | 'notResponding' | 'disconnected';
export type HostSystemPowerState = 'poweredOn' | 'poweredOff' | 'standBy' | 'unknown';
export type HttpNfcLeaseState = 'initializing' | 'ready' | 'done' | 'error';
export type ManagedEntityStatus = 'gray' | 'green' | 'yellow' | 'red';
export type ObjectUpdateKind = 'modify' | 'enter' | 'leave';
export type PropertyChangeOp = 'add' | 'remove' | 'assign' | 'indirectRemove';
export type SharesLevel = 'low' | 'normal' | 'high' | 'custom';
export type TaskInfoState = 'queued' | 'running' | 'success' | 'error';
export type VirtualDeviceConfigSpecFileOperation = 'create' | 'destroy' | 'replace';
export type VirtualDeviceConfigSpecOperation = 'add' | 'remove' | 'edit';
export type VirtualMachineConnectionState = 'connected' | 'disconnected' | 'orphaned' | 'inaccessible' | 'invalid';
export type VirtualMachineFaultToleranceState = 'notConfigured' | 'disabled' | 'enabled' | 'needSecondary' | 'starting' | 'running';
export type VirtualMachineMovePriority = 'lowPriority' | 'highPriority' | 'defaultPriority';
export type VirtualMachinePowerState = 'poweredOff' | 'poweredOn' | 'suspended';
export type VirtualMachineRecordReplayState = 'recording' | 'replaying' | 'inactive';
export type VirtualMachineRelocateTransformation = 'flat' | 'sparse';
export type VirtualMachineToolsStatus = 'toolsNotInstalled' | 'toolsNotRunning' | 'toolsOld' | 'toolsOk';
export type VirtualSCSISharing = 'noSharing' | 'virtualSharing' | 'physicalSharing';

export interface AboutInfo extends DynamicData {
  readonly name: string;
  readonly fullName: string;
  readonly vendor: string;
  readonly version: string;
  readonly patchLevel?: string | undefined;
  readonly build: string;
  readonly localeVersion?: string | undefined;
  readonly localeBuild?: string | undefined;
  readonly osType: string;
  readonly productLineId: string;
  readonly apiType: string;
  readonly apiVersion: string;
  readonly instanceUuid?: string | undefined;
  readonly licenseProductName?: string | undefined;
  readonly licenseProductVersion?: string | undefined;
}

export interface AlreadyExists extends VimFault {
  readonly name?: string | undefined;
}

export interface ApplicationQuiesceFault extends SnapshotFault {}

export interface AutoStartDefaults extends DynamicData {
  readonly enabled?: boolean | undefined;
  readonly startDelay?: number | undefined;
  readonly stopDelay?: number | undefined;
  readonly waitForHeartbeat?: boolean | undefined;
  readonly stopAction?: string | undefined;
}

export interface AutoStartPowerInfo extends DynamicData {
  readonly key: MoRef;
  readonly startOrder: number;
  readonly startDelay: number;
  readonly waitForHeartbeat: AutoStartWaitHeartbeatSetting;
  readonly startAction: string;
  readonly stopDelay: number;
  readonly stopAction: string;
}

export interface CannotAccessFile extends FileFault {}

export interface ComputeResourceSummary extends DynamicData {
  readonly totalCpu: number;
  readonly totalMemory: number;
  readonly numCpuCores: number;
  readonly numCpuThreads: number;
  readonly effectiveCpu: number;
  readonly effectiveMemory: number;
  readonly numHosts: number;
  readonly numEffectiveHosts: number;
  readonly overallStatus: ManagedEntityStatus;
}

export interface ConcurrentAccess extends VimFault {}

export interface CustomFieldDef extends DynamicData {
  readonly key: number;
  readonly name: string;
  readonly type: string;
  readonly managedObjectType?: string | undefined;
  readonly fieldDefPrivileges?: unknown | undefined;
  readonly fieldInstancePrivileges?: unknown | undefined;
}

export interface CustomFieldStringValue extends CustomFieldValue {
  readonly value: string;
}

export interface CustomFieldValue extends DynamicData {
  readonly key: number;
}

export interface CustomizationAdapterMapping extends DynamicData {
  readonly macAddress?: string | undefined;
  readonly adapter: CustomizationIPSettings;
}

export interface CustomizationDhcpIpGenerator extends CustomizationIpGenerator {}

export interface CustomizationDhcpIpV6Generator extends CustomizationIpV6Generator {}

export interface CustomizationFault extends VimFault {}

export interface CustomizationFixedIp extends CustomizationIpGenerator {
  readonly ipAddress: string;
}

export interface CustomizationFixedIpV6 extends CustomizationIpV6Generator {
  readonly ipAddress: string;
  readonly subnetMask: number;
}

export interface CustomizationFixedName extends CustomizationName {
  readonly name: string;
}

export interface CustomizationGlobalIPSettings extends DynamicData {
  readonly dnsSuffixList?: readonly string[] | undefined;
  readonly dnsServerList?: readonly string[] | undefined;
}

export interface CustomizationGuiUnattended extends DynamicData {
  readonly password?: CustomizationPassword | undefined;
  readonly timeZone: number;
  readonly autoLogon: boolean;
  readonly autoLogonCount: number;
}

export interface CustomizationIPSettings extends DynamicData {
  readonly ip: CustomizationIpGenerator;
  readonly subnetMask?: string | undefined;
  readonly gateway?: readonly string[] | undefined;
  readonly ipV6Spec?: CustomizationIPSettingsIpV6AddressSpec | undefined;
  readonly dnsServerList?: readonly string[] | undefined;
  readonly dnsDomain?: string | undefined;
  readonly primaryWINS?: string | undefined;
  readonly secondaryWINS?: string | undefined;
  readonly netBIOS?: CustomizationNetBIOSMode | undefined;
  readonly primary?: boolean | undefined;
}

export interface CustomizationIPSettingsIpV6AddressSpec extends DynamicData {
  readonly ip: readonly CustomizationIpV6Generator[];
  readonly gateway?: readonly string[] | undefined;
}

export interface CustomizationIdentification extends DynamicData {
  readonly joinWorkgroup?: string | undefined;
  readonly joinDomain?: string | undefined;
  readonly domainAdmin?: string | undefined;
  readonly domainAdminPassword?: CustomizationPassword | undefined;
  readonly domainOU?: string | undefined;
}

export interface CustomizationIdentitySettings extends DynamicData {}

export interface CustomizationIpGenerator extends DynamicData {}

export interface CustomizationIpV6Generator extends DynamicData {}

export interface CustomizationLinuxOptions extends CustomizationOptions {}

export interface CustomizationLinuxPrep extends CustomizationIdentitySettings {
  readonly hostName: CustomizationName;
  readonly domain: string;
  readonly timeZone?: string | undefined;
  readonly hwClockUTC?: boolean | undefined;
  readonly scriptText?: string | undefined;
  readonly compatibleCustomizationMethod?: string | undefined;
  readonly resetPassword?: boolean | undefined;
  readonly password?: CustomizationPassword | undefined;
  readonly extraConfig?: readonly OptionValue[] | undefined;
}

export interface CustomizationName extends DynamicData {}

export interface CustomizationOptions extends DynamicData {}

export interface CustomizationPassword extends DynamicData {
  readonly value: string;
  readonly plainText: boolean;
}

export interface CustomizationSpec extends DynamicData {
  readonly options?: CustomizationOptions | undefined;
  readonly identity: CustomizationIdentitySettings;
  readonly globalIPSettings: CustomizationGlobalIPSettings;
  readonly nicSettingMap?: readonly CustomizationAdapterMapping[] | undefined;
  readonly encryptionKey?: string | undefined;
}

export interface CustomizationSysprep extends CustomizationIdentitySettings {
  readonly guiUnattended: CustomizationGuiUnattended;
  readonly userData: CustomizationUserData;
  readonly guiRunOnce?: unknown | undefined;
  readonly identification: CustomizationIdentification;
  readonly licenseFilePrintData?: unknown | undefined;
  readonly scriptText?: string | undefined;
  readonly resetPassword?: boolean | undefined;
  readonly extraConfig?: readonly OptionValue[] | undefined;
}

export interface CustomizationUserData extends DynamicData {
  readonly fullName: string;
  readonly orgName: string;
  readonly computerName: CustomizationName;
  readonly productId: string;
}

export interface CustomizationVirtualMachineName extends CustomizationName {}

export interface CustomizationWinOptions extends CustomizationOptions {
  readonly changeSID: boolean;
  readonly deleteAccounts: boolean;
  readonly reboot?: CustomizationSysprepRebootOption | undefined;
}

export interface DVPortgroupConfigInfo extends DynamicData {
  readonly key: string;
  readonly name: string;
  readonly numPorts: number;
  readonly distributedVirtualSwitch?: MoRef | undefined;
  readonly defaultPortConfig?: unknown | undefined;
  readonly description?: string | undefined;
  readonly type: string;
  readonly backingType?: string | undefined;
  readonly policy: unknown;
  readonly portNameFormat?: string | undefined;
  readonly scope?: readonly MoRef[] | undefined;
  readonly vendorSpecificConfig?: readonly unknown[] | undefined;
  readonly configVersion?: string | undefined;
  readonly autoExpand?: boolean | undefined;
  readonly vmVnicNetworkResourcePoolKey?: string | undefined;
  readonly uplink?: boolean | undefined;
  readonly transportZoneUuid?: string | undefined;
  readonly transportZoneName?: string | undefined;
  readonly logicalSwitchUuid?: string | undefined;
  readonly segmentId?: string | undefined;
  readonly subnetId?: string | undefined;
}

export interface DatastoreCapability extends DynamicData {
  readonly directoryHierarchySupported: boolean;
  readonly rawDiskMappingsSupported: boolean;
  readonly perFileThinProvisioningSupported: boolean;
  readonly storageIORMSupported: boolean;
  readonly nativeSnapshotSupported: boolean;
  readonly topLevelDirectoryCreateSupported?: boolean | undefined;
  readonly seSparseSupported?: boolean | undefined;
  readonly vmfsSparseSupported?: boolean | undefined;
  readonly vsanSparseSupported?: boolean | undefined;
  readonly upitSupported?: boolean | undefined;
  readonly vmdkExpandSupported?: boolean | undefined;
  readonly clusteredVmdkSupported?: boolean | undefined;
}

export interface DatastoreHostMount extends DynamicData {
  readonly key: MoRef;
  readonly mountInfo: HostMountInfo;
}

export interface DatastoreInfo extends DynamicData {
  readonly name: string;
  readonly url: string;
  readonly freeSpace: number;
  readonly maxFileSize: number;
  readonly maxVirtualDiskCapacity?: number | undefined;
  readonly maxMemoryFileSize: number;
  readonly timestamp?: string | undefined;
  readonly containerId?: string | undefined;
  readonly aliasOf?: string | undefined;
  readonly supportedVDiskFormats?: readonly string[] | undefined;
  readonly logicalSectorSize?: number | undefined;
  readonly physicalSectorSize?: number | undefined;
}

export interface DatastoreSummary extends DynamicData {
  readonly datastore?: MoRef | undefined;
  readonly name: string;
  readonly url: string;
  readonly capacity: number;
  readonly freeSpace: number;
  readonly uncommitted?: number | undefined;
  readonly accessible: boolean;
  readonly multipleHostAccess?: boolean | undefined;
  readonly type: string;
  readonly maintenanceMode?: string | undefined;
}

export interface Description extends DynamicData {
  readonly label: string;
  readonly summary: string;
}

export interface DiskChangeExtent extends DynamicData {
  readonly start: number;
  readonly length: number;
}

export interface DiskChangeInfo extends DynamicData {
  readonly startOffset: number;
  readonly length: number;
  readonly changedArea?: readonly DiskChangeExtent[] | undefined;
}

export interface DistributedVirtualSwitchPortConnection extends DynamicData {
  readonly switchUuid: string;
  readonly portgroupKey?: string | undefined;
  readonly portKey?: string | undefined;
  readonly connectionCookie?: number | undefined;
}

export interface DuplicateName extends VimFault {
  readonly name: string;
  readonly object: MoRef;
}

export interface DynamicData {
  readonly $type?: string | undefined;
}

export interface DynamicProperty {
  readonly $type?: string | undefined;
  readonly name: string;
  readonly val: unknown;
}

export interface ElementDescription extends Description {
  readonly key: string;
}

export interface EntityEventArgument extends EventArgument {
  readonly name: string;
}

export interface EntityPrivilege extends DynamicData {
  readonly entity: MoRef;
  readonly privAvailability: readonly PrivilegeAvailability[];
}

export interface Event extends DynamicData {
  readonly key: number;
  readonly chainId: number;
  readonly createdTime: string;
  readonly userName: string;
  readonly datacenter?: unknown | undefined;
  readonly computeResource?: unknown | undefined;
  readonly host?: unknown | undefined;
  readonly vm?: VmEventArgument | undefined;
  readonly ds?: unknown | undefined;
  readonly net?: unknown | undefined;
  readonly dvs?: unknown | undefined;
  readonly fullFormattedMessage?: string | undefined;
  readonly changeTag?: string | undefined;
}

export interface EventArgument extends DynamicData {}

export interface EventEx extends Event {
  readonly eventTypeId: string;
  readonly severity?: string | undefined;
  readonly message?: string | undefined;
  readonly arguments?: readonly KeyAnyValue[] | undefined;
  readonly objectId?: string | undefined;
  readonly objectType?: string | undefined;
  readonly objectName?: string | undefined;
  readonly fault?: LocalizedMethodFault | undefined;
}

export interface EventFilterSpec extends DynamicData {
  readonly entity?: EventFilterSpecByEntity | undefined;
  readonly time?: EventFilterSpecByTime | undefined;
  readonly userName?: unknown | undefined;
  readonly eventChainId?: number | undefined;
  readonly alarm?: MoRef | undefined;
  readonly scheduledTask?: MoRef | undefined;
  readonly disableFullMessage?: boolean | undefined;
  readonly category?: readonly string[] | undefined;
  readonly type?: readonly string[] | undefined;
  readonly tag?: readonly string[] | undefined;
  readonly eventTypeId?: readonly string[] | undefined;
  readonly maxCount?: number | undefined;
  readonly delayedInit?: boolean | undefined;
}

export interface EventFilterSpecByEntity extends DynamicData {
  readonly entity: MoRef;
  readonly recursion: EventFilterSpecRecursionOption;
}

export interface EventFilterSpecByTime extends DynamicData {
  readonly beginTime?: string | undefined;
  readonly endTime?: string | undefined;
}

export interface FileAlreadyExists extends FileFault {}

export interface FileBackedVirtualDiskSpec extends VirtualDiskSpec {
  readonly capacityKb: number;
  readonly profile?: readonly VirtualMachineProfileSpec[] | undefined;
  readonly crypto?: unknown | undefined;
  readonly sectorFormat?: string | undefined;
}

export interface FileFault extends VimFault {
  readonly file: string;
}

export interface FileInfo extends DynamicData {
  readonly path: string;
  readonly friendlyName?: string | undefined;
  readonly fileSize?: number | undefined;
  readonly modification?: string | undefined;
  readonly owner?: string | undefined;
}

export interface FileLocked extends FileFault {}

export interface FileNotFound extends FileFault {}

export interface FileQueryFlags extends DynamicData {
  readonly fileType: boolean;
  readonly fileSize: boolean;
  readonly modification: boolean;
  readonly fileOwner: boolean;
}

export interface GenericVmConfigFault extends VmConfigFault {
  readonly reason: string;
}

export interface GuestInfo extends DynamicData {
  readonly toolsStatus?: VirtualMachineToolsStatus | undefined;
  readonly toolsVersionStatus?: string | undefined;
  readonly toolsVersionStatus2?: string | undefined;
  readonly toolsRunningStatus?: string | undefined;
  readonly toolsVersion?: string | undefined;
  readonly toolsInstallType?: string | undefined;
  readonly guestId?: string | undefined;
  readonly guestFamily?: string | undefined;
  readonly guestFullName?: string | undefined;
  readonly guestDetailedData?: string | undefined;
  readonly hostName?: string | undefined;
  readonly ipAddress?: string | undefined;
  readonly net?: readonly GuestNicInfo[] | undefined;
  readonly ipStack?: readonly unknown[] | undefined;
  readonly disk?: readonly unknown[] | undefined;
  readonly screen?: unknown | undefined;
  readonly guestState: string;
  readonly appHeartbeatStatus?: string | undefined;
  readonly guestKernelCrashed?: boolean | undefined;
  readonly appState?: string | undefined;
  readonly guestOperationsReady?: boolean | undefined;
  readonly interactiveGuestOperationsReady?: boolean | undefined;
  readonly guestStateChangeSupported?: boolean | undefined;
  readonly generationInfo?: readonly unknown[] | undefined;
  readonly hwVersion?: string | undefined;
  readonly customizationInfo?: unknown | undefined;
}

export interface GuestNicInfo extends DynamicData {
  readonly network?: string | undefined;
  readonly ipAddress?: readonly string[] | undefined;
  readonly macAddress?: string | undefined;
  readonly connected: boolean;
  readonly deviceConfigId: number;
  readonly dnsConfig?: unknown | undefined;
  readonly ipConfig?: NetIpConfigInfo | undefined;
  readonly netBIOSConfig?: unknown | undefined;
}

export interface HostAutoStartManagerConfig extends DynamicData {
  readonly defaults?: AutoStartDefaults | undefined;
  readonly powerInfo?: readonly AutoStartPowerInfo[] | undefined;
}

export interface HostConfigFault extends VimFault {}

export interface HostConfigManager extends DynamicData {
  readonly cpuScheduler?: MoRef | undefined;
  readonly datastoreSystem?: MoRef | undefined;
  readonly memoryManager?: MoRef | undefined;
  readonly storageSystem?: MoRef | undefined;
  readonly networkSystem?: MoRef | undefined;
  readonly vmotionSystem?: MoRef | undefined;
  readonly virtualNicManager?: MoRef | undefined;
  readonly serviceSystem?: MoRef | undefined;
  readonly firewallSystem?: MoRef | undefined;
  readonly advancedOption?: MoRef | undefined;
  readonly diagnosticSystem?: MoRef | undefined;
  readonly autoStartManager?: MoRef | undefined;
  readonly snmpSystem?: MoRef | undefined;
  readonly dateTimeSystem?: MoRef | undefined;
  readonly patchManager?: MoRef | undefined;
  readonly imageConfigManager?: MoRef | undefined;
  readonly bootDeviceSystem?: MoRef | undefined;
  readonly firmwareSystem?: MoRef | undefined;
  readonly healthStatusSystem?: MoRef | undefined;
  readonly pciPassthruSystem?: MoRef | undefined;
  readonly licenseManager?: MoRef | undefined;
  readonly kernelModuleSystem?: MoRef | undefined;
  readonly authenticationManager?: MoRef | undefined;
  readonly powerSystem?: MoRef | undefined;
  readonly cacheConfigurationManager?: MoRef | undefined;
  readonly esxAgentHostManager?: MoRef | undefined;
  readonly iscsiManager?: MoRef | undefined;
  readonly vFlashManager?: MoRef | undefined;
  readonly vsanSystem?: MoRef | undefined;
  readonly messageBusProxy?: MoRef | undefined;
  readonly userDirectory?: MoRef | undefined;
  readonly accountManager?: MoRef | undefined;
  readonly hostAccessManager?: MoRef | undefined;
  readonly graphicsManager?: MoRef | undefined;
  readonly vsanInternalSystem?: MoRef | undefined;
  readonly certificateManager?: MoRef | undefined;
  readonly cryptoManager?: MoRef | undefined;
  readonly nvdimmSystem?: MoRef | undefined;
  readonly assignableHardwareManager?: MoRef | undefined;
}

export interface HostConfigSummary extends DynamicData {
  readonly name: string;
  readonly port: number;
  readonly sslThumbprint?: string | undefined;
  readonly sslCertificate?: string | undefined;
  readonly product?: AboutInfo | undefined;
  readonly vmotionEnabled: boolean;
  readonly faultToleranceEnabled: boolean;
  readonly featureVersion?: readonly unknown[] | undefined;
  readonly agentVmDatastore?: MoRef | undefined;
  readonly agentVmNetwork?: MoRef | undefined;
}

export interface HostDatastoreBrowserSearchResults extends DynamicData {
  readonly datastore?: MoRef | undefined;
  readonly folderPath?: string | undefined;
  readonly file?: readonly FileInfo[] | undefined;
}

export interface HostDatastoreBrowserSearchSpec extends DynamicData {
  readonly query?: readonly unknown[] | undefined;
  readonly details?: FileQueryFlags | undefined;
  readonly searchCaseInsensitive?: boolean | undefined;
  readonly matchPattern?: readonly string[] | undefined;
  readonly sortFoldersFirst?: boolean | undefined;
}

export interface HostDatastoreConnectInfo extends DynamicData {
  readonly summary: DatastoreSummary;
}

export interface HostHardwareSummary extends DynamicData {
  readonly vendor: string;
  readonly model: string;
  readonly family?: string | undefined;
  readonly uuid: string;
  readonly otherIdentifyingInfo?: readonly unknown[] | undefined;
  readonly memorySize: number;
  readonly cpuModel: string;
  readonly cpuMhz: number;
  readonly numCpuPkgs: number;
  readonly numCpuCores: number;
  readonly numCpuThreads: number;
  readonly numNics: number;
  readonly numHBAs: number;
}

export interface HostListSummary extends DynamicData {
  readonly host?: MoRef | undefined;
  readonly hardware?: HostHardwareSummary | undefined;
  readonly runtime?: HostRuntimeInfo | undefined;
  readonly config: HostConfigSummary;
  readonly quickStats: HostListSummaryQuickStats;
  readonly overallStatus: ManagedEntityStatus;
  readonly rebootRequired: boolean;
  readonly customValue?: readonly CustomFieldValue[] | undefined;
  readonly managementServerIp?: string | undefined;
  readonly maxEVCModeKey?: string | undefined;
  readonly currentEVCModeKey?: string | undefined;
  readonly currentEVCGraphicsModeKey?: string | undefined;
  readonly gateway?: unknown | undefined;
  readonly tpmAttestation?: unknown | undefined;
  readonly trustAuthorityAttestationInfos?: readonly unknown[] | undefined;
}

export interface HostListSummaryQuickStats extends DynamicData {
  readonly overallCpuUsage?: number | undefined;
  readonly overallMemoryUsage?: number | undefined;
  readonly distributedCpuFairness?: number | undefined;
  readonly distributedMemoryFairness?: number | undefined;
  readonly availablePMemCapacity?: number | undefined;
  readonly uptime?: number | undefined;
}

export interface HostMountInfo extends DynamicData {
  readonly path?: string | undefined;
  readonly accessMode: string;
  readonly mounted?: boolean | undefined;
  readonly accessible?: boolean | undefined;
  readonly inaccessibleReason?: string | undefined;
  readonly vmknicName?: string | undefined;
  readonly vmknicActive?: boolean | undefined;
  readonly mountFailedReason?: string | undefined;
  readonly numTcpConnections?: number | undefined;
}

export interface HostNasVolumeSpec extends DynamicData {
  readonly remoteHost: string;
  readonly remotePath: string;
  readonly localPath: string;
  readonly accessMode: string;
  readonly type?: string | undefined;
  readonly userName?: string | undefined;
  readonly password?: string | undefined;
  readonly remoteHostNames?: readonly string[] | undefined;
  readonly securityType?: string | undefined;
  readonly vmknicToBind?: string | undefined;
  readonly vmknicBound?: boolean | undefined;
  readonly connections?: number | undefined;
}

export interface HostNetworkPolicy extends DynamicData {
  readonly security?: HostNetworkSecurityPolicy | undefined;
  readonly nicTeaming?: unknown | undefined;
  readonly offloadPolicy?: unknown | undefined;
  readonly shapingPolicy?: unknown | undefined;
}

export interface HostNetworkSecurityPolicy extends DynamicData {
  readonly allowPromiscuous?: boolean | undefined;
  readonly macChanges?: boolean | undefined;
  readonly forgedTransmits?: boolean | undefined;
}

export interface HostPortGroupSpec extends DynamicData {
  readonly name: string;
  readonly vlanId: number;
  readonly vswitchName: string;
  readonly policy: HostNetworkPolicy;
}

export interface HostRuntimeInfo extends DynamicData {
  readonly connectionState: HostSystemConnectionState;
  readonly powerState: HostSystemPowerState;
  readonly standbyMode?: string | undefined;
  readonly inMaintenanceMode: boolean;
  readonly inQuarantineMode?: boolean | undefined;
  readonly bootTime?: string | undefined;
  readonly healthSystemRuntime?: unknown | undefined;
  readonly dasHostState?: unknown | undefined;
  readonly tpmPcrValues?: readonly unknown[] | undefined;
  readonly vsanRuntimeInfo?: unknown | undefined;
  readonly networkRuntimeInfo?: unknown | undefined;
  readonly vFlashResourceRuntimeInfo?: unknown | undefined;
  readonly hostMaxVirtualDiskCapacity?: number | undefined;
  readonly cryptoState?: string | undefined;
  readonly cryptoKeyId?: unknown | undefined;
  readonly statelessNvdsMigrationReady?: string | undefined;
  readonly partialMaintenanceMode?: readonly unknown[] | undefined;
  readonly stateEncryption?: unknown | undefined;
  readonly podVMInfo?: unknown | undefined;
}

export interface HostVirtualSwitchSpec extends DynamicData {
  readonly numPorts: number;
  readonly bridge?: unknown | undefined;
  readonly policy?: HostNetworkPolicy | undefined;
  readonly mtu?: number | undefined;
}

export interface HttpNfcLeaseDatastoreLeaseInfo extends DynamicData {
  readonly datastoreKey: string;
  readonly hosts: readonly HttpNfcLeaseHostInfo[];
}

export interface HttpNfcLeaseDeviceUrl extends DynamicData {
  readonly key: string;
  readonly importKey: string;
  readonly url: string;
  readonly sslThumbprint: string;
  readonly sslCertificate?: string | undefined;
  readonly disk?: boolean | undefined;
  readonly targetId?: string | undefined;
  readonly datastoreKey?: string | undefined;
  readonly fileSize?: number | undefined;
}

export interface HttpNfcLeaseHostInfo extends DynamicData {
  readonly url: string;
  readonly sslThumbprint: string;
}

export interface HttpNfcLeaseInfo extends DynamicData {
  readonly lease: MoRef;
  readonly entity: MoRef;
  readonly deviceUrl?: readonly HttpNfcLeaseDeviceUrl[] | undefined;
  readonly totalDiskCapacityInKB: number;
  readonly leaseTimeout: number;
  readonly hostMap?: readonly HttpNfcLeaseDatastoreLeaseInfo[] | undefined;
}

export interface ImportSpec extends DynamicData {
  readonly entityConfig?: unknown | undefined;
  readonly instantiationOst?: unknown | undefined;
}

export interface InsufficientMemoryResourcesFault extends InsufficientResourcesFault {
  readonly unreserved: number;
  readonly requested: number;
}

export interface InsufficientResourcesFault extends VimFault {}

export interface InvalidArgument extends RuntimeFault {
  readonly invalidProperty?: string | undefined;
}

export interface InvalidCollectorVersion extends MethodFault {}

export interface InvalidDatastore extends VimFault {
  readonly datastore?: MoRef | undefined;
  readonly name?: string | undefined;
}

export interface InvalidDatastorePath extends InvalidDatastore {
  readonly datastorePath: string;
}

export interface InvalidDeviceBacking extends InvalidDeviceSpec {}

export interface InvalidDeviceOperation extends InvalidDeviceSpec {
  readonly badOp?: VirtualDeviceConfigSpecOperation | undefined;
  readonly badFileOp?: VirtualDeviceConfigSpecFileOperation | undefined;
}

export interface InvalidDeviceSpec extends InvalidVmConfig {
  readonly deviceIndex: number;
}

export interface InvalidLogin extends VimFault {}

export interface InvalidName extends VimFault {
  readonly name: string;
  readonly entity?: MoRef | undefined;
}

export interface InvalidPowerState extends InvalidState {
  readonly requestedState?: VirtualMachinePowerState | undefined;
  readonly existingState: VirtualMachinePowerState;
}

export interface InvalidProperty extends MethodFault {
  readonly name: string;
}

export interface InvalidRequest extends RuntimeFault {}

export interface InvalidState extends VimFault {}

export interface InvalidType extends InvalidRequest {
  readonly argument?: string | undefined;
}

export interface InvalidVmConfig extends VmConfigFault {
  readonly property?: string | undefined;
}

export interface KeyAnyValue extends DynamicData {
  readonly key: string;
  readonly value: unknown;
}

export interface LocalizableMessage extends DynamicData {
  readonly key: string;
  readonly arg?: readonly KeyAnyValue[] | undefined;
  readonly message?: string | undefined;
}

export interface LocalizedMethodFault extends DynamicData {
  readonly fault: MethodFault;
  readonly localizedMessage?: string | undefined;
}

export interface ManagedByInfo extends DynamicData {
  readonly extensionKey: string;
  readonly type: string;
}

export interface ManagedEntityEventArgument extends EntityEventArgument {
  readonly entity: MoRef;
}

export interface ManagedObjectNotFound extends RuntimeFault {
  readonly obj: MoRef;
}

export interface MethodFault {
  readonly $type?: string | undefined;
  readonly faultCause?: LocalizedMethodFault | undefined;
  readonly faultMessage?: readonly LocalizableMessage[] | undefined;
}

export interface MethodNotFound extends InvalidRequest {
  readonly receiver: MoRef;
  readonly method: string;
}

export interface MissingObject extends DynamicData {
  readonly obj: MoRef;
  readonly fault: LocalizedMethodFault;
}

export interface MissingProperty extends DynamicData {
  readonly path: string;
  readonly fault: LocalizedMethodFault;
}

export interface NetIpConfigInfo extends DynamicData {
  readonly ipAddress?: readonly NetIpConfigInfoIpAddress[] | undefined;
  readonly dhcp?: unknown | undefined;
  readonly autoConfigurationEnabled?: boolean | undefined;
}

export interface NetIpConfigInfoIpAddress extends DynamicData {
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly origin?: string | undefined;
  readonly state?: string | undefined;
  readonly lifetime?: string | undefined;
}

export interface NetworkSummary extends DynamicData {
  readonly network?: MoRef | undefined;
  readonly name: string;
  readonly accessible: boolean;
  readonly ipPoolName: string;
  readonly ipPoolId?: number | undefined;
}

export interface NoDiskSpace extends FileFault {
  readonly datastore: string;
}

export interface NoPermission extends SecurityError {
  readonly object?: MoRef | undefined;
  readonly privilegeId?: string | undefined;
  readonly missingPrivileges?: readonly unknown[] | undefined;
}

export interface NotAuthenticated extends NoPermission {}

export interface NotEnoughLicenses extends RuntimeFault {}

export interface NotFound extends VimFault {}

export interface NotSupported extends RuntimeFault {}

export interface ObjectContent extends DynamicData {
  readonly obj: MoRef;
  readonly propSet?: readonly DynamicProperty[] | undefined;
  readonly missingSet?: readonly MissingProperty[] | undefined;
}

export interface ObjectSpec extends DynamicData {
  readonly obj: MoRef;
  readonly skip?: boolean | undefined;
  readonly selectSet?: readonly SelectionSpec[] | undefined;
}

export interface ObjectUpdate extends DynamicData {
  readonly kind: ObjectUpdateKind;
  readonly obj: MoRef;
  readonly changeSet?: readonly PropertyChange[] | undefined;
  readonly missingSet?: readonly MissingProperty[] | undefined;
}

export interface OpaqueNetworkSummary extends NetworkSummary {
  readonly opaqueNetworkId: string;
  readonly opaqueNetworkType: string;
}

export interface OptionValue extends DynamicData {
  readonly key: string;
  readonly value: unknown;
}

export interface ParaVirtualSCSIController extends VirtualSCSIController {}

export interface PrivilegeAvailability extends DynamicData {
  readonly privId: string;
  readonly isGranted: boolean;
}

export interface PropertyChange extends DynamicData {
  readonly name: string;
  readonly op: PropertyChangeOp;
  readonly val: unknown;
}

export interface PropertyFilterSpec extends DynamicData {
  readonly propSet: readonly PropertySpec[];
  readonly objectSet: readonly ObjectSpec[];
  readonly reportMissingObjectsInResults?: boolean | undefined;
}

export interface PropertyFilterUpdate extends DynamicData {
  readonly filter: MoRef;
  readonly objectSet?: readonly ObjectUpdate[] | undefined;
  readonly missingSet?: readonly MissingObject[] | undefined;
}

export interface PropertySpec extends DynamicData {
  readonly type: string;
  readonly all?: boolean | undefined;
  readonly pathSet?: readonly string[] | undefined;
}

export interface RequestCanceled extends RuntimeFault {}

export interface ResourceAllocationInfo extends DynamicData {
  readonly reservation?: number | undefined;
  readonly expandableReservation?: boolean | undefined;
  readonly limit?: number | undefined;
  readonly shares?: SharesInfo | undefined;
  readonly overheadLimit?: number | undefined;
}

export interface ResourceInUse extends VimFault {
  readonly type?: string | undefined;
  readonly name?: string | undefined;
}

export interface ResourceNotAvailable extends VimFault {
  readonly containerType?: string | undefined;
  readonly containerName?: string | undefined;
  readonly type?: string | undefined;
}

export interface RetrieveOptions extends DynamicData {
  readonly maxObjects?: number | undefined;
}

export interface RetrieveResult extends DynamicData {
  readonly token?: string | undefined;
  readonly objects: readonly ObjectContent[];
}

export interface RuntimeFault extends MethodFault {}

export interface SecurityError extends RuntimeFault {}

export interface SelectionSpec extends DynamicData {
  readonly name?: string | undefined;
}

export interface ServiceContent extends DynamicData {
  readonly rootFolder: MoRef;
  readonly propertyCollector: MoRef;
  readonly viewManager?: MoRef | undefined;
  readonly about: AboutInfo;
  readonly setting?: MoRef | undefined;
  readonly userDirectory?: MoRef | undefined;
  readonly sessionManager?: MoRef | undefined;
  readonly authorizationManager?: MoRef | undefined;
  readonly serviceManager?: MoRef | undefined;
  readonly perfManager?: MoRef | undefined;
  readonly scheduledTaskManager?: MoRef | undefined;
  readonly alarmManager?: MoRef | undefined;
  readonly eventManager?: MoRef | undefined;
  readonly taskManager?: MoRef | undefined;
  readonly extensionManager?: MoRef | undefined;
  readonly customizationSpecManager?: MoRef | undefined;
  readonly guestCustomizationManager?: MoRef | undefined;
  readonly customFieldsManager?: MoRef | undefined;
  readonly accountManager?: MoRef | undefined;
  readonly diagnosticManager?: MoRef | undefined;
  readonly licenseManager?: MoRef | undefined;
  readonly searchIndex?: MoRef | undefined;
  readonly fileManager?: MoRef | undefined;
  readonly datastoreNamespaceManager?: MoRef | undefined;
  readonly virtualDiskManager?: MoRef | undefined;
  readonly virtualizationManager?: MoRef | undefined;
  readonly snmpSystem?: MoRef | undefined;
  readonly vmProvisioningChecker?: MoRef | undefined;
  readonly vmCompatibilityChecker?: MoRef | undefined;
  readonly ovfManager?: MoRef | undefined;
  readonly ipPoolManager?: MoRef | undefined;
  readonly dvSwitchManager?: MoRef | undefined;
  readonly hostProfileManager?: MoRef | undefined;
  readonly clusterProfileManager?: MoRef | undefined;
  readonly complianceManager?: MoRef | undefined;
  readonly localizationManager?: MoRef | undefined;
  readonly storageResourceManager?: MoRef | undefined;
  readonly guestOperationsManager?: MoRef | undefined;
  readonly overheadMemoryManager?: MoRef | undefined;
  readonly certificateManager?: MoRef | undefined;
  readonly ioFilterManager?: MoRef | undefined;
  readonly vStorageObjectManager?: MoRef | undefined;
  readonly hostSpecManager?: MoRef | undefined;
  readonly cryptoManager?: MoRef | undefined;
  readonly healthUpdateManager?: MoRef | undefined;
  readonly failoverClusterConfigurator?: MoRef | undefined;
  readonly failoverClusterManager?: MoRef | undefined;
  readonly tenantManager?: MoRef | undefined;
  readonly siteInfoManager?: MoRef | undefined;
  readonly storageQueryManager?: MoRef | undefined;
  readonly directPathProfileManager?: MoRef | undefined;
}

export interface SharesInfo extends DynamicData {
  readonly shares: number;
  readonly level: SharesLevel;
}

export interface SnapshotFault extends VimFault {}

export interface SystemError extends RuntimeFault {
  readonly reason: string;
}

export interface TaskInProgress extends VimFault {
  readonly task: MoRef;
}

export interface TaskInfo extends DynamicData {
  readonly key: string;
  readonly task: MoRef;
  readonly description?: LocalizableMessage | undefined;
  readonly name?: string | undefined;
  readonly descriptionId: string;
  readonly entity?: MoRef | undefined;
  readonly entityName?: string | undefined;
  readonly locked?: readonly MoRef[] | undefined;
  readonly state: TaskInfoState;
  readonly cancelled: boolean;
  readonly cancelable: boolean;
  readonly error?: LocalizedMethodFault | undefined;
  readonly result?: unknown | undefined;
  readonly progress?: number | undefined;
  readonly progressDetails?: readonly KeyAnyValue[] | undefined;
  readonly reason: TaskReason;
  readonly queueTime: string;
  readonly startTime?: string | undefined;
  readonly completeTime?: string | undefined;
  readonly eventChainId: number;
  readonly changeTag?: string | undefined;
  readonly parentTaskKey?: string | undefined;
  readonly rootTaskKey?: string | undefined;
  readonly activationId?: string | undefined;
}

export interface TaskReason extends DynamicData {}

export interface TaskReasonAlarm extends TaskReason {
  readonly alarmName: string;
  readonly alarm: MoRef;
  readonly entityName: string;
  readonly entity: MoRef;
}

export interface TaskReasonSchedule extends TaskReason {
  readonly name: string;
  readonly scheduledTask: MoRef;
}

export interface TaskReasonSystem extends TaskReason {}

export interface TaskReasonUser extends TaskReason {
  readonly userName: string;
}

export interface Timedout extends VimFault {}

export interface TooManySnapshotLevels extends SnapshotFault {}

export interface ToolsConfigInfo extends DynamicData {
  readonly toolsVersion?: number | undefined;
  readonly toolsInstallType?: string | undefined;
  readonly afterPowerOn?: boolean | undefined;
  readonly afterResume?: boolean | undefined;
  readonly beforeGuestStandby?: boolean | undefined;
  readonly beforeGuestShutdown?: boolean | undefined;
  readonly beforeGuestReboot?: boolean | undefined;
  readonly toolsUpgradePolicy?: string | undefined;
  readonly pendingCustomization?: string | undefined;
  readonly customizationKeyId?: unknown | undefined;
  readonly syncTimeWithHostAllowed?: boolean | undefined;
  readonly syncTimeWithHost?: boolean | undefined;
  readonly lastInstallInfo?: unknown | undefined;
}

export interface ToolsUnavailable extends VimFault {}

export interface TraversalSpec extends SelectionSpec {
  readonly type: string;
  readonly path: string;
  readonly skip?: boolean | undefined;
  readonly selectSet?: readonly SelectionSpec[] | undefined;
}

export interface UncustomizableGuest extends CustomizationFault {
  readonly uncustomizableGuestOS: string;
}

export interface UpdateSet extends DynamicData {
  readonly version: string;
  readonly filterSet?: readonly PropertyFilterUpdate[] | undefined;
  readonly truncated?: boolean | undefined;
}

export interface UserSession extends DynamicData {
  readonly key: string;
  readonly userName: string;
  readonly fullName: string;
  readonly loginTime: string;
  readonly lastActiveTime: string;
  readonly locale: string;
  readonly messageLocale: string;
  readonly extensionSession: boolean;
  readonly ipAddress: string;
  readonly userAgent: string;
  readonly callCount: number;
}

export interface VimFault extends MethodFault {}

export interface VirtualAHCIController extends VirtualSATAController {}

export interface VirtualBusLogicController extends VirtualSCSIController {}

export interface VirtualCdrom extends VirtualDevice {}

export interface VirtualCdromAtapiBackingInfo extends VirtualDeviceDeviceBackingInfo {}

export interface VirtualCdromIsoBackingInfo extends VirtualDeviceFileBackingInfo {}

export interface VirtualCdromRemotePassthroughBackingInfo extends VirtualDeviceRemoteDeviceBackingInfo {
  readonly exclusive: boolean;
}

export interface VirtualController extends VirtualDevice {
  readonly busNumber: number;
  readonly device?: readonly number[] | undefined;
}

export interface VirtualDevice extends DynamicData {
  readonly key: number;
  readonly deviceInfo?: Description | undefined;
  readonly backing?: VirtualDeviceBackingInfo | undefined;
  readonly connectable?: VirtualDeviceConnectInfo | undefined;
  readonly slotInfo?: VirtualDeviceBusSlotInfo | undefined;
  readonly controllerKey?: number | undefined;
  readonly unitNumber?: number | undefined;
  readonly numaNode?: number | undefined;
  readonly deviceGroupInfo?: unknown | undefined;
}

export interface VirtualDeviceBackingInfo extends DynamicData {}

export interface VirtualDeviceBusSlotInfo extends DynamicData {}

export interface VirtualDeviceConfigSpec extends DynamicData {
  readonly operation?: VirtualDeviceConfigSpecOperation | undefined;
  readonly fileOperation?: VirtualDeviceConfigSpecFileOperation | undefined;
  readonly device: VirtualDevice;
  readonly profile?: readonly VirtualMachineProfileSpec[] | undefined;
  readonly backing?: unknown | undefined;
  readonly filterSpec?: readonly unknown[] | undefined;
  readonly changeMode?: string | undefined;
}

export interface VirtualDeviceConnectInfo extends DynamicData {
  readonly migrateConnect?: string | undefined;
  readonly startConnected: boolean;
  readonly allowGuestControl: boolean;
  readonly connected: boolean;
  readonly status?: string | undefined;
}

export interface VirtualDeviceDeviceBackingInfo extends VirtualDeviceBackingInfo {
  readonly deviceName: string;
  readonly useAutoDetect?: boolean | undefined;
}

export interface VirtualDeviceFileBackingInfo extends VirtualDeviceBackingInfo {
  readonly fileName: string;
  readonly datastore?: MoRef | undefined;
  readonly backingObjectId?: string | undefined;
}

export interface VirtualDevicePciBusSlotInfo extends VirtualDeviceBusSlotInfo {
  readonly pciSlotNumber: number;
}

export interface VirtualDeviceRemoteDeviceBackingInfo extends VirtualDeviceBackingInfo {
  readonly deviceName: string;
  readonly useAutoDetect?: boolean | undefined;
}

export interface VirtualDisk extends VirtualDevice {
  readonly capacityInKB: number;
  readonly capacityInBytes?: number | undefined;
  readonly shares?: SharesInfo | undefined;
  readonly storageIOAllocation?: unknown | undefined;
  readonly diskObjectId?: string | undefined;
  readonly vFlashCacheConfigInfo?: unknown | undefined;
  readonly iofilter?: readonly string[] | undefined;
  readonly vDiskId?: unknown | undefined;
  readonly vDiskVersion?: number | undefined;
  readonly virtualDiskFormat?: string | undefined;
  readonly nativeUnmanagedLinkedClone?: boolean | undefined;
  readonly independentFilters?: readonly unknown[] | undefined;
  readonly guestReadOnly?: boolean | undefined;
}

export interface VirtualDiskFlatVer1BackingInfo extends VirtualDeviceFileBackingInfo {
  readonly diskMode: string;
  readonly split?: boolean | undefined;
  readonly writeThrough?: boolean | undefined;
  readonly contentId?: string | undefined;
  readonly parent?: VirtualDiskFlatVer1BackingInfo | undefined;
}

export interface VirtualDiskFlatVer2BackingInfo extends VirtualDeviceFileBackingInfo {
  readonly diskMode: string;
  readonly split?: boolean | undefined;
  readonly writeThrough?: boolean | undefined;
  readonly thinProvisioned?: boolean | undefined;
  readonly eagerlyScrub?: boolean | undefined;
  readonly uuid?: string | undefined;
  readonly contentId?: string | undefined;
  readonly changeId?: string | undefined;
  readonly parent?: VirtualDiskFlatVer2BackingInfo | undefined;
  readonly deltaDiskFormat?: string | undefined;
  readonly digestEnabled?: boolean | undefined;
  readonly deltaGrainSize?: number | undefined;
  readonly deltaDiskFormatVariant?: string | undefined;
  readonly sharing?: string | undefined;
  readonly keyId?: unknown | undefined;
}

export interface VirtualDiskLocalPMemBackingInfo extends VirtualDeviceFileBackingInfo {
  readonly diskMode: string;
  readonly uuid?: string | undefined;
  readonly volumeUUID?: string | undefined;
  readonly contentId?: string | undefined;
}

export interface VirtualDiskRawDiskMappingVer1BackingInfo extends VirtualDeviceFileBackingInfo {
  readonly lunUuid?: string | undefined;
  readonly deviceName?: string | undefined;
  readonly compatibilityMode?: string | undefined;
  readonly diskMode?: string | undefined;
  readonly uuid?: string | undefined;
  readonly contentId?: string | undefined;
  readonly changeId?: string | undefined;
  readonly parent?: VirtualDiskRawDiskMappingVer1BackingInfo | undefined;
  readonly deltaDiskFormat?: string | undefined;
  readonly deltaGrainSize?: number | undefined;
  readonly sharing?: string | undefined;
}

export interface VirtualDiskRawDiskVer2BackingInfo extends VirtualDeviceDeviceBackingInfo {
  readonly descriptorFileName: string;
  readonly uuid?: string | undefined;
  readonly changeId?: string | undefined;
  readonly sharing?: string | undefined;
}

export interface VirtualDiskSeSparseBackingInfo extends VirtualDeviceFileBackingInfo {
  readonly diskMode: string;
  readonly writeThrough?: boolean | undefined;
  readonly uuid?: string | undefined;
  readonly contentId?: string | undefined;
  readonly changeId?: string | undefined;
  readonly parent?: VirtualDiskSeSparseBackingInfo | undefined;
  readonly deltaDiskFormat?: string | undefined;
  readonly digestEnabled?: boolean | undefined;
  readonly grainSize?: number | undefined;
  readonly keyId?: unknown | undefined;
}

export interface VirtualDiskSparseVer2BackingInfo extends VirtualDeviceFileBackingInfo {
  readonly diskMode: string;
  readonly split?: boolean | undefined;
  readonly writeThrough?: boolean | undefined;
  readonly spaceUsedInKB?: number | undefined;
  readonly uuid?: string | undefined;
  readonly contentId?: string | undefined;
  readonly changeId?: string | undefined;
  readonly parent?: VirtualDiskSparseVer2BackingInfo | undefined;
  readonly keyId?: unknown | undefined;
}

export interface VirtualDiskSpec extends DynamicData {
  readonly diskType: string;
  readonly adapterType: string;
}

export interface VirtualE1000 extends VirtualEthernetCard {}

export interface VirtualE1000e extends VirtualEthernetCard {}

export interface VirtualEthernetCard extends VirtualDevice {
  readonly addressType?: string | undefined;
  readonly macAddress?: string | undefined;
  readonly wakeOnLanEnabled?: boolean | undefined;
  readonly resourceAllocation?: unknown | undefined;
  readonly externalId?: string | undefined;
  readonly uptCompatibilityEnabled?: boolean | undefined;
  readonly subnetId?: string | undefined;
}

export interface VirtualEthernetCardDistributedVirtualPortBackingInfo extends VirtualDeviceBackingInfo {
  readonly port: DistributedVirtualSwitchPortConnection;
}

export interface VirtualEthernetCardNetworkBackingInfo extends VirtualDeviceDeviceBackingInfo {
  readonly network?: MoRef | undefined;
  readonly inPassthroughMode?: boolean | undefined;
}

export interface VirtualEthernetCardOpaqueNetworkBackingInfo extends VirtualDeviceBackingInfo {
  readonly opaqueNetworkId: string;
  readonly opaqueNetworkType: string;
}

export interface VirtualHardware extends DynamicData {
  readonly numCPU: number;
  readonly numCoresPerSocket?: number | undefined;
  readonly autoCoresPerSocket?: boolean | undefined;
  readonly memoryMB: number;
  readonly virtualICH7MPresent?: boolean | undefined;
  readonly virtualSMCPresent?: boolean | undefined;
  readonly device?: readonly VirtualDevice[] | undefined;
  readonly motherboardLayout?: string | undefined;
  readonly simultaneousThreads?: number | undefined;
}

export interface VirtualIDEController extends VirtualController {}

export interface VirtualKeyboard extends VirtualDevice {}

export interface VirtualLsiLogicController extends VirtualSCSIController {}

export interface VirtualLsiLogicSASController extends VirtualSCSIController {}

export interface VirtualMachineBootOptions extends DynamicData {
  readonly bootDelay?: number | undefined;
  readonly enterBIOSSetup?: boolean | undefined;
  readonly efiSecureBootEnabled?: boolean | undefined;
  readonly bootRetryEnabled?: boolean | undefined;
  readonly bootRetryDelay?: number | undefined;
  readonly bootOrder?: readonly VirtualMachineBootOptionsBootableDevice[] | undefined;
  readonly networkBootProtocol?: string | undefined;
}

export interface VirtualMachineBootOptionsBootableDevice extends DynamicData {}

export interface VirtualMachineBootOptionsBootableDiskDevice extends VirtualMachineBootOptionsBootableDevice {
  readonly deviceKey: number;
}

export interface VirtualMachineCapability extends DynamicData {
  readonly snapshotOperationsSupported: boolean;
  readonly multipleSnapshotsSupported: boolean;
  readonly snapshotConfigSupported: boolean;
  readonly poweredOffSnapshotsSupported: boolean;
  readonly memorySnapshotsSupported: boolean;
  readonly revertToSnapshotSupported: boolean;
  readonly quiescedSnapshotsSupported: boolean;
  readonly disableSnapshotsSupported: boolean;
  readonly lockSnapshotsSupported: boolean;
  readonly consolePreferencesSupported: boolean;
  readonly cpuFeatureMaskSupported: boolean;
  readonly s1AcpiManagementSupported: boolean;
  readonly settingScreenResolutionSupported: boolean;
  readonly toolsAutoUpdateSupported: boolean;
  readonly vmNpivWwnSupported: boolean;
  readonly npivWwnOnNonRdmVmSupported: boolean;
  readonly vmNpivWwnDisableSupported: boolean;
  readonly vmNpivWwnUpdateSupported: boolean;
  readonly swapPlacementSupported: boolean;
  readonly toolsSyncTimeSupported: boolean;
  readonly virtualMmuUsageSupported: boolean;
  readonly diskSharesSupported: boolean;
  readonly bootOptionsSupported: boolean;
  readonly bootRetryOptionsSupported: boolean;
  readonly settingVideoRamSizeSupported: boolean;
  readonly settingDisplayTopologySupported: boolean;
  readonly recordReplaySupported: boolean;
  readonly changeTrackingSupported: boolean;
  readonly multipleCoresPerSocketSupported: boolean;
  readonly hostBasedReplicationSupported: boolean;
  readonly guestAutoLockSupported: boolean;
  readonly memoryReservationLockSupported: boolean;
  readonly featureRequirementSupported: boolean;
  readonly poweredOnMonitorTypeChangeSupported: boolean;
  readonly seSparseDiskSupported: boolean;
  readonly nestedHVSupported: boolean;
  readonly vPMCSupported: boolean;
  readonly secureBootSupported?: boolean | undefined;
  readonly perVmEvcSupported?: boolean | undefined;
  readonly virtualMmuUsageIgnored?: boolean | undefined;
  readonly virtualExecUsageIgnored?: boolean | undefined;
  readonly diskOnlySnapshotOnSuspendedVMSupported?: boolean | undefined;
  readonly suspendToMemorySupported?: boolean | undefined;
  readonly toolsSyncTimeAllowSupported?: boolean | undefined;
  readonly sevSupported?: boolean | undefined;
  readonly pmemFailoverSupported?: boolean | undefined;
  readonly requireSgxAttestationSupported?: boolean | undefined;
  readonly changeModeDisksSupported?: boolean | undefined;
  readonly vendorDeviceGroupSupported?: boolean | undefined;
  readonly sevSnpSupported?: boolean | undefined;
  readonly tdxSupported?: boolean | undefined;
}

export interface VirtualMachineCloneSpec extends DynamicData {
  readonly location: VirtualMachineRelocateSpec;
  readonly template: boolean;
  readonly config?: VirtualMachineConfigSpec | undefined;
  readonly customization?: CustomizationSpec | undefined;
  readonly powerOn: boolean;
  readonly snapshot?: MoRef | undefined;
  readonly memory?: boolean | undefined;
  readonly tpmProvisionPolicy?: string | undefined;
}

export interface VirtualMachineConfigInfo extends DynamicData {
  readonly changeVersion: string;
  readonly modified: string;
  readonly name: string;
  readonly guestFullName: string;
  readonly version: string;
  readonly uuid: string;
  readonly createDate?: string | undefined;
  readonly instanceUuid?: string | undefined;
  readonly npivNodeWorldWideName?: readonly number[] | undefined;
  readonly npivPortWorldWideName?: readonly number[] | undefined;
  readonly npivWorldWideNameType?: string | undefined;
  readonly npivDesiredNodeWwns?: number | undefined;
  readonly npivDesiredPortWwns?: number | undefined;
  readonly npivTemporaryDisabled?: boolean | undefined;
  readonly npivOnNonRdmDisks?: boolean | undefined;
  readonly locationId?: string | undefined;
  readonly template: boolean;
  readonly guestId: string;
  readonly alternateGuestName: string;
  readonly annotation?: string | undefined;
  readonly files: VirtualMachineFileInfo;
  readonly tools?: ToolsConfigInfo | undefined;
  readonly flags: VirtualMachineFlagInfo;
  readonly consolePreferences?: unknown | undefined;
  readonly defaultPowerOps: VirtualMachineDefaultPowerOpInfo;
  readonly rebootPowerOff?: boolean | undefined;
  readonly hardware: VirtualHardware;
  readonly vcpuConfig?: readonly unknown[] | undefined;
  readonly cpuAllocation?: ResourceAllocationInfo | undefined;
  readonly memoryAllocation?: ResourceAllocationInfo | undefined;
  readonly latencySensitivity?: unknown | undefined;
  readonly memoryHotAddEnabled?: boolean | undefined;
  readonly cpuHotAddEnabled?: boolean | undefined;
  readonly cpuHotRemoveEnabled?: boolean | undefined;
  readonly hotPlugMemoryLimit?: number | undefined;
  readonly hotPlugMemoryIncrementSize?: number | undefined;
  readonly cpuAffinity?: unknown | undefined;
  readonly memoryAffinity?: unknown | undefined;
  readonly networkShaper?: unknown | undefined;
  readonly extraConfig?: readonly OptionValue[] | undefined;
  readonly cpuFeatureMask?: readonly unknown[] | undefined;
  readonly datastoreUrl?: readonly unknown[] | undefined;
  readonly swapPlacement?: string | undefined;
  readonly bootOptions?: VirtualMachineBootOptions | undefined;
  readonly ftInfo?: unknown | undefined;
  readonly repConfig?: unknown | undefined;
  readonly vAppConfig?: unknown | undefined;
  readonly vAssertsEnabled?: boolean | undefined;
  readonly changeTrackingEnabled?: boolean | undefined;
  readonly firmware?: string | undefined;
  readonly maxMksConnections?: number | undefined;
  readonly guestAutoLockEnabled?: boolean | undefined;
  readonly managedBy?: ManagedByInfo | undefined;
  readonly memoryReservationLockedToMax?: boolean | undefined;
  readonly initialOverhead?: unknown | undefined;
  readonly nestedHVEnabled?: boolean | undefined;
  readonly vPMCEnabled?: boolean | undefined;
  readonly scheduledHardwareUpgradeInfo?: unknown | undefined;
  readonly forkConfigInfo?: unknown | undefined;
  readonly vFlashCacheReservation?: number | undefined;
  readonly vmxConfigChecksum?: string | undefined;
  readonly messageBusTunnelEnabled?: boolean | undefined;
  readonly vmStorageObjectId?: string | undefined;
  readonly swapStorageObjectId?: string | undefined;
  readonly keyId?: unknown | undefined;
  readonly guestIntegrityInfo?: unknown | undefined;
  readonly migrateEncryption?: string | undefined;
  readonly sgxInfo?: unknown | undefined;
  readonly contentLibItemInfo?: unknown | undefined;
  readonly ftEncryptionMode?: string | undefined;
  readonly guestMonitoringModeInfo?: unknown | undefined;
  readonly sevEnabled?: boolean | undefined;
  readonly numaInfo?: unknown | undefined;
  readonly pmemFailoverEnabled?: boolean | undefined;
  readonly vmxStatsCollectionEnabled?: boolean | undefined;
  readonly vmOpNotificationToAppEnabled?: boolean | undefined;
  readonly vmOpNotificationTimeout?: number | undefined;
  readonly deviceSwap?: unknown | undefined;
  readonly pmem?: unknown | undefined;
  readonly deviceGroups?: unknown | undefined;
  readonly fixedPassthruHotPlugEnabled?: boolean | undefined;
  readonly metroFtEnabled?: boolean | undefined;
  readonly vmxRuntimeConfig?: readonly OptionValue[] | undefined;
  readonly metroFtHostGroup?: string | undefined;
  readonly tdxEnabled?: boolean | undefined;
  readonly sevSnpEnabled?: boolean | undefined;
  readonly extensionCompatibilityConstraint?: unknown | undefined;
}

export interface VirtualMachineConfigSpec extends DynamicData {
  readonly changeVersion?: string | undefined;
  readonly name?: string | undefined;
  readonly version?: string | undefined;
  readonly createDate?: string | undefined;
  readonly uuid?: string | undefined;
  readonly instanceUuid?: string | undefined;
  readonly npivNodeWorldWideName?: readonly number[] | undefined;
  readonly npivPortWorldWideName?: readonly number[] | undefined;
  readonly npivWorldWideNameType?: string | undefined;
  readonly npivDesiredNodeWwns?: number | undefined;
  readonly npivDesiredPortWwns?: number | undefined;
  readonly npivTemporaryDisabled?: boolean | undefined;
  readonly npivOnNonRdmDisks?: boolean | undefined;
  readonly npivWorldWideNameOp?: string | undefined;
  readonly locationId?: string | undefined;
  readonly guestId?: string | undefined;
  readonly alternateGuestName?: string | undefined;
  readonly annotation?: string | undefined;
  readonly files?: VirtualMachineFileInfo | undefined;
  readonly tools?: ToolsConfigInfo | undefined;
  readonly flags?: VirtualMachineFlagInfo | undefined;
  readonly consolePreferences?: unknown | undefined;
  readonly powerOpInfo?: VirtualMachineDefaultPowerOpInfo | undefined;
  readonly rebootPowerOff?: boolean | undefined;
  readonly numCPUs?: number | undefined;
  readonly vcpuConfig?: readonly unknown[] | undefined;
  readonly numCoresPerSocket?: number | undefined;
  readonly memoryMB?: number | undefined;
  readonly memoryHotAddEnabled?: boolean | undefined;
  readonly cpuHotAddEnabled?: boolean | undefined;
  readonly cpuHotRemoveEnabled?: boolean | undefined;
  readonly virtualICH7MPresent?: boolean | undefined;
  readonly virtualSMCPresent?: boolean | undefined;
  readonly deviceChange?: readonly VirtualDeviceConfigSpec[] | undefined;
  readonly cpuAllocation?: ResourceAllocationInfo | undefined;
  readonly memoryAllocation?: ResourceAllocationInfo | undefined;
  readonly latencySensitivity?: unknown | undefined;
  readonly cpuAffinity?: unknown | undefined;
  readonly memoryAffinity?: unknown | undefined;
  readonly networkShaper?: unknown | undefined;
  readonly cpuFeatureMask?: readonly unknown[] | undefined;
  readonly extraConfig?: readonly OptionValue[] | undefined;
  readonly swapPlacement?: string | undefined;
  readonly bootOptions?: VirtualMachineBootOptions | undefined;
  readonly vAppConfig?: unknown | undefined;
  readonly ftInfo?: unknown | undefined;
  readonly repConfig?: unknown | undefined;
  readonly vAppConfigRemoved?: boolean | undefined;
  readonly vAssertsEnabled?: boolean | undefined;
  readonly changeTrackingEnabled?: boolean | undefined;
  readonly firmware?: string | undefined;
  readonly maxMksConnections?: number | undefined;
  readonly guestAutoLockEnabled?: boolean | undefined;
  readonly managedBy?: ManagedByInfo | undefined;
  readonly memoryReservationLockedToMax?: boolean | undefined;
  readonly nestedHVEnabled?: boolean | undefined;
  readonly vPMCEnabled?: boolean | undefined;
  readonly scheduledHardwareUpgradeInfo?: unknown | undefined;
  readonly vmProfile?: readonly VirtualMachineProfileSpec[] | undefined;
  readonly messageBusTunnelEnabled?: boolean | undefined;
  readonly crypto?: unknown | undefined;
  readonly migrateEncryption?: string | undefined;
  readonly sgxInfo?: unknown | undefined;
  readonly ftEncryptionMode?: string | undefined;
  readonly guestMonitoringModeInfo?: unknown | undefined;
  readonly sevEnabled?: boolean | undefined;
  readonly virtualNuma?: unknown | undefined;
  readonly motherboardLayout?: string | undefined;
  readonly pmemFailoverEnabled?: boolean | undefined;
  readonly vmxStatsCollectionEnabled?: boolean | undefined;
  readonly vmOpNotificationToAppEnabled?: boolean | undefined;
  readonly vmOpNotificationTimeout?: number | undefined;
  readonly deviceSwap?: unknown | undefined;
  readonly simultaneousThreads?: number | undefined;
  readonly pmem?: unknown | undefined;
  readonly deviceGroups?: unknown | undefined;
  readonly fixedPassthruHotPlugEnabled?: boolean | undefined;
  readonly metroFtEnabled?: boolean | undefined;
  readonly metroFtHostGroup?: string | undefined;
  readonly tdxEnabled?: boolean | undefined;
  readonly sevSnpEnabled?: boolean | undefined;
  readonly tagSpecs?: readonly unknown[] | undefined;
  readonly vmPlacementPolicies?: readonly unknown[] | undefined;
  readonly extensionCompatibilityConstraint?: unknown | undefined;
  readonly skipExtensionCompatibilityChecks?: boolean | undefined;
}

export interface VirtualMachineConfigSummary extends DynamicData {
  readonly name: string;
  readonly template: boolean;
  readonly vmPathName: string;
  readonly memorySizeMB?: number | undefined;
  readonly cpuReservation?: number | undefined;
  readonly memoryReservation?: number | undefined;
  readonly numCpu?: number | undefined;
  readonly numEthernetCards?: number | undefined;
  readonly numVirtualDisks?: number | undefined;
  readonly uuid?: string | undefined;
  readonly instanceUuid?: string | undefined;
  readonly guestId?: string | undefined;
  readonly guestFullName?: string | undefined;
  readonly annotation?: string | undefined;
  readonly product?: unknown | undefined;
  readonly installBootRequired?: boolean | undefined;
  readonly ftInfo?: unknown | undefined;
  readonly managedBy?: ManagedByInfo | undefined;
  readonly tpmPresent?: boolean | undefined;
  readonly numVmiopBackings?: number | undefined;
  readonly hwVersion?: string | undefined;
}

export interface VirtualMachineDefaultPowerOpInfo extends DynamicData {
  readonly powerOffType?: string | undefined;
  readonly suspendType?: string | undefined;
  readonly resetType?: string | undefined;
  readonly defaultPowerOffType?: string | undefined;
  readonly defaultSuspendType?: string | undefined;
  readonly defaultResetType?: string | undefined;
  readonly standbyAction?: string | undefined;
}

export interface VirtualMachineFileInfo extends DynamicData {
  readonly vmPathName?: string | undefined;
  readonly snapshotDirectory?: string | undefined;
  readonly suspendDirectory?: string | undefined;
  readonly logDirectory?: string | undefined;
  readonly ftMetadataDirectory?: string | undefined;
}

export interface VirtualMachineFileLayoutEx extends DynamicData {
  readonly file?: readonly VirtualMachineFileLayoutExFileInfo[] | undefined;
  readonly disk?: readonly VirtualMachineFileLayoutExDiskLayout[] | undefined;
  readonly snapshot?: readonly unknown[] | undefined;
  readonly timestamp: string;
}

export interface VirtualMachineFileLayoutExDiskLayout extends DynamicData {
  readonly key: number;
  readonly virtualDiskFormat?: string | undefined;
  readonly chain?: readonly VirtualMachineFileLayoutExDiskUnit[] | undefined;
}

export interface VirtualMachineFileLayoutExDiskUnit extends DynamicData {
  readonly fileKey: readonly number[];
}

export interface VirtualMachineFileLayoutExFileInfo extends DynamicData {
  readonly key: number;
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly uniqueSize?: number | undefined;
  readonly backingObjectId?: string | undefined;
  readonly accessible?: boolean | undefined;
}

export interface VirtualMachineFlagInfo extends DynamicData {
  readonly disableAcceleration?: boolean | undefined;
  readonly enableLogging?: boolean | undefined;
  readonly useToe?: boolean | undefined;
  readonly runWithDebugInfo?: boolean | undefined;
  readonly monitorType?: string | undefined;
  readonly htSharing?: string | undefined;
  readonly snapshotDisabled?: boolean | undefined;
  readonly snapshotLocked?: boolean | undefined;
  readonly diskUuidEnabled?: boolean | undefined;
  readonly virtualMmuUsage?: string | undefined;
  readonly virtualExecUsage?: string | undefined;
  readonly snapshotPowerOffBehavior?: string | undefined;
  readonly recordReplayEnabled?: boolean | undefined;
  readonly faultToleranceType?: string | undefined;
  readonly cbrcCacheEnabled?: boolean | undefined;
  readonly vvtdEnabled?: boolean | undefined;
  readonly vbsEnabled?: boolean | undefined;
}

export interface VirtualMachineGuestSummary extends DynamicData {
  readonly guestId?: string | undefined;
  readonly guestFullName?: string | undefined;
  readonly toolsStatus?: VirtualMachineToolsStatus | undefined;
  readonly toolsVersionStatus?: string | undefined;
  readonly toolsVersionStatus2?: string | undefined;
  readonly toolsRunningStatus?: string | undefined;
  readonly hostName?: string | undefined;
  readonly ipAddress?: string | undefined;
  readonly hwVersion?: string | undefined;
}

export interface VirtualMachineImportSpec extends ImportSpec {
  readonly configSpec: VirtualMachineConfigSpec;
  readonly resPoolEntity?: MoRef | undefined;
}

export interface VirtualMachineProfileSpec extends DynamicData {}

export interface VirtualMachineQuickStats extends DynamicData {
  readonly overallCpuUsage?: number | undefined;
  readonly overallCpuDemand?: number | undefined;
  readonly overallCpuReadiness?: number | undefined;
  readonly guestMemoryUsage?: number | undefined;
  readonly hostMemoryUsage?: number | undefined;
  readonly guestHeartbeatStatus: ManagedEntityStatus;
  readonly distributedCpuEntitlement?: number | undefined;
  readonly distributedMemoryEntitlement?: number | undefined;
  readonly staticCpuEntitlement?: number | undefined;
  readonly staticMemoryEntitlement?: number | undefined;
  readonly grantedMemory?: number | undefined;
  readonly privateMemory?: number | undefined;
  readonly sharedMemory?: number | undefined;
  readonly swappedMemory?: number | undefined;
  readonly balloonedMemory?: number | undefined;
  readonly consumedOverheadMemory?: number | undefined;
  readonly ftLogBandwidth?: number | undefined;
  readonly ftSecondaryLatency?: number | undefined;
  readonly ftLatencyStatus?: ManagedEntityStatus | undefined;
  readonly compressedMemory?: number | undefined;
  readonly uptimeSeconds?: number | undefined;
  readonly ssdSwappedMemory?: number | undefined;
  readonly activeMemory?: number | undefined;
  readonly memoryTierStats?: readonly unknown[] | undefined;
}

export interface VirtualMachineRelocateSpec extends DynamicData {
  readonly service?: unknown | undefined;
  readonly folder?: MoRef | undefined;
  readonly datastore?: MoRef | undefined;
  readonly diskMoveType?: string | undefined;
  readonly pool?: MoRef | undefined;
  readonly host?: MoRef | undefined;
  readonly disk?: readonly VirtualMachineRelocateSpecDiskLocator[] | undefined;
  readonly transform?: VirtualMachineRelocateTransformation | undefined;
  readonly deviceChange?: readonly VirtualDeviceConfigSpec[] | undefined;
  readonly profile?: readonly VirtualMachineProfileSpec[] | undefined;
  readonly cryptoSpec?: unknown | undefined;
  readonly tagSpecs?: readonly unknown[] | undefined;
  readonly vmPlacementPolicies?: readonly unknown[] | undefined;
  readonly skipExtensionCompatibilityChecks?: boolean | undefined;
}

export interface VirtualMachineRelocateSpecDiskLocator extends DynamicData {
  readonly diskId: number;
  readonly datastore: MoRef;
  readonly diskMoveType?: string | undefined;
  readonly diskBackingInfo?: VirtualDeviceBackingInfo | undefined;
  readonly profile?: readonly VirtualMachineProfileSpec[] | undefined;
  readonly backing?: unknown | undefined;
  readonly filterSpec?: readonly unknown[] | undefined;
}

export interface VirtualMachineRuntimeInfo extends DynamicData {
  readonly device?: readonly unknown[] | undefined;
  readonly host?: MoRef | undefined;
  readonly connectionState: VirtualMachineConnectionState;
  readonly powerState: VirtualMachinePowerState;
  readonly vmFailoverInProgress?: boolean | undefined;
  readonly faultToleranceState: VirtualMachineFaultToleranceState;
  readonly dasVmProtection?: unknown | undefined;
  readonly toolsInstallerMounted: boolean;
  readonly suspendTime?: string | undefined;
  readonly bootTime?: string | undefined;
  readonly suspendInterval?: number | undefined;
  readonly question?: unknown | undefined;
  readonly memoryOverhead?: number | undefined;
  readonly maxCpuUsage?: number | undefined;
  readonly maxMemoryUsage?: number | undefined;
  readonly numMksConnections: number;
  readonly recordReplayState: VirtualMachineRecordReplayState;
  readonly cleanPowerOff?: boolean | undefined;
  readonly needSecondaryReason?: string | undefined;
  readonly onlineStandby: boolean;
  readonly minRequiredEVCModeKey?: string | undefined;
  readonly consolidationNeeded: boolean;
  readonly offlineFeatureRequirement?: readonly unknown[] | undefined;
  readonly featureRequirement?: readonly unknown[] | undefined;
  readonly featureMask?: readonly unknown[] | undefined;
  readonly vFlashCacheAllocation?: number | undefined;
  readonly paused?: boolean | undefined;
  readonly snapshotInBackground?: boolean | undefined;
  readonly quiescedForkParent?: boolean | undefined;
  readonly instantCloneFrozen?: boolean | undefined;
  readonly cryptoState?: string | undefined;
  readonly suspendedToMemory?: boolean | undefined;
  readonly opNotificationTimeout?: number | undefined;
  readonly iommuActive?: boolean | undefined;
}

export interface VirtualMachineSnapshotInfo extends DynamicData {
  readonly currentSnapshot?: MoRef | undefined;
  readonly rootSnapshotList: readonly VirtualMachineSnapshotTree[];
}

export interface VirtualMachineSnapshotTree extends DynamicData {
  readonly snapshot: MoRef;
  readonly vm: MoRef;
  readonly name: string;
  readonly description: string;
  readonly id: number;
  readonly createTime: string;
  readonly state: VirtualMachinePowerState;
  readonly quiesced: boolean;
  readonly backupManifest?: string | undefined;
  readonly childSnapshotList?: readonly VirtualMachineSnapshotTree[] | undefined;
  readonly replaySupported?: boolean | undefined;
}

export interface VirtualMachineSummary extends DynamicData {
  readonly vm?: MoRef | undefined;
  readonly runtime: VirtualMachineRuntimeInfo;
  readonly guest?: VirtualMachineGuestSummary | undefined;
  readonly config: VirtualMachineConfigSummary;
  readonly storage?: unknown | undefined;
  readonly quickStats: VirtualMachineQuickStats;
  readonly overallStatus: ManagedEntityStatus;
  readonly customValue?: readonly CustomFieldValue[] | undefined;
}

export interface VirtualMachineVMCIDevice extends VirtualDevice {
  readonly id?: number | undefined;
  readonly allowUnrestrictedCommunication?: boolean | undefined;
  readonly filterEnable?: boolean | undefined;
  readonly filterInfo?: unknown | undefined;
}

export interface VirtualMachineVideoCard extends VirtualDevice {
  readonly videoRamSizeInKB?: number | undefined;
  readonly numDisplays?: number | undefined;
  readonly useAutoDetect?: boolean | undefined;
  readonly enable3DSupport?: boolean | undefined;
  readonly use3dRenderer?: string | undefined;
  readonly graphicsMemorySizeInKB?: number | undefined;
}

export interface VirtualNVMEController extends VirtualController {
  readonly sharedBus?: string | undefined;
}

export interface VirtualPCIController extends VirtualController {}

export interface VirtualPCNet32 extends VirtualEthernetCard {}

export interface VirtualPS2Controller extends VirtualController {}

export interface VirtualPointingDevice extends VirtualDevice {}

export interface VirtualSATAController extends VirtualController {}

export interface VirtualSCSIController extends VirtualController {
  readonly hotAddRemove?: boolean | undefined;
  readonly sharedBus: VirtualSCSISharing;
  readonly scsiCtlrUnitNumber?: number | undefined;
}

export interface VirtualSIOController extends VirtualController {}

export interface VirtualSriovEthernetCard extends VirtualEthernetCard {
  readonly allowGuestOSMtuChange?: boolean | undefined;
  readonly sriovBacking?: unknown | undefined;
  readonly dvxBackingInfo?: unknown | undefined;
}

export interface VirtualTPM extends VirtualDevice {
  readonly endorsementKeyCertificateSigningRequest?: readonly string[] | undefined;
  readonly endorsementKeyCertificate?: readonly string[] | undefined;
}

export interface VirtualVmxnet extends VirtualEthernetCard {}

export interface VirtualVmxnet2 extends VirtualVmxnet {}

export interface VirtualVmxnet3 extends VirtualVmxnet {
  readonly uptv2Enabled?: boolean | undefined;
  readonly strictLatencyConfig?: unknown | undefined;
}

export interface VmConfigFault extends VimFault {}

export interface VmEvent extends Event {
  readonly template: boolean;
}

export interface VmEventArgument extends EntityEventArgument {
  readonly vm: MoRef;
}

export interface VmPoweredOffEvent extends VmEvent {}

export interface VmPoweredOnEvent extends VmEvent {}

export interface WaitOptions extends DynamicData {
  readonly maxWaitSeconds?: number | undefined;
  readonly maxObjectUpdates?: number | undefined;
}

/** By the name that `xsi:type` gives. */
export interface TypeMap {
  AboutInfo: AboutInfo;
  AlreadyExists: AlreadyExists;
  ApplicationQuiesceFault: ApplicationQuiesceFault;
  AutoStartDefaults: AutoStartDefaults;
  AutoStartPowerInfo: AutoStartPowerInfo;
  CannotAccessFile: CannotAccessFile;
  ComputeResourceSummary: ComputeResourceSummary;
  ConcurrentAccess: ConcurrentAccess;
  CustomFieldDef: CustomFieldDef;
  CustomFieldStringValue: CustomFieldStringValue;
  CustomFieldValue: CustomFieldValue;
  CustomizationAdapterMapping: CustomizationAdapterMapping;
  CustomizationDhcpIpGenerator: CustomizationDhcpIpGenerator;
  CustomizationDhcpIpV6Generator: CustomizationDhcpIpV6Generator;
  CustomizationFault: CustomizationFault;
  CustomizationFixedIp: CustomizationFixedIp;
  CustomizationFixedIpV6: CustomizationFixedIpV6;
  CustomizationFixedName: CustomizationFixedName;
  CustomizationGlobalIPSettings: CustomizationGlobalIPSettings;
  CustomizationGuiUnattended: CustomizationGuiUnattended;
  CustomizationIPSettings: CustomizationIPSettings;
  CustomizationIPSettingsIpV6AddressSpec: CustomizationIPSettingsIpV6AddressSpec;
  CustomizationIdentification: CustomizationIdentification;
  CustomizationIdentitySettings: CustomizationIdentitySettings;
  CustomizationIpGenerator: CustomizationIpGenerator;
  CustomizationIpV6Generator: CustomizationIpV6Generator;
  CustomizationLinuxOptions: CustomizationLinuxOptions;
  CustomizationLinuxPrep: CustomizationLinuxPrep;
  CustomizationName: CustomizationName;
  CustomizationOptions: CustomizationOptions;
  CustomizationPassword: CustomizationPassword;
  CustomizationSpec: CustomizationSpec;
  CustomizationSysprep: CustomizationSysprep;
  CustomizationUserData: CustomizationUserData;
  CustomizationVirtualMachineName: CustomizationVirtualMachineName;
  CustomizationWinOptions: CustomizationWinOptions;
  DVPortgroupConfigInfo: DVPortgroupConfigInfo;
  DatastoreCapability: DatastoreCapability;
  DatastoreHostMount: DatastoreHostMount;
  DatastoreInfo: DatastoreInfo;
  DatastoreSummary: DatastoreSummary;
  Description: Description;
  DiskChangeExtent: DiskChangeExtent;
  DiskChangeInfo: DiskChangeInfo;
  DistributedVirtualSwitchPortConnection: DistributedVirtualSwitchPortConnection;
  DuplicateName: DuplicateName;
  DynamicData: DynamicData;
  DynamicProperty: DynamicProperty;
  ElementDescription: ElementDescription;
  EntityEventArgument: EntityEventArgument;
  EntityPrivilege: EntityPrivilege;
  Event: Event;
  EventArgument: EventArgument;
  EventEx: EventEx;
  EventFilterSpec: EventFilterSpec;
  EventFilterSpecByEntity: EventFilterSpecByEntity;
  EventFilterSpecByTime: EventFilterSpecByTime;
  FileAlreadyExists: FileAlreadyExists;
  FileBackedVirtualDiskSpec: FileBackedVirtualDiskSpec;
  FileFault: FileFault;
  FileInfo: FileInfo;
  FileLocked: FileLocked;
  FileNotFound: FileNotFound;
  FileQueryFlags: FileQueryFlags;
  GenericVmConfigFault: GenericVmConfigFault;
  GuestInfo: GuestInfo;
  GuestNicInfo: GuestNicInfo;
  HostAutoStartManagerConfig: HostAutoStartManagerConfig;
  HostConfigFault: HostConfigFault;
  HostConfigManager: HostConfigManager;
  HostConfigSummary: HostConfigSummary;
  HostDatastoreBrowserSearchResults: HostDatastoreBrowserSearchResults;
  HostDatastoreBrowserSearchSpec: HostDatastoreBrowserSearchSpec;
  HostDatastoreConnectInfo: HostDatastoreConnectInfo;
  HostHardwareSummary: HostHardwareSummary;
  HostListSummary: HostListSummary;
  HostListSummaryQuickStats: HostListSummaryQuickStats;
  HostMountInfo: HostMountInfo;
  HostNasVolumeSpec: HostNasVolumeSpec;
  HostNetworkPolicy: HostNetworkPolicy;
  HostNetworkSecurityPolicy: HostNetworkSecurityPolicy;
  HostPortGroupSpec: HostPortGroupSpec;
  HostRuntimeInfo: HostRuntimeInfo;
  HostVirtualSwitchSpec: HostVirtualSwitchSpec;
  HttpNfcLeaseDatastoreLeaseInfo: HttpNfcLeaseDatastoreLeaseInfo;
  HttpNfcLeaseDeviceUrl: HttpNfcLeaseDeviceUrl;
  HttpNfcLeaseHostInfo: HttpNfcLeaseHostInfo;
  HttpNfcLeaseInfo: HttpNfcLeaseInfo;
  ImportSpec: ImportSpec;
  InsufficientMemoryResourcesFault: InsufficientMemoryResourcesFault;
  InsufficientResourcesFault: InsufficientResourcesFault;
  InvalidArgument: InvalidArgument;
  InvalidCollectorVersion: InvalidCollectorVersion;
  InvalidDatastore: InvalidDatastore;
  InvalidDatastorePath: InvalidDatastorePath;
  InvalidDeviceBacking: InvalidDeviceBacking;
  InvalidDeviceOperation: InvalidDeviceOperation;
  InvalidDeviceSpec: InvalidDeviceSpec;
  InvalidLogin: InvalidLogin;
  InvalidName: InvalidName;
  InvalidPowerState: InvalidPowerState;
  InvalidProperty: InvalidProperty;
  InvalidRequest: InvalidRequest;
  InvalidState: InvalidState;
  InvalidType: InvalidType;
  InvalidVmConfig: InvalidVmConfig;
  KeyAnyValue: KeyAnyValue;
  LocalizableMessage: LocalizableMessage;
  LocalizedMethodFault: LocalizedMethodFault;
  ManagedByInfo: ManagedByInfo;
  ManagedEntityEventArgument: ManagedEntityEventArgument;
  ManagedObjectNotFound: ManagedObjectNotFound;
  MethodFault: MethodFault;
  MethodNotFound: MethodNotFound;
  MissingObject: MissingObject;
  MissingProperty: MissingProperty;
  NetIpConfigInfo: NetIpConfigInfo;
  NetIpConfigInfoIpAddress: NetIpConfigInfoIpAddress;
  NetworkSummary: NetworkSummary;
  NoDiskSpace: NoDiskSpace;
  NoPermission: NoPermission;
  NotAuthenticated: NotAuthenticated;
  NotEnoughLicenses: NotEnoughLicenses;
  NotFound: NotFound;
  NotSupported: NotSupported;
  ObjectContent: ObjectContent;
  ObjectSpec: ObjectSpec;
  ObjectUpdate: ObjectUpdate;
  OpaqueNetworkSummary: OpaqueNetworkSummary;
  OptionValue: OptionValue;
  ParaVirtualSCSIController: ParaVirtualSCSIController;
  PrivilegeAvailability: PrivilegeAvailability;
  PropertyChange: PropertyChange;
  PropertyFilterSpec: PropertyFilterSpec;
  PropertyFilterUpdate: PropertyFilterUpdate;
  PropertySpec: PropertySpec;
  RequestCanceled: RequestCanceled;
  ResourceAllocationInfo: ResourceAllocationInfo;
  ResourceInUse: ResourceInUse;
  ResourceNotAvailable: ResourceNotAvailable;
  RetrieveOptions: RetrieveOptions;
  RetrieveResult: RetrieveResult;
  RuntimeFault: RuntimeFault;
  SecurityError: SecurityError;
  SelectionSpec: SelectionSpec;
  ServiceContent: ServiceContent;
  SharesInfo: SharesInfo;
  SnapshotFault: SnapshotFault;
  SystemError: SystemError;
  TaskInProgress: TaskInProgress;
  TaskInfo: TaskInfo;
  TaskReason: TaskReason;
  TaskReasonAlarm: TaskReasonAlarm;
  TaskReasonSchedule: TaskReasonSchedule;
  TaskReasonSystem: TaskReasonSystem;
  TaskReasonUser: TaskReasonUser;
  Timedout: Timedout;
  TooManySnapshotLevels: TooManySnapshotLevels;
  ToolsConfigInfo: ToolsConfigInfo;
  ToolsUnavailable: ToolsUnavailable;
  TraversalSpec: TraversalSpec;
  UncustomizableGuest: UncustomizableGuest;
  UpdateSet: UpdateSet;
  UserSession: UserSession;
  VimFault: VimFault;
  VirtualAHCIController: VirtualAHCIController;
  VirtualBusLogicController: VirtualBusLogicController;
  VirtualCdrom: VirtualCdrom;
  VirtualCdromAtapiBackingInfo: VirtualCdromAtapiBackingInfo;
  VirtualCdromIsoBackingInfo: VirtualCdromIsoBackingInfo;
  VirtualCdromRemotePassthroughBackingInfo: VirtualCdromRemotePassthroughBackingInfo;
  VirtualController: VirtualController;
  VirtualDevice: VirtualDevice;
  VirtualDeviceBackingInfo: VirtualDeviceBackingInfo;
  VirtualDeviceBusSlotInfo: VirtualDeviceBusSlotInfo;
  VirtualDeviceConfigSpec: VirtualDeviceConfigSpec;
  VirtualDeviceConnectInfo: VirtualDeviceConnectInfo;
  VirtualDeviceDeviceBackingInfo: VirtualDeviceDeviceBackingInfo;
  VirtualDeviceFileBackingInfo: VirtualDeviceFileBackingInfo;
  VirtualDevicePciBusSlotInfo: VirtualDevicePciBusSlotInfo;
  VirtualDeviceRemoteDeviceBackingInfo: VirtualDeviceRemoteDeviceBackingInfo;
  VirtualDisk: VirtualDisk;
  VirtualDiskFlatVer1BackingInfo: VirtualDiskFlatVer1BackingInfo;
  VirtualDiskFlatVer2BackingInfo: VirtualDiskFlatVer2BackingInfo;
  VirtualDiskLocalPMemBackingInfo: VirtualDiskLocalPMemBackingInfo;
  VirtualDiskRawDiskMappingVer1BackingInfo: VirtualDiskRawDiskMappingVer1BackingInfo;
  VirtualDiskRawDiskVer2BackingInfo: VirtualDiskRawDiskVer2BackingInfo;
  VirtualDiskSeSparseBackingInfo: VirtualDiskSeSparseBackingInfo;
  VirtualDiskSparseVer2BackingInfo: VirtualDiskSparseVer2BackingInfo;
  VirtualDiskSpec: VirtualDiskSpec;
  VirtualE1000: VirtualE1000;
  VirtualE1000e: VirtualE1000e;
  VirtualEthernetCard: VirtualEthernetCard;
  VirtualEthernetCardDistributedVirtualPortBackingInfo: VirtualEthernetCardDistributedVirtualPortBackingInfo;
  VirtualEthernetCardNetworkBackingInfo: VirtualEthernetCardNetworkBackingInfo;
  VirtualEthernetCardOpaqueNetworkBackingInfo: VirtualEthernetCardOpaqueNetworkBackingInfo;
  VirtualHardware: VirtualHardware;
  VirtualIDEController: VirtualIDEController;
  VirtualKeyboard: VirtualKeyboard;
  VirtualLsiLogicController: VirtualLsiLogicController;
  VirtualLsiLogicSASController: VirtualLsiLogicSASController;
  VirtualMachineBootOptions: VirtualMachineBootOptions;
  VirtualMachineBootOptionsBootableDevice: VirtualMachineBootOptionsBootableDevice;
  VirtualMachineBootOptionsBootableDiskDevice: VirtualMachineBootOptionsBootableDiskDevice;
  VirtualMachineCapability: VirtualMachineCapability;
  VirtualMachineCloneSpec: VirtualMachineCloneSpec;
  VirtualMachineConfigInfo: VirtualMachineConfigInfo;
  VirtualMachineConfigSpec: VirtualMachineConfigSpec;
  VirtualMachineConfigSummary: VirtualMachineConfigSummary;
  VirtualMachineDefaultPowerOpInfo: VirtualMachineDefaultPowerOpInfo;
  VirtualMachineFileInfo: VirtualMachineFileInfo;
  VirtualMachineFileLayoutEx: VirtualMachineFileLayoutEx;
  VirtualMachineFileLayoutExDiskLayout: VirtualMachineFileLayoutExDiskLayout;
  VirtualMachineFileLayoutExDiskUnit: VirtualMachineFileLayoutExDiskUnit;
  VirtualMachineFileLayoutExFileInfo: VirtualMachineFileLayoutExFileInfo;
  VirtualMachineFlagInfo: VirtualMachineFlagInfo;
  VirtualMachineGuestSummary: VirtualMachineGuestSummary;
  VirtualMachineImportSpec: VirtualMachineImportSpec;
  VirtualMachineProfileSpec: VirtualMachineProfileSpec;
  VirtualMachineQuickStats: VirtualMachineQuickStats;
  VirtualMachineRelocateSpec: VirtualMachineRelocateSpec;
  VirtualMachineRelocateSpecDiskLocator: VirtualMachineRelocateSpecDiskLocator;
  VirtualMachineRuntimeInfo: VirtualMachineRuntimeInfo;
  VirtualMachineSnapshotInfo: VirtualMachineSnapshotInfo;
  VirtualMachineSnapshotTree: VirtualMachineSnapshotTree;
  VirtualMachineSummary: VirtualMachineSummary;
  VirtualMachineVMCIDevice: VirtualMachineVMCIDevice;
  VirtualMachineVideoCard: VirtualMachineVideoCard;
  VirtualNVMEController: VirtualNVMEController;
  VirtualPCIController: VirtualPCIController;
  VirtualPCNet32: VirtualPCNet32;
  VirtualPS2Controller: VirtualPS2Controller;
  VirtualPointingDevice: VirtualPointingDevice;
  VirtualSATAController: VirtualSATAController;
  VirtualSCSIController: VirtualSCSIController;
  VirtualSIOController: VirtualSIOController;
  VirtualSriovEthernetCard: VirtualSriovEthernetCard;
  VirtualTPM: VirtualTPM;
  VirtualVmxnet: VirtualVmxnet;
  VirtualVmxnet2: VirtualVmxnet2;
  VirtualVmxnet3: VirtualVmxnet3;
  VmConfigFault: VmConfigFault;
  VmEvent: VmEvent;
  VmEventArgument: VmEventArgument;
  VmPoweredOffEvent: VmPoweredOffEvent;
  VmPoweredOnEvent: VmPoweredOnEvent;
  WaitOptions: WaitOptions;
}

/** Arguments and result of each method. */
export interface VimMethods {
  AddPortGroup: [{ readonly portgrp: HostPortGroupSpec }, undefined];
  AddVirtualSwitch: [{ readonly vswitchName: string; readonly spec?: HostVirtualSwitchSpec | undefined }, undefined];
  CancelRetrievePropertiesEx: [{ readonly token: string }, undefined];
  CancelTask: [object, undefined];
  CancelWaitForUpdates: [object, undefined];
  CheckCustomizationSpec: [{ readonly spec: CustomizationSpec }, undefined];
  CloneVM_Task: [{ readonly folder: MoRef; readonly name: string; readonly spec: VirtualMachineCloneSpec }, MoRef];
  ConsolidateVMDisks_Task: [object, MoRef];
  ContinueRetrievePropertiesEx: [{ readonly token: string }, RetrieveResult];
  CreateContainerView: [{ readonly container: MoRef; readonly type?: readonly string[] | undefined; readonly recursive: boolean }, MoRef];
  CreateFilter: [{ readonly spec: PropertyFilterSpec; readonly partialUpdates: boolean }, MoRef];
  CreateFolder: [{ readonly name: string }, MoRef];
  CreateNasDatastore: [{ readonly spec: HostNasVolumeSpec }, MoRef];
  CreatePropertyCollector: [object, MoRef];
  CreateSnapshot_Task: [{ readonly name: string; readonly description?: string | undefined; readonly memory: boolean; readonly quiesce: boolean }, MoRef];
  CreateVM_Task: [{ readonly config: VirtualMachineConfigSpec; readonly pool: MoRef; readonly host?: MoRef | undefined }, MoRef];
  CreateVirtualDisk_Task: [{ readonly name: string; readonly datacenter?: MoRef | undefined; readonly spec: VirtualDiskSpec }, MoRef];
  CurrentTime: [object, string];
  CustomizeVM_Task: [{ readonly spec: CustomizationSpec }, MoRef];
  DeleteDatastoreFile_Task: [{ readonly name: string; readonly datacenter?: MoRef | undefined }, MoRef];
  DeleteVirtualDisk_Task: [{ readonly name: string; readonly datacenter?: MoRef | undefined }, MoRef];
  DestroyPropertyCollector: [object, undefined];
  DestroyPropertyFilter: [object, undefined];
  DestroyView: [object, undefined];
  Destroy_Task: [object, MoRef];
  ExportSnapshot: [object, MoRef];
  ExportVm: [object, MoRef];
  ExtendVirtualDisk_Task: [{ readonly name: string; readonly datacenter?: MoRef | undefined; readonly newCapacityKb: number; readonly eagerZero?: boolean | undefined }, MoRef];
  FindAllByUuid: [{ readonly datacenter?: MoRef | undefined; readonly uuid: string; readonly vmSearch: boolean; readonly instanceUuid?: boolean | undefined }, readonly MoRef[]];
  FindByInventoryPath: [{ readonly inventoryPath: string }, MoRef];
  FindByUuid: [{ readonly datacenter?: MoRef | undefined; readonly uuid: string; readonly vmSearch: boolean; readonly instanceUuid?: boolean | undefined }, MoRef];
  HasPrivilegeOnEntities: [{ readonly entity: readonly MoRef[]; readonly sessionId: string; readonly privId?: readonly string[] | undefined }, readonly EntityPrivilege[]];
  HttpNfcLeaseAbort: [{ readonly fault?: LocalizedMethodFault | undefined }, undefined];
  HttpNfcLeaseComplete: [object, undefined];
  HttpNfcLeaseProgress: [{ readonly percent: number }, undefined];
  ImportVApp: [{ readonly spec: ImportSpec; readonly folder?: MoRef | undefined; readonly host?: MoRef | undefined }, MoRef];
  Login: [{ readonly userName: string; readonly password: string; readonly locale?: string | undefined }, UserSession];
  Logout: [object, undefined];
  MakeDirectory: [{ readonly name: string; readonly datacenter?: MoRef | undefined; readonly createParentDirectories?: boolean | undefined }, undefined];
  PowerOffVM_Task: [object, MoRef];
  PowerOnVM_Task: [{ readonly host?: MoRef | undefined }, MoRef];
  QueryChangedDiskAreas: [{ readonly snapshot?: MoRef | undefined; readonly deviceKey: number; readonly startOffset: number; readonly changeId: string }, DiskChangeInfo];
  QueryEvents: [{ readonly filter: EventFilterSpec; readonly eventViewSpec?: unknown | undefined }, readonly Event[]];
  ReconfigVM_Task: [{ readonly spec: VirtualMachineConfigSpec }, MoRef];
  ReconfigureAutostart: [{ readonly spec: HostAutoStartManagerConfig }, undefined];
  RegisterVM_Task: [{ readonly path: string; readonly name?: string | undefined; readonly asTemplate: boolean; readonly pool?: MoRef | undefined; readonly host?: MoRef | undefined }, MoRef];
  RelocateVM_Task: [{ readonly spec: VirtualMachineRelocateSpec; readonly priority?: VirtualMachineMovePriority | undefined }, MoRef];
  RemoveDatastore: [{ readonly datastore: MoRef }, undefined];
  RemovePortGroup: [{ readonly pgName: string }, undefined];
  RemoveSnapshot_Task: [{ readonly removeChildren: boolean; readonly consolidate?: boolean | undefined }, MoRef];
  RemoveVirtualSwitch: [{ readonly vswitchName: string }, undefined];
  Rename_Task: [{ readonly newName: string }, MoRef];
  RetrieveProperties: [{ readonly specSet: readonly PropertyFilterSpec[] }, readonly ObjectContent[]];
  RetrievePropertiesEx: [{ readonly specSet: readonly PropertyFilterSpec[]; readonly options: RetrieveOptions }, RetrieveResult];
  RetrieveServiceContent: [object, ServiceContent];
  RevertToSnapshot_Task: [{ readonly host?: MoRef | undefined; readonly suppressPowerOn?: boolean | undefined }, MoRef];
  SearchDatastore_Task: [{ readonly datastorePath: string; readonly searchSpec?: HostDatastoreBrowserSearchSpec | undefined }, MoRef];
  SessionIsActive: [{ readonly sessionID: string; readonly userName: string }, boolean];
  ShutdownGuest: [object, undefined];
  UnregisterVM: [object, undefined];
  WaitForUpdatesEx: [{ readonly version?: string | undefined; readonly options?: WaitOptions | undefined }, UpdateSet];
}
