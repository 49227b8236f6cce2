// node scripts/vim25.ts [TABLE.json]: makes adapters/vsphere/vim25/types.ts from schema.json beside it; given the whole table of the vSphere API, schema.json first.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { METHODS, OBJECTS, TYPES } from '../adapters/vsphere/vim25/wanted.ts';

export interface MethodRow {
  readonly params: readonly (readonly [string, string])[];
  readonly returns?: string;
  readonly on: readonly string[];
  readonly privilege?: string;
}
export interface TypeRow {
  readonly base: string | null;
  /** In the order in which they stand on the wire. A type ends in `[]` for a list, then in `?` when it may be left out. */
  readonly fields: readonly (readonly [string, string])[];
}
export interface ObjectRow {
  readonly base: string | null;
  readonly properties: Readonly<Record<string, string>>;
}
export interface Schema {
  readonly objects: Readonly<Record<string, ObjectRow>>;
  readonly methods: Readonly<Record<string, MethodRow>>;
  readonly types: Readonly<Record<string, TypeRow>>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
  /** Every fault of the API and what it is a kind of, so that one that is not in `types` is still understood. */
  readonly faults: Readonly<Record<string, string>>;
}

interface Table {
  readonly managedObjects: Schema['objects'];
  readonly methods: Readonly<Record<string, MethodRow & { readonly faults?: readonly string[] }>>;
  readonly types: Schema['types'];
  readonly enums: Schema['enums'];
}

const FOLDER = join(import.meta.dirname, '../adapters/vsphere/vim25');

const bare = (type: string): string => type.replace(/\[\]|\?/g, '');
const pick = <T>(all: Readonly<Record<string, T>>, names: readonly string[], kind: string): Record<string, T> =>
  Object.fromEntries(
    [...new Set(names)].sort().map((name) => {
      const row = all[name];
      if (row === undefined) throw new Error(`the table has no ${kind} ${name}`);
      return [name, row];
    }),
  );

const withBases = (names: readonly string[], all: Readonly<Record<string, { readonly base: string | null }>>): string[] =>
  names.flatMap((name) => {
    const chain: string[] = [];
    for (let at: string | null | undefined = name; at && all[at]; at = all[at]?.base) chain.push(at);
    return chain.length > 0 ? chain : [name];
  });

const isFault = (name: string, types: Schema['types']): boolean => {
  for (let at: string | null | undefined = name; at; at = types[at]?.base) if (at === 'MethodFault') return true;
  return false;
};

export const subsetOf = (table: Table): Schema => {
  const methods = pick(table.methods, METHODS, 'method');
  const types = pick(table.types, withBases(TYPES, table.types), 'type');
  const objects = pick(table.managedObjects, withBases(OBJECTS, table.managedObjects), 'managed object');
  const named = Object.values(types).flatMap(({ fields }) => fields.map(([, type]) => bare(type)));
  const params = Object.values(methods).flatMap(({ params: all }) => all.map(([, type]) => bare(type)));
  const properties = Object.values(objects).flatMap((object) => Object.values(object.properties).map(bare));
  const enums = pick(
    table.enums,
    [...named, ...params, ...properties].filter((name) => name in table.enums),
    'enum',
  );
  const faults = Object.keys(table.types)
    .filter((name) => isFault(name, table.types))
    .sort()
    .map((name): [string, string] => [name, table.types[name]?.base ?? '']);
  return {
    objects,
    methods: Object.fromEntries(Object.entries(methods).map(([name, { faults: _, ...row }]) => [name, row])),
    types,
    enums,
    faults: Object.fromEntries(faults),
  };
};

/** One line for each row, so that a change shows as one. */
export const schemaText = (schema: Schema): string => {
  const part = ([name, rows]: [string, object]) =>
    `${JSON.stringify(name)}: {\n${Object.entries(rows)
      .map(([key, row]) => `  ${JSON.stringify(key)}: ${JSON.stringify(row)}`)
      .join(',\n')}\n}`;
  return `{\n${Object.entries(schema).map(part).join(',\n')}\n}\n`;
};

const SCALARS: Readonly<Record<string, string>> = {
  string: 'string',
  anyURI: 'string',
  dateTime: 'string',
  base64Binary: 'string',
  int: 'number',
  short: 'number',
  byte: 'number',
  float: 'number',
  double: 'number',
  long: 'number',
  boolean: 'boolean',
  anyType: 'unknown',
  ManagedObjectReference: 'MoRef',
};

export const typesText = (schema: Schema): string => {
  const typeOf = (declared: string): string => {
    const name = bare(declared);
    const known = SCALARS[name] ?? (name in schema.types || name in schema.enums ? name : 'unknown');
    return declared.includes('[]') ? `readonly ${known}[]` : known;
  };
  const member = ([name, type]: readonly [string, string]) =>
    `readonly ${name}${type.endsWith('?') ? '?' : ''}: ${typeOf(type)}${type.endsWith('?') ? ' | undefined' : ''}`;
  const field = (row: readonly [string, string]) => `  ${member(row)};`;
  const enums = Object.entries(schema.enums).map(
    ([name, values]) => `export type ${name} = ${values.map((value) => `'${value}'`).join(' | ') || 'string'};`,
  );
  const types = Object.entries(schema.types)
    .filter(([name]) => !(name in SCALARS))
    .map(([name, { base, fields }]) => {
      const own =
        base === null || base === undefined ? ['  readonly $type?: string | undefined;', ...fields.map(field)] : fields.map(field);
      const extend = base === null || base === undefined ? '' : ` extends ${base}`;
      return own.length === 0 ? `export interface ${name}${extend} {}` : `export interface ${name}${extend} {\n${own.join('\n')}\n}`;
    });
  const methods = Object.entries(schema.methods).map(([name, { params, returns }]) => {
    const args = params.length === 0 ? 'object' : `{ ${params.map(member).join('; ')} }`;
    return `  ${name}: [${args}, ${returns === undefined ? 'undefined' : typeOf(returns)}];`;
  });
  const map = `export interface TypeMap {\n${Object.keys(schema.types)
    .filter((name) => !(name in SCALARS))
    .map((name) => `  ${name}: ${name};`)
    .join('\n')}\n}`;
  return `// Made by scripts/vim25.ts from schema.json: not to be edited by hand.

/** A reference to a managed object: its type and the id that the server gave it. */
export interface MoRef {
  readonly type: string;
  readonly value: string;
}

${enums.join('\n')}

${types.join('\n\n')}

/** By the name that \`xsi:type\` gives. */
${map}

/** Arguments and result of each method. */
export interface VimMethods {
${methods.join('\n')}
}
`;
};

const main = (): void => {
  const [tablePath] = process.argv.slice(2);
  const schemaPath = join(FOLDER, 'schema.json');
  if (tablePath !== undefined) writeFileSync(schemaPath, schemaText(subsetOf(JSON.parse(readFileSync(tablePath, 'utf8')) as Table)));
  writeFileSync(join(FOLDER, 'types.ts'), typesText(JSON.parse(readFileSync(schemaPath, 'utf8')) as Schema));
};

if (import.meta.main) main();
