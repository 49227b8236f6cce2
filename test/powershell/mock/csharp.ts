// Cmdlets with the vendors' declarations, in C#: compiled ones bind parameters and name errors as the vendors' compiled ones do.

import { ENUMS } from '../../../adapters/lab/powershell/enums.ts';
import { type CmdletRow, cmdletRow, type Parameter, sourceOf } from '../../../adapters/lab/powershell/interface.ts';
import { CMDLETS, type Cmdlet } from '../../../adapters/powershell/allowed.ts';

const HYPERV = 'Microsoft.HyperV.PowerShell';
const VHD = 'Microsoft.Vhd.PowerShell';
const CLUSTERS = 'Microsoft.FailoverClusters.PowerShell';
const VMM = 'Microsoft.SystemCenter.VirtualMachineManager';
const CIM = 'Microsoft.Management.Infrastructure';
const TWIN = 'Warmsite.Mock.TwinObject';

/** Where a type is that a table names without its namespace. */
const NAMESPACES: Readonly<Record<string, string>> = {
  'Hyper-V': HYPERV,
  FailoverClusters: CLUSTERS,
  virtualmachinemanager: VMM,
  CimCmdlets: CIM,
};

const NAMED: Readonly<Record<string, string>> = {
  StringCollection: 'System.Collections.Specialized.StringCollection',
  SwitchParameter: 'System.Management.Automation.SwitchParameter',
  PSObject: 'System.Management.Automation.PSObject',
  PSCredential: 'System.Management.Automation.PSCredential',
  IDictionary: 'System.Collections.IDictionary',
  CimSession: `${CIM}.CimSession`,
  CimInstance: `${CIM}.CimInstance`,
  ServerConnection: `${VMM}.Remoting.ServerConnection`,
  VhdType: `${VHD}.VhdType`,
};

const SYSTEM = ['String', 'Guid', 'Boolean', 'Int16', 'Int32', 'Int64', 'UInt32', 'UInt64', 'DateTime', 'TimeSpan', 'Version'];

const nameOf = (type: string, module: string): string => {
  if (SYSTEM.includes(type)) return `System.${type}`;
  return NAMED[type] ?? `${NAMESPACES[module]}.${type}`;
};

/** Types that objects have without any parameter that takes them, and what stands above others. */
const CLASSES: Readonly<Record<string, string>> = {
  [`${HYPERV}.VirtualMachineBase`]: TWIN,
  [`${HYPERV}.VirtualMachine`]: `${HYPERV}.VirtualMachineBase`,
  [`${HYPERV}.VMSnapshot`]: `${HYPERV}.VirtualMachineBase`,
  [`${HYPERV}.VMComponentObject`]: TWIN,
  [`${HYPERV}.VMDriveController`]: `${HYPERV}.VMComponentObject`,
  [`${HYPERV}.VMScsiController`]: `${HYPERV}.VMDriveController`,
  [`${HYPERV}.HardDiskDrive`]: `${HYPERV}.VMComponentObject`,
  [`${HYPERV}.DvdDrive`]: `${HYPERV}.VMComponentObject`,
  [`${HYPERV}.VMNetworkAdapterBase`]: `${HYPERV}.VMComponentObject`,
  [`${HYPERV}.VMNetworkAdapter`]: `${HYPERV}.VMNetworkAdapterBase`,
  [`${VHD}.VirtualHardDisk`]: TWIN,
};

const EXCEPTIONS = [
  `${HYPERV}.VirtualizationException`,
  `${CLUSTERS}.ClusterCmdletException`,
  `${VMM}.CarmineException`,
  `${CIM}.CimException`,
];

/** Of the enumerations that objects bring; others are made from what parameters take. */
export const enumType = (name: string): string => {
  if (name.startsWith('Vhd')) return `${VHD}.${name}`;
  if (name.startsWith('Cluster') || name === 'GroupType') return `${CLUSTERS}.${name}`;
  return `${/^(SC|VirtualizationPlatform|HostOverallState)/.test(name) ? VMM : HYPERV}.${name}`;
};

const text = (value: string): string => JSON.stringify(value);

const inNamespace = (fullName: string, declare: (name: string) => string): string => {
  const at = fullName.lastIndexOf('.');
  return `namespace ${fullName.slice(0, at)} { ${declare(fullName.slice(at + 1))} }`;
};

/** Everything but functions: how a FullyQualifiedErrorId ends tells them apart. */
export const COMPILED = (Object.keys(CMDLETS) as Cmdlet[]).filter((name) => sourceOf(name) !== name);

export const csharpOf = (): string => {
  const enums = new Map<string, readonly (readonly [string, number])[]>(
    Object.entries(ENUMS).map(([name, members]) => [enumType(name), Object.entries(members)]),
  );
  const classes = new Map(Object.entries(CLASSES));
  const cmdlets = COMPILED.map((name) => {
    const row = cmdletRow(name);
    for (const { type, values } of Object.values(row.parameters)) {
      const plain = type.replace('[]', '');
      const fullName = nameOf(plain, row.module);
      if (fullName.startsWith('System.') || plain in NAMED) {
        if (plain !== 'VhdType' && plain !== 'ServerConnection') continue;
      }
      if (enums.has(fullName)) continue;
      if (values)
        enums.set(
          fullName,
          values.map((one, index) => [one, index] as const),
        );
      else if (!classes.has(fullName)) classes.set(fullName, TWIN);
    }
    return cmdletOf(name, row);
  });
  return [
    ...[...enums].map(([name, members]) =>
      inNamespace(name, (short) => `public enum ${short} { ${members.map(([one, value]) => `${one} = ${value}`).join(', ')} }`),
    ),
    ...[...classes].map(([name, base]) => inNamespace(name, (short) => `public class ${short} : global::${base} { }`)),
    ...EXCEPTIONS.map((name) =>
      inNamespace(
        name,
        (short) =>
          `public class ${short} : System.Exception { public ${short}(string message, System.Exception inner) : base(message, inner) { } }`,
      ),
    ),
    ...cmdlets,
  ].join('\n');
};

const cmdletOf = (name: Cmdlet, row: CmdletRow): string => {
  const [verb = '', noun = ''] = name.split('-');
  // Every one that can ask does ask: a request that does not say otherwise fails.
  const asks =
    'Confirm' in row.parameters ? ', SupportsShouldProcess = true, ConfirmImpact = System.Management.Automation.ConfirmImpact.High' : '';
  const chosen = row.sets.find((set) => set.default) ?? row.sets[0];
  const set = row.sets.length > 1 && chosen ? `, DefaultParameterSetName = ${text(chosen.name)}` : '';
  const properties = Object.entries(row.parameters)
    .filter(([parameter]) => !['Confirm', 'WhatIf', 'Debug', 'Verbose'].includes(parameter))
    .map(([parameter, declared]) => propertyOf(parameter, declared, row));
  return inNamespace(
    sourceOf(name),
    (short) =>
      `[System.Management.Automation.Cmdlet(${text(verb)}, ${text(noun)}${set}${asks})] public class ${short} : Warmsite.Mock.TwinCmdlet {\n${properties.join('\n')}\n}`,
  );
};

const propertyOf = (name: string, { type, values, aliases, position, pipeline = '' }: Parameter, { module, sets }: CmdletRow): string => {
  const inSets = sets.filter(({ mandatory, optional }) => mandatory.includes(name) || optional.includes(name));
  const common = [
    ...(/^\d+$/.test(String(position)) ? [`Position = ${position}`] : []),
    ...(pipeline.includes('ByValue') ? ['ValueFromPipeline = true'] : []),
    ...(pipeline.includes('ByPropertyName') ? ['ValueFromPipelineByPropertyName = true'] : []),
  ];
  const attributes = inSets.map((set) => {
    const own = [
      ...(sets.length > 1 ? [`ParameterSetName = ${text(set.name)}`] : []),
      ...(set.mandatory.includes(name) ? ['Mandatory = true'] : []),
    ];
    return `[System.Management.Automation.Parameter(${[...own, ...common].join(', ')})]`;
  });
  if (aliases) attributes.push(`[System.Management.Automation.Alias(${aliases.map(text).join(', ')})]`);
  if (values) attributes.push(`[System.Management.Automation.ValidateSet(${values.map(text).join(', ')})]`);
  const plain = type.replace('[]', '');
  return `  ${attributes.join(' ')} public global::${nameOf(plain, module)}${type.endsWith('[]') ? '[]' : ''} ${name} { get; set; }`;
};
