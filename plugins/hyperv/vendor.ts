// What a machine of Hyper-V has beyond the neutral description, and gets again when its copy is one of Hyper-V too. It comes from another endpoint, perhaps of another release: nothing in it is trusted.
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import type { MachineSpec, NicId } from '../../core/contract/index.ts';
import { flag, member, number, text } from './rows.ts';

export interface Vendor {
  readonly generation?: number;
  /** Of the configuration. */
  readonly version?: string;
  /** Dynamic memory. */
  readonly memory?: { readonly minimum: number; readonly maximum: number };
  readonly secureBootTemplate?: string;
  /** Cards that are in a VLAN. */
  readonly vlans?: Readonly<Record<string, number>>;
}

/** As in the definition of a machine. */
export const vendorFrom = (rows: {
  readonly vm: PsRow;
  readonly firmware: PsRow | undefined;
  /** Of cards, by what they are called here. */
  readonly vlans: ReadonlyMap<NicId, PsRow>;
}): Vendor => {
  const { vm, firmware } = rows;
  const vlans = [...rows.vlans].flatMap(([nic, row]): [string, number][] =>
    member(row, 'OperationMode') === 'Access' ? [[nic, number(row, 'AccessVlanId')]] : [],
  );
  const template = firmware && flag(firmware, 'SecureBoot') ? text(firmware, 'SecureBootTemplate') : '';
  return {
    generation: number(vm, 'Generation'),
    version: text(vm, 'Version'),
    ...(flag(vm, 'DynamicMemoryEnabled') ? { memory: { minimum: number(vm, 'MemoryMinimum'), maximum: number(vm, 'MemoryMaximum') } } : {}),
    ...(template === '' ? {} : { secureBootTemplate: template }),
    ...(vlans.length === 0 ? {} : { vlans: Object.fromEntries(vlans) }),
  };
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0;

/** Of a machine of another hypervisor: nothing. */
export const vendorOf = ({ vendor }: MachineSpec): Vendor => {
  const given = vendor?.['hyperv'];
  if (!isObject(given)) return {};
  const { version, memory, secureBootTemplate, vlans } = given;
  return {
    ...(typeof version === 'string' && /^\d+\.\d+$/.test(version) ? { version } : {}),
    ...(isObject(memory) && isCount(memory['minimum']) && isCount(memory['maximum'])
      ? { memory: { minimum: memory['minimum'], maximum: memory['maximum'] } }
      : {}),
    ...(typeof secureBootTemplate === 'string' && TEMPLATES.includes(secureBootTemplate) ? { secureBootTemplate } : {}),
    ...(isObject(vlans) ? { vlans: Object.fromEntries(Object.entries(vlans).filter(isVlan)) } : {}),
  };
};

/** Those that every host has; a name that a host does not know would keep the machine from being made. */
const TEMPLATES = ['MicrosoftWindows', 'MicrosoftUEFICertificateAuthority', 'OpenSourceShieldedVM'];

const isVlan = (entry: [string, unknown]): entry is [string, number] => isCount(entry[1]) && entry[1] <= 4094;

const MIB = 2 ** 20;
/** New-VM takes no less. */
const LEAST_MEMORY_BYTES = 32 * MIB;
const whole = (bytes: number): number => Math.max(LEAST_MEMORY_BYTES, Math.ceil(bytes / (2 * MIB)) * 2 * MIB);

export const memoryOf = (spec: MachineSpec): number => whole(spec.memoryBytes);

/** Of the machine that step 0 finds. */
export const memoryStep = (spec: MachineSpec): Step => {
  const { memory } = vendorOf(spec);
  const bytes = (value: number) => ({ $type: 'int64', value }) as const;
  const startup = memoryOf(spec);
  const isDynamic = memory !== undefined && whole(memory.minimum) <= startup && startup <= whole(memory.maximum);
  const dynamic = isDynamic ? { MinimumBytes: bytes(whole(memory.minimum)), MaximumBytes: bytes(whole(memory.maximum)) } : {};
  return {
    cmdlet: 'Set-VMMemory',
    params: { VM: { $step: 0 }, DynamicMemoryEnabled: isDynamic, StartupBytes: bytes(startup), ...dynamic },
  };
};

/** A Linux of another hypervisor starts with Microsoft's authority for UEFI only. */
export const templateOf = (spec: MachineSpec): string | undefined => {
  if (!spec.secureBoot) return undefined;
  return vendorOf(spec).secureBootTemplate ?? (spec.guest.family === 'linux' ? 'MicrosoftUEFICertificateAuthority' : undefined);
};
