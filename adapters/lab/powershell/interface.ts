// Cmdlets and classes as their vendor documents them: parameter sets, types, accepted values (interface.json), and the few that no table of ours has.
import type { Cmdlet } from '../../powershell/allowed.ts';
import table from './interface.json' with { type: 'json' };

export interface Parameter {
  readonly type: string;
  readonly values?: readonly string[];
  readonly aliases?: readonly string[];
  readonly position?: number | string;
  /** How it takes what comes down the pipeline: `ByValue`, `ByPropertyName`. */
  readonly pipeline?: string;
}

export interface ParameterSet {
  readonly name: string;
  readonly default?: boolean;
  readonly mandatory: readonly string[];
  readonly optional: readonly string[];
}

export interface CmdletRow {
  readonly module: string;
  readonly sets: readonly ParameterSet[];
  readonly parameters: Readonly<Record<string, Parameter>>;
}

export interface MethodRow {
  readonly in: readonly { readonly name: string; readonly type: string }[];
  readonly out: readonly { readonly name: string; readonly type: string }[];
}

interface ClassRow {
  readonly properties: Readonly<Record<string, string>>;
  readonly methods?: Readonly<Record<string, MethodRow>>;
}

const row = (module: string, parameters: Readonly<Record<string, string>>, mandatory: readonly string[] = []): CmdletRow => ({
  module,
  sets: [{ name: 'Default', default: true, mandatory, optional: Object.keys(parameters).filter((name) => !mandatory.includes(name)) }],
  parameters: Object.fromEntries(Object.entries(parameters).map(([name, type]) => [name, { type }])),
});

/** From the reference of Storage (Windows Server 2022), CimCmdlets and Microsoft.PowerShell.Management (5.1), as far as we call them. */
const OTHERS: Readonly<Record<string, CmdletRow>> = {
  'Get-Volume': row('Storage', {}),
  'Set-Disk': row('Storage', { Number: 'UInt32', IsOffline: 'Boolean', IsReadOnly: 'Boolean' }, ['Number']),
  'Remove-Item': row('Microsoft.PowerShell.Management', { LiteralPath: 'String[]' }, ['LiteralPath']),
  'Get-CimInstance': row('CimCmdlets', { Namespace: 'String', ClassName: 'String', Filter: 'String' }, ['ClassName']),
  'Get-CimAssociatedInstance': row('CimCmdlets', { InputObject: 'CimInstance', Association: 'String', ResultClassName: 'String' }, [
    'InputObject',
  ]),
  'Invoke-CimMethod': row('CimCmdlets', { InputObject: 'CimInstance', MethodName: 'String', Arguments: 'IDictionary' }, [
    'InputObject',
    'MethodName',
  ]),
};

const ROWS = { ...(table.cmdlets as unknown as Readonly<Record<string, CmdletRow>>), ...OTHERS };
const CLASSES = table.classes as unknown as Readonly<Record<string, ClassRow>>;

export const cmdletRow = (cmdlet: Cmdlet): CmdletRow => ROWS[cmdlet]!;
export const classRow = (name: string): ClassRow | undefined => (Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined);

const NAMESPACES: Readonly<Record<string, (cmdlet: string) => string>> = {
  'Hyper-V': (cmdlet) => (/-VHD$/.test(cmdlet) ? 'Microsoft.Vhd.PowerShell.Cmdlets.' : 'Microsoft.HyperV.PowerShell.Commands.'),
  FailoverClusters: () => 'Microsoft.FailoverClusters.PowerShell.',
  virtualmachinemanager: () => 'Microsoft.SystemCenter.VirtualMachineManager.Cmdlets.',
  CimCmdlets: () => 'Microsoft.Management.Infrastructure.CimCmdlets.',
  'Microsoft.PowerShell.Management': () => 'Microsoft.PowerShell.Commands.',
};

/** How a FullyQualifiedErrorId ends: the class of a compiled cmdlet, or the name of one that is a function. */
export const sourceOf = (cmdlet: string): string => {
  const module = (ROWS as Readonly<Record<string, CmdletRow | undefined>>)[cmdlet]?.module;
  const namespace = module === undefined ? undefined : NAMESPACES[module];
  if (!namespace) return cmdlet;
  const name = cmdlet.replace('-', '');
  return `${namespace(cmdlet)}${name}${module === 'Hyper-V' ? '' : 'Command'}`;
};
