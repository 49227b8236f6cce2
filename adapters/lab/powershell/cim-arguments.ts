// Arguments of CIM methods: what their class declares, and what embedded instances say.
import { type Hashtable, TypedValue, type Value } from './arguments.ts';
import { PsObject } from './cells.ts';
import { again } from './cim.ts';
import { PsFailure } from './failures.ts';
import { classRow } from './interface.ts';
import type { PsContext } from './model.ts';

/** Values must have the declared type: nothing is converted on the way to WMI. */
export const assertArguments = (type: string, name: string, given: Hashtable): void => {
  const declared = classRow(type)?.methods?.[name]?.in ?? [];
  for (const [key, value] of given) {
    const parameter = declared.find((one) => one.name === key);
    if (!parameter) throw mismatch(`The method ${name} has no parameter ${key}.`);
    if (value !== null && !fits(parameter.type, value)) throw mismatch(`Type mismatch for parameter "${key}".`);
  }
};

const mismatch = (message: string): PsFailure =>
  new PsFailure({
    category: 'InvalidType',
    id: 'HRESULT 0x80041005',
    message,
    type: 'Microsoft.Management.Infrastructure.CimException',
    hresult: 0x80041005,
  });

const fits = (type: string, value: Value): boolean => {
  if (type.endsWith('[]')) return Array.isArray(value) && value.every((one: Value) => fits(type.slice(0, -2), one));
  if (type === 'string') return typeof value === 'string';
  if (type === 'boolean') return typeof value === 'boolean';
  if (type.endsWith(' REF')) return value instanceof PsObject && isA(value.type, type.slice(0, -4));
  return value instanceof TypedValue && value.type === type;
};

const BASES: Readonly<Record<string, string>> = {
  CIM_ComputerSystem: 'Msvm_ComputerSystem',
  CIM_VirtualSystemSettingData: 'Msvm_VirtualSystemSettingData',
};

const isA = (type: string, declared: string): boolean => type === declared || type === BASES[declared];

export const objectIn = (context: PsContext, given: Hashtable, name: string): PsObject | undefined => {
  const value = given.get(name);
  return value instanceof PsObject ? again(context, value) : undefined;
};

export const textIn = (given: Hashtable, name: string): string => {
  const value = given.get(name);
  return typeof value === 'string' ? value : '';
};

export const numberIn = (given: Hashtable, name: string): number => {
  const value = given.get(name);
  return value instanceof TypedValue ? Number(value.value) : Number.NaN;
};

/** One property of an embedded instance, in either of the forms that a client may write: CIM-XML or MOF. */
export const embedded = (text: string, name: string): string[] | undefined => {
  const xml = new RegExp(`NAME="${name}"[^>]*>(.*?)</PROPERTY`, 's').exec(text)?.[1];
  if (xml !== undefined) return [...xml.matchAll(/<VALUE>(.*?)<\/VALUE>/gs)].map(([, value]) => plain(value!));
  const mof = new RegExp(`\\b${name}\\s*=\\s*([^;]*);`).exec(text)?.[1];
  return mof?.split(/[{},]/).flatMap((one) => (one.trim() === '' ? [] : [one.trim().replace(/^"(.*)"$/, '$1')]));
};

const plain = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
