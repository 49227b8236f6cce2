// The schema as the codec and the simulated vCenter ask for it.
import schema from './schema.json' with { type: 'json' };

interface Row {
  readonly base?: string | null;
  readonly fields: readonly (readonly string[])[];
}
interface MethodRow {
  readonly params: readonly (readonly string[])[];
  readonly returns?: string;
  readonly on: readonly string[];
  readonly privilege?: string;
}
interface ObjectRow {
  readonly base?: string | null;
  readonly properties: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Record<string, Row>> = schema.types as never;
const METHODS: Readonly<Record<string, MethodRow>> = schema.methods as never;
const OBJECTS: Readonly<Record<string, ObjectRow>> = schema.objects as never;
const FAULTS: Readonly<Record<string, string>> = schema.faults;
const ENUMS: Readonly<Record<string, readonly string[]>> = schema.enums;

/** The type of a field or parameter, taken apart. */
export interface Declared {
  readonly type: string;
  readonly list: boolean;
  readonly optional: boolean;
}

export const parseDeclared = (text: string): Declared => ({
  type: text.replace(/\[\]|\?/g, ''),
  list: text.includes('[]'),
  optional: text.endsWith('?'),
});

export type Fields = ReadonlyMap<string, Declared>;

const fieldsOfType = new Map<string, Fields>();
const fieldsOfMethod = new Map<string, Fields>();
const returnsOfMethod = new Map<string, Declared | undefined>();
const propertiesOfObject = new Map<string, Fields>();
const EMPTY: Fields = new Map();

const toFields = (rows: readonly (readonly string[])[]): Fields =>
  new Map(rows.map(([name = '', type = '']) => [name, parseDeclared(type)]));

/** In the order of the wire: those of the base type first. Undefined for a type that is not in the schema. */
export const typeFields = (type: string): Fields | undefined => {
  const known = fieldsOfType.get(type);
  if (known) return known;
  if (!Object.hasOwn(TYPES, type)) return undefined;
  const row = TYPES[type]!;
  const fields = new Map([...((row.base && typeFields(row.base)) || EMPTY), ...toFields(row.fields)]);
  fieldsOfType.set(type, fields);
  return fields;
};

/** Parameters in the order of the wire, after `_this`. Undefined for a method that is not in the schema. */
export const methodParams = (method: string): Fields | undefined => {
  if (!Object.hasOwn(METHODS, method)) return undefined;
  let fields = fieldsOfMethod.get(method);
  if (!fields) {
    fields = toFields(METHODS[method]!.params);
    fieldsOfMethod.set(method, fields);
  }
  return fields;
};

export const methodReturns = (method: string): Declared | undefined => {
  if (!returnsOfMethod.has(method) && Object.hasOwn(METHODS, method)) {
    const { returns } = METHODS[method]!;
    returnsOfMethod.set(method, returns === undefined ? undefined : parseDeclared(returns));
  }
  return returnsOfMethod.get(method);
};

/** Managed objects on which the method can be called. */
export const methodTargets = (method: string): readonly string[] => (Object.hasOwn(METHODS, method) ? METHODS[method]!.on : []);

/** The one privilege that the method needs; undefined when it depends on what is asked for. */
export const methodPrivilege = (method: string): string | undefined =>
  Object.hasOwn(METHODS, method) ? METHODS[method]!.privilege : undefined;

export const enumValues = (type: string): readonly string[] | undefined => (Object.hasOwn(ENUMS, type) ? ENUMS[type] : undefined);

export const isType = (type: string): boolean => Object.hasOwn(TYPES, type);

/** True when a data type is the other one or derives from it. */
export const isKindOf = (type: string, base: string): boolean => {
  for (let at: string | null | undefined = type; at; at = Object.hasOwn(TYPES, at) ? TYPES[at]!.base : undefined)
    if (at === base) return true;
  return false;
};

/** Properties of a managed object with those of its bases; undefined for a type that is not in the schema. */
export const objectProperties = (type: string): Fields | undefined => {
  const known = propertiesOfObject.get(type);
  if (known) return known;
  if (!Object.hasOwn(OBJECTS, type)) return undefined;
  const row = OBJECTS[type]!;
  const own = Object.entries(row.properties).map(([name, declared]): [string, Declared] => [name, parseDeclared(declared)]);
  const properties = new Map([...((row.base && objectProperties(row.base)) || EMPTY), ...own]);
  propertiesOfObject.set(type, properties);
  return properties;
};

/** True when a managed object is the other one or derives from it. */
export const isObjectOf = (type: string, base: string): boolean => {
  for (let at: string | null | undefined = type; at; at = Object.hasOwn(OBJECTS, at) ? OBJECTS[at]!.base : undefined)
    if (at === base) return true;
  return false;
};

/** The fault and what it is a kind of, nearest first; of an unknown one only itself. */
export const faultLine = (fault: string): string[] => {
  const line = [fault];
  for (let at = FAULTS[fault]; at && Object.hasOwn(FAULTS, at); at = FAULTS[at]) line.push(at);
  return line;
};

export const allMethods = (): readonly string[] => Object.keys(METHODS);

export const allTypes = (): readonly string[] => Object.keys(TYPES);

export const typeBase = (type: string): string | undefined => (Object.hasOwn(TYPES, type) ? (TYPES[type]!.base ?? undefined) : undefined);

/** Without those of the base type. */
export const ownFields = (type: string): Fields => toFields(Object.hasOwn(TYPES, type) ? TYPES[type]!.fields : []);
