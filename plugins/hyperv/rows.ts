// Values of a row as what they must be. A host that gives something else is no host that this plugin knows.
import type { PsEnum, PsRow, PsValue } from '../../adapters/powershell/port.ts';
import { DrError } from '../../core/contract/index.ts';

const wrong = (name: string, value: PsValue | undefined): DrError =>
  new DrError('PROTOCOL_ERROR', `the host gives ${JSON.stringify(String(value))} as ${name}`, { context: { key: name } });

export const text = (row: PsRow, name: string): string => {
  const value = row[name];
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  throw wrong(name, value);
};

export const number = (row: PsRow, name: string): number => {
  const value = row[name];
  if (typeof value === 'number') return value;
  throw wrong(name, value);
};

/** Undefined where the host has no value. */
export const maybeNumber = (row: PsRow, name: string): number | undefined =>
  row[name] === null || row[name] === undefined ? undefined : number(row, name);

export const flag = (row: PsRow, name: string): boolean => {
  const value = row[name];
  if (typeof value === 'boolean') return value;
  // OnOffState, as the Hyper-V module has it in places.
  if (isEnum(value)) return value.name === 'On';
  throw wrong(name, value);
};

export const member = (row: PsRow, name: string): string => {
  const value = row[name];
  if (isEnum(value)) return value.name;
  throw wrong(name, value);
};

/** Names of the members; one alone counts as a list. */
export const members = (row: PsRow, name: string): string[] => list(row, name).flatMap((value) => (isEnum(value) ? [value.name] : []));

/** One value alone counts as a list, none as an empty one. */
export const list = (row: PsRow, name: string): readonly PsValue[] => {
  const value = row[name];
  if (value === null || value === undefined) return [];
  return Array.isArray(value) ? value : [value];
};

export const texts = (row: PsRow, name: string): string[] => list(row, name).flatMap((value) => (typeof value === 'string' ? [value] : []));

const isEnum = (value: PsValue | undefined): value is PsEnum =>
  typeof value === 'object' && value !== null && 'name' in value && 'value' in value && typeof value.name === 'string';
