// Values between a simulated host and PowerShell (Twin.cs): with the .NET types that the vendors' objects have.
import { type Hashtable, TypedValue, type Value } from '../../../adapters/lab/powershell/arguments.ts';
import { type Cell, EnumCell, PsObject } from '../../../adapters/lab/powershell/cells.ts';
import { classRow } from '../../../adapters/lab/powershell/interface.ts';
import type { Typed } from '../../../adapters/powershell/port.ts';
import { enumType } from './csharp.ts';

export type Json = null | string | number | boolean | readonly Json[] | { readonly [name: string]: Json };

/** Objects of one session, which PowerShell knows by their number. */
export class References {
  readonly #objects: PsObject[] = [];

  at(reference: number): PsObject {
    return this.#objects[reference]!;
  }

  encode(object: PsObject): Json {
    const { shape, type } = object;
    return { $object: this.#objects.push(object) - 1, type, names: Object.keys(shape.properties) };
  }

  properties(reference: number): Json {
    const { shape, type, of } = this.at(reference);
    const rows = Object.entries(shape.properties).map(([name, read]) => [
      name,
      this.#cell(read(of), integerOf(type, name), isIdentity(type, name)),
    ]);
    return Object.fromEntries(rows) as Json;
  }

  /** What PowerShell has bound. */
  decode(raw: Json): Value {
    if (raw === null || typeof raw !== 'object') return raw;
    if (Array.isArray(raw)) return raw.map((one: Json) => this.decode(one));
    const { $ref, $typed, $map, value } = raw as Readonly<Record<string, Json>>;
    if ($ref !== undefined) return this.at($ref as number);
    if ($typed !== undefined) return new TypedValue($typed as Typed['$type'], value as string | number);
    return new Map(
      Object.entries($map as Readonly<Record<string, Json>>).map(([name, one]) => [name, this.decode(one)]),
    ) satisfies Hashtable;
  }

  #cell(cell: Cell, integer: Integer, identity: boolean): Json {
    if (typeof cell === 'number') return Number.isInteger(cell) && integer.small ? typed(integer.small, String(cell)) : cell;
    if (typeof cell === 'string') return identity && GUID.test(cell) ? typed('guid', cell) : cell;
    if (cell === null || typeof cell === 'boolean') return cell;
    if (cell instanceof PsObject) return this.encode(cell);
    if (cell instanceof EnumCell) return { ...(typed('enum', cell.value) as object), type: enumType(cell.enumeration) };
    if (Array.isArray(cell)) return cell.map((one: Cell) => this.#cell(one, integer, identity));
    if ('$int' in cell) return typed(integer.large ?? 'Int64', cell.$int);
    if ('$date' in cell) return typed('date', cell.$date);
    if ('$ms' in cell) return typed('span', String(cell.$ms));
    if (!('$map' in cell)) throw new Error('a cell of no kind');
    return { $map: Object.fromEntries(Object.entries(cell.$map).map(([name, one]) => [name, this.#cell(one, integer, identity)])) };
  }
}

const typed = ($typed: string, value: string): Json => ({ $typed, value });

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Text elsewhere: WMI's are in upper case, and VMM's ids of hosts' machines too. */
const isIdentity = (type: string, name: string): boolean => /^Microsoft\.(HyperV|SystemCenter)\./.test(type) && /id$/i.test(name);

interface Integer {
  readonly small?: string;
  readonly large?: string;
}

const CIM_INTEGERS: Readonly<Record<string, Integer>> = {
  uint8: { small: 'Byte' },
  uint16: { small: 'UInt16' },
  // The dispatcher writes every UInt32 with its type, and so does the twin.
  uint32: { large: 'UInt32' },
  uint64: { large: 'UInt64' },
};

/** What the vendors declare where it is neither Int32 nor Int64 (Windows Server 2022). */
const INTEGERS: Readonly<Record<string, Readonly<Record<string, Integer>>>> = {
  'Microsoft.Vhd.PowerShell.VirtualHardDisk': Object.fromEntries([
    ...['FileSize', 'Size', 'MinimumSize'].map((name) => [name, { large: 'UInt64' }]),
    ...['LogicalSectorSize', 'PhysicalSectorSize', 'BlockSize', 'DiskNumber', 'Number'].map((name) => [name, { large: 'UInt32' }]),
  ]),
  'Microsoft.Management.Infrastructure.CimMethodResult': {
    ReturnValue: { large: 'UInt32' },
    ...Object.fromEntries(['ProcessedByteLength', 'ChangedByteOffsets', 'ChangedByteLengths'].map((name) => [name, { large: 'UInt64' }])),
  },
};

const integerOf = (type: string, name: string): Integer => {
  const declared = classRow(type)?.properties[name];
  if (declared !== undefined) return CIM_INTEGERS[declared.replace('[]', '').toLowerCase()] ?? {};
  return INTEGERS[type]?.[name] ?? {};
};
