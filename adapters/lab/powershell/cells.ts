// Objects as cmdlets give them, and their values in the form in which the dispatcher writes them.
import type { MachineId } from '../../../core/contract/index.ts';
import { ENUMS, type EnumName } from './enums.ts';

interface IntCell {
  readonly $int: string;
}

/** Only its name and number are written; which enumeration it is of, a caller of ours may ask. */
export class EnumCell {
  readonly $enum: string;
  readonly value: string;
  readonly #of: EnumName;

  constructor(of: EnumName, name: string) {
    this.#of = of;
    this.$enum = name;
    this.value = String((ENUMS[of] as Readonly<Record<string, number>>)[name]);
  }

  get enumeration(): EnumName {
    return this.#of;
  }
}

interface DateCell {
  readonly $date: string;
}
interface SpanCell {
  readonly $ms: number;
}
interface MapCell {
  readonly $map: Readonly<Record<string, Cell>>;
}

/** A value of a property. Text, truth and numbers of up to 32 bits are themselves; a list may hold objects. */
export type Cell = null | string | number | boolean | IntCell | EnumCell | DateCell | SpanCell | MapCell | PsObject | readonly Cell[];

/** Of a type that has more than 31 bits: Int64, UInt64 and UInt32. */
export const int = (value: number | bigint): IntCell => ({ $int: String(value) });
export const date = (atMs: number): DateCell => ({ $date: new Date(atMs).toISOString() });
export const span = (ms: number): SpanCell => ({ $ms: Math.round(ms) });
export const guid = (id: string | undefined): string => id ?? NO_GUID;
export const NO_GUID = '00000000-0000-0000-0000-000000000000';

export const member = (type: EnumName, name: string): EnumCell => new EnumCell(type, name);

/** Members by lower-case name: names of properties have no case. */
export interface Shape<T> {
  /** Full name of the .NET type, or of the CIM class. */
  readonly type: string;
  readonly text: (of: T) => string;
  readonly properties: Readonly<Record<string, (of: T) => Cell>>;
}

const lowered = new WeakMap<object, ReadonlyMap<string, (of: unknown) => Cell>>();

const membersOf = (shape: Shape<unknown>): ReadonlyMap<string, (of: unknown) => Cell> => {
  const known = lowered.get(shape);
  if (known) return known;
  const made = new Map(Object.entries(shape.properties).map(([name, read]) => [name.toLowerCase(), read]));
  lowered.set(shape, made);
  return made;
};

/** What goes down the pipeline. Its properties are looked up as they are asked for. */
export class PsObject {
  readonly shape: Shape<unknown>;
  readonly of: unknown;
  /** The machine that it is, or belongs to. */
  readonly machine: MachineId | undefined;

  constructor(shape: Shape<unknown>, of: unknown, machine: MachineId | undefined) {
    this.shape = shape;
    this.of = of;
    this.machine = machine;
  }

  get type(): string {
    return this.shape.type;
  }

  /** Undefined: there is no such property. */
  read(name: string): Cell | undefined {
    return (this.shape.properties[name] ?? membersOf(this.shape).get(name.toLowerCase()))?.(this.of);
  }

  toString(): string {
    return this.shape.text(this.of);
  }
}

export const object = <T>(shape: Shape<T>, of: T, machine?: MachineId): PsObject => new PsObject(shape as Shape<unknown>, of, machine);

/** The object's own record, if it is of this shape. */
export const recordOf = <T>(value: PsObject, shape: Shape<T>): T | undefined =>
  value.shape === (shape as Shape<unknown>) ? (value.of as T) : undefined;
