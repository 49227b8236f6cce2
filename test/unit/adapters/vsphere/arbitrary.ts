// Random values of the schema's types.
import fc, { type Arbitrary } from 'fast-check';
import type { MoRef, VimMethod } from '../../../../adapters/vsphere/port.ts';
import {
  allMethods,
  allTypes,
  type Declared,
  enumValues,
  type Fields,
  isKindOf,
  isType,
  methodParams,
  typeFields,
} from '../../../../adapters/vsphere/vim25/schema.ts';

/** Whatever XML can carry, with a taste for what it treats specially. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(value)),
  fc.constantFrom(
    '',
    ' ',
    '\r\n',
    ']]>',
    '<![CDATA[a]]>',
    '<![CDATA[]]><a/><![CDATA[]]>',
    '&amp;',
    '<a>',
    '"\'',
    '\t',
    '__proto__',
    '1',
    'true',
  ),
);

const reference: Arbitrary<MoRef> = fc.record({ type: fc.constantFrom('VirtualMachine', 'Folder', 'Datastore'), value: text });

const SIMPLE: Readonly<Record<string, Arbitrary<unknown>>> = {
  int: fc.integer(),
  short: fc.integer({ min: -32768, max: 32767 }),
  byte: fc.integer({ min: -128, max: 127 }),
  // Zero has no sign on the wire.
  long: fc.oneof(fc.maxSafeInteger(), fc.bigInt(2n ** 53n, 2n ** 63n - 1n)),
  float: fc.double({ noNaN: true }).map((value) => value + 0),
  double: fc.double({ noNaN: true }).map((value) => value + 0),
  boolean: fc.boolean(),
  string: text,
  anyURI: text,
  dateTime: text,
  base64Binary: text,
  ManagedObjectReference: reference,
};

/** False for a type that is only read here: it has a required field of a type outside our part of the schema. */
const writable = (type: string, above: readonly string[] = []): boolean =>
  above.includes(type) ||
  [...(typeFields(type) ?? [])].every(
    ([, { type: inner, optional, list }]) => optional || list || (known(inner) && writable(inner, [...above, type])),
  );

/** Types of which whole values can be written. */
export const writableTypes = (): readonly string[] => allTypes().filter((type) => writable(type));

const kinds = new Map<string, readonly string[]>();
const kindsOf = (base: string): readonly string[] => {
  const found = kinds.get(base) ?? writableTypes().filter((type) => isKindOf(type, base));
  kinds.set(base, found);
  return found;
};

const known = (type: string): boolean => type in SIMPLE || type === 'anyType' || enumValues(type) !== undefined || isType(type);

/** A value for a field of `anyType`. */
export const anything = (depth: number): Arbitrary<unknown> => {
  const simple = [
    text,
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt(2n ** 53n, 2n ** 63n - 1n),
    SIMPLE['double']!,
    reference,
  ];
  const lists = [fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(reference, { minLength: 1, maxLength: 3 })];
  const objects = depth > 2 ? [] : [fc.constantFrom(...writableTypes()).chain((type) => ofType(type, depth + 1, true))];
  return fc.oneof(...simple, ...lists, ...objects);
};

const one = (type: string, depth: number): Arbitrary<unknown> => {
  if (type === 'anyType') return anything(depth);
  const values = enumValues(type);
  if (values) return fc.constantFrom(...values);
  return SIMPLE[type] ?? fc.constantFrom(...kindsOf(type)).chain((kind) => ofType(kind, depth + 1, kind !== type));
};

/** An object of exactly this type; `say`: with its `$type`, because another one is declared. */
export const ofType = (type: string, depth = 0, say = false): Arbitrary<object> =>
  ofFields(typeFields(type)!, depth).map((value) => (say ? { $type: type, ...value } : value));

const ofFields = (fields: Fields, depth: number): Arbitrary<object> => {
  const entries = [...fields].filter(([, { type }]) => known(type) && writable(type));
  const rare = ({ list, optional }: Declared) => list || optional;
  return fc
    .shuffledSubarray(
      entries.filter(([, declared]) => rare(declared)),
      { maxLength: depth > 3 ? 0 : Math.min(4, entries.filter(([, declared]) => rare(declared)).length) },
    )
    .chain((chosen) => {
      const all = [...chosen, ...entries.filter(([, declared]) => !rare(declared))];
      const made = all.map(([name, { type, list }]) => {
        const value = one(type, depth + 1);
        return fc.tuple(fc.constant(name), list ? fc.array(value, { minLength: 1, maxLength: 3 }) : value);
      });
      return fc.tuple(...made).map((pairs) => Object.fromEntries(pairs));
    });
};

const CALLS = allMethods().filter((method) => !['RetrieveServiceContent', 'Login', 'Logout'].includes(method)) as VimMethod[];

/** Method, object and arguments. */
export const requestArbitrary: Arbitrary<[VimMethod, MoRef, object]> = fc
  .constantFrom(...CALLS)
  .chain((method) => fc.tuple(fc.constant(method), reference, ofFields(methodParams(method)!, 0)));
