// Property paths into managed objects, and their values as the wire has them: each with the type that the schema declares for it.
import type { MoRef } from '../../vsphere/port.ts';
import { encodeElement } from '../../vsphere/vim25/encode.ts';
import { type Declared, enumValues, isType, objectProperties, typeFields } from '../../vsphere/vim25/schema.ts';
import { vimFault } from './fault-answers.ts';

/** Value of a top-level property; undefined where it has none. */
export type ReadProperty = (on: MoRef, property: string) => unknown;

interface Step {
  readonly name: string;
  /** Picks one element of a list. */
  readonly key?: string;
}

const parsePath = (path: string): Step[] =>
  path.split(/\.(?![^[]*\])/).map((part) => {
    const [, name = part, key] = /^([^[]+)\["?([^"\]]*)"?\]$/.exec(part) ?? [];
    return key === undefined ? { name } : { name, key };
  });

const known = new Map<string, Declared>();

/** The type that a path leads to. Throws InvalidProperty where there is no such path on objects of the type. */
export const declaredAt = (type: string, path: string): Declared => {
  const key = `${type} ${path}`;
  const found = known.get(key) ?? follow(type, path);
  // Paths with a key in them are without number.
  if (!path.includes('[')) known.set(key, found);
  return found;
};

const follow = (type: string, path: string): Declared => {
  const invalid = () => vimFault('InvalidProperty', { name: path });
  let fields = objectProperties(type);
  let declared: Declared | undefined;
  for (const { name, key } of parsePath(path)) {
    if (declared?.list) throw invalid();
    declared = fields?.get(name);
    if (!declared) throw invalid();
    if (key !== undefined) declared = { ...declared, list: false };
    fields = isType(declared.type) ? typeFields(declared.type) : undefined;
  }
  return declared ?? { type: 'string', list: false, optional: true };
};

export const valueAt = (read: ReadProperty, on: MoRef, path: string): unknown => {
  const [first, ...rest] = parsePath(path);
  let value = pick(read(on, first!.name), first!);
  for (const step of rest) {
    if (value === undefined || value === null) return undefined;
    value = pick((value as Readonly<Record<string, unknown>>)[step.name], step);
  }
  return value;
};

const pick = (value: unknown, { key }: Step): unknown => {
  if (key === undefined || !Array.isArray(value)) return value;
  return value.find((item: { readonly key?: unknown }) => String(item?.key) === key);
};

const SIMPLE = new Set(['string', 'anyURI', 'dateTime', 'base64Binary', 'int', 'short', 'byte', 'long', 'float', 'double', 'boolean']);

/** The `val` of a property. */
export const encodeValue = (declared: Declared, value: unknown): string => {
  if (declared.list) return encodeList(declared.type, value as readonly unknown[]);
  if (SIMPLE.has(declared.type)) return retyped(encodeElement('val', declared.type, value), `xsd:${declared.type}`);
  if (declared.type === 'ManagedObjectReference' || declared.type === 'anyType') return encodeElement('val', 'anyType', value);
  // A word of an enumeration, whether the subset has that or not.
  if (typeof value !== 'object') return retyped(encodeElement('val', 'string', value), declared.type);
  return encodeElement('val', 'anyType', { $type: declared.type, ...(value as object) });
};

const retyped = (element: string, type: string): string => element.replace('<val', `<val xsi:type="${type}"`);

const encodeList = (type: string, values: readonly unknown[]): string => {
  const items = values.map((value) => encodeElement(type, type, value));
  return `<val xsi:type="ArrayOf${type.charAt(0).toUpperCase()}${type.slice(1)}">${items.join('')}</val>`;
};

/** A property with its value; undefined where it has none. */
export interface Property {
  readonly name: string;
  readonly val: string;
}

export const readProperty = (read: ReadProperty, on: MoRef, path: string): Property | undefined => {
  const value = valueAt(read, on, path);
  return value === undefined || value === null ? undefined : { name: path, val: encodeValue(declaredAt(on.type, path), value) };
};

/** Those whose types the schema has: what an object of this kind can show here at all. */
export const allPaths = (type: string): string[] =>
  [...(objectProperties(type) ?? [])]
    .filter(([, { type: of }]) => SIMPLE.has(of) || of === 'ManagedObjectReference' || enumValues(of) || isType(of))
    .map(([name]) => name);
