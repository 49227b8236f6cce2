// Binding of parameters as PowerShell does it, by the vendors' declarations. A little stricter than the engine, which turns text into numbers and
// numbers into text on the way: a request that needs that is a mistake of ours.
import type { Cmdlet } from '../../powershell/allowed.ts';
import { Bound, TypedValue, type Value } from './arguments.ts';
import { PsObject } from './cells.ts';
import { HRESULT, PsFailure } from './failures.ts';
import { type CmdletRow, cmdletRow, type Parameter, type ParameterSet } from './interface.ts';

const AUTOMATION = 'System.Management.Automation.';

const refused = (id: string, message: string, category: 'InvalidArgument' | 'InvalidData' = 'InvalidArgument'): PsFailure =>
  new PsFailure({
    category,
    id,
    message,
    type: `${AUTOMATION}ParameterBinding${category === 'InvalidData' ? 'Validation' : ''}Exception`,
    hresult: HRESULT.systemException,
  });

export const bind = (cmdlet: Cmdlet, given: ReadonlyMap<string, Value>): Bound => {
  const row = cmdletRow(cmdlet);
  const values = new Map<string, Value>();
  for (const [name, value] of given) {
    const parameter = row.parameters[name];
    if (!parameter) throw refused('NamedParameterNotFound', `A parameter cannot be found that matches parameter name '${name}'.`);
    values.set(name, converted(name, parameter, value));
  }
  return new Bound(setOf(cmdlet, row, new Set(given.keys())).name, values);
};

/** The documentation writes a type behind a name in places. */
const mandatoryOf = ({ mandatory }: ParameterSet): readonly string[] => mandatory.filter((name) => !name.includes(' '));

const setOf = (cmdlet: Cmdlet, { sets }: CmdletRow, given: ReadonlySet<string>): ParameterSet => {
  const fitting = sets.filter((set) => [...given].every((name) => set.mandatory.includes(name) || set.optional.includes(name)));
  if (fitting.length === 0)
    throw refused('AmbiguousParameterSet', `Parameter set cannot be resolved using the specified named parameters: ${cmdlet}.`);
  const complete = fitting.filter((set) => mandatoryOf(set).every((name) => given.has(name)));
  const chosen = complete.find((set) => set.default) ?? complete.toSorted((a, b) => b.mandatory.length - a.mandatory.length)[0];
  if (chosen) return chosen;
  const missing = mandatoryOf(fitting.find((set) => set.default) ?? fitting[0]!).filter((name) => !given.has(name));
  throw refused(
    'MissingMandatoryParameter',
    `Cannot process command because of one or more missing mandatory parameters: ${missing.join(' ')}.`,
  );
};

const converted = (name: string, parameter: Parameter, value: Value): Value => {
  if (value === null)
    throw refused(
      'ParameterArgumentValidationErrorNullNotAllowed',
      `Cannot bind argument to parameter '${name}' because it is null.`,
      'InvalidData',
    );
  const list = parameter.type.endsWith('[]') || parameter.type === 'StringCollection';
  const type = parameter.type.replace('[]', '');
  const one = (item: Value) => {
    const plain = convert(type, item, parameter.values);
    if (plain === undefined)
      throw refused('CannotConvertArgumentNoMessage', `Cannot bind parameter '${name}'. Cannot convert ${nameOf(item)} to type "${type}".`);
    if (parameter.values && !isAccepted(plain, parameter.values))
      throw refused(
        'ParameterArgumentValidationError',
        `Cannot validate argument on parameter '${name}': ${nameOf(item)} does not belong to the set.`,
        'InvalidData',
      );
    return plain;
  };
  if (!Array.isArray(value)) return one(value);
  if (!list && type !== 'PSObject')
    throw refused('CannotConvertArgumentNoMessage', `Cannot bind parameter '${name}': it takes one ${type}, not a list.`);
  return value.map(one);
};

const nameOf = (value: Value): string => {
  if (value instanceof PsObject) return `a value of type "${value.type}"`;
  return typeof value === 'string' ? `value "${value.slice(0, 100)}" of type "System.String"` : `a ${typeof value}`;
};

const isAccepted = (value: Value, accepted: readonly string[]): boolean =>
  accepted.some((one) => one.toLowerCase() === String(value).toLowerCase());

const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  Byte: [0n, 255n],
  Int16: [-32_768n, 32_767n],
  UInt16: [0n, 65_535n],
  Int32: [-(2n ** 31n), 2n ** 31n - 1n],
  UInt32: [0n, 2n ** 32n - 1n],
  Int64: [-(2n ** 63n), 2n ** 63n - 1n],
  UInt64: [0n, 2n ** 64n - 1n],
};

const HYPERV = 'Microsoft.HyperV.PowerShell.';

/** Types of objects that a parameter takes, where it is declared by a base of them. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  VirtualMachine: [`${HYPERV}VirtualMachine`],
  VirtualMachineBase: [`${HYPERV}VirtualMachine`, `${HYPERV}VMSnapshot`],
  VMSnapshot: [`${HYPERV}VMSnapshot`],
  VMNetworkAdapter: [`${HYPERV}VMNetworkAdapter`],
  VMNetworkAdapterBase: [`${HYPERV}VMNetworkAdapter`],
  VMComponentObject: [`${HYPERV}HardDiskDrive`, `${HYPERV}DvdDrive`, `${HYPERV}VMNetworkAdapter`],
  HardDiskDrive: [`${HYPERV}HardDiskDrive`],
  DvdDrive: [`${HYPERV}DvdDrive`],
  VMSwitch: [`${HYPERV}VMSwitch`],
  VM: ['Microsoft.SystemCenter.VirtualMachineManager.VM'],
};

const GUID = /^\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$/i;

/** Undefined: it cannot be had. */
const convert = (type: string, value: Value, accepted: readonly string[] | undefined): Value | undefined => {
  if (type in RANGES) return wholeNumber(type, value);
  if (type in CLASSES) return value instanceof PsObject && CLASSES[type]!.includes(value.type) ? value : undefined;
  if (type === 'PSObject') return value;
  if (type === 'CimInstance') return value instanceof PsObject && value.type.startsWith('Msvm_') ? value : undefined;
  if (type === 'IDictionary') return value instanceof Map ? value : undefined;
  if (type === 'Boolean' || type === 'SwitchParameter') return typeof value === 'boolean' ? value : undefined;
  if (type === 'DateTime') return value instanceof TypedValue && value.type === 'date' ? String(value.value) : undefined;
  if (type === 'TimeSpan') return value instanceof TypedValue && value.type === 'milliseconds' ? Number(value.value) : undefined;
  if (type === 'Guid') return guidIn(value);
  if (typeof value !== 'string') return undefined;
  if (type === 'Version') return /^\d+\.\d+$/.test(value) ? value : undefined;
  if (type === 'String' || type === 'StringCollection') return value;
  // An enumeration's member: its name has no case.
  return accepted?.find((one) => one.toLowerCase() === value.toLowerCase());
};

const guidIn = (value: Value): string | undefined => {
  const text = value instanceof TypedValue && value.type === 'guid' ? String(value.value) : value;
  return typeof text === 'string' && GUID.test(text) ? text.replaceAll(/[{}]/g, '').toLowerCase() : undefined;
};

/** Larger numbers of ours are whole in JSON up to 2^53; beyond that they come as text with their type. */
const wholeNumber = (type: string, value: Value): number | string | undefined => {
  const digits = value instanceof TypedValue && /int/.test(value.type) ? String(value.value) : value;
  const isWhole =
    typeof digits === 'number'
      ? Number.isSafeInteger(digits)
      : typeof digits === 'string' && value instanceof TypedValue && /^-?\d+$/.test(digits);
  if (!isWhole) return undefined;
  const number = BigInt(digits as string | number);
  const [least, most] = RANGES[type]!;
  if (number < least || number > most) return undefined;
  return Number.isSafeInteger(Number(number)) ? Number(number) : String(digits);
};
