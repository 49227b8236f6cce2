// Cmdlets about the host itself.
import { int, object, type Shape } from './cells.ts';
import { type Handlers, placeOf } from './handlers.ts';
import type { At, HostRecord } from './model.ts';
import { volumesOf } from './paths.ts';
import { VOLUME } from './vhd-object.ts';

interface OfHost {
  readonly at: At;
  readonly host: HostRecord;
}

const PROCESSORS = 16;
const MEMORY_BYTES = 256 * 2 ** 30;

const rootOf = ({ at }: OfHost): string => `${volumesOf(at)[0]?.root}\\Hyper-V`;

const HOST: Shape<OfHost> = {
  type: 'Microsoft.HyperV.PowerShell.VMHost',
  text: ({ host }) => `VMHost (Name = '${host.name}')`,
  properties: {
    Name: ({ host }) => host.name.toUpperCase(),
    ComputerName: ({ host }) => host.name.toUpperCase(),
    FullyQualifiedDomainName: () => 'lab.invalid',
    LogicalProcessorCount: () => PROCESSORS,
    MemoryCapacity: () => int(MEMORY_BYTES),
    VirtualHardDiskPath: (of) => `${rootOf(of)}\\Virtual Hard Disks`,
    VirtualMachinePath: (of) => rootOf(of),
    VirtualMachineMigrationEnabled: ({ at }) => at.hyperv.hosts.length > 1,
    NumaSpanningEnabled: () => true,
    EnableEnhancedSessionMode: () => false,
  },
};

const VERSION: Shape<string> = {
  type: 'Microsoft.HyperV.PowerShell.VMCompatibilityVersion',
  text: (version) => version,
  properties: {
    Version: (version) => version,
    Name: (version) => `Microsoft Windows Server (${version})`,
    IsDefault: (version) => version === '10.0',
  },
};

export const hosts: Handlers = {
  'Get-VMHost': (context) => [object(HOST, { at: placeOf(context), host: context.host })],
  'Get-VMHostSupportedVersion': () => ['8.0', '9.0', '10.0'].map((version) => object(VERSION, version)),
  'Get-Volume': (context) => {
    const at = placeOf(context);
    // What all nodes share is no volume of one.
    return volumesOf(at).flatMap((volume) => (volume.letter === undefined ? [] : [object(VOLUME, { at, volume })]));
  },
};
