// Values of parameters: as a request writes them, as earlier steps give them, and as a handler takes them.
import type { Argument, StepRef, Typed } from '../../powershell/port.ts';
import { type Cell, PsObject, recordOf, type Shape } from './cells.ts';
import { failureOf, PsFailure, refusal } from './failures.ts';

/** A number that says which .NET type it is; one without is what JSON has, an Int32 or Int64. */
export class TypedValue {
  readonly type: Typed['$type'];
  readonly value: string | number;

  constructor(type: Typed['$type'], value: string | number) {
    this.type = type;
    this.value = value;
  }

  toString(): string {
    return String(this.value);
  }
}

export type Hashtable = ReadonlyMap<string, Value>;
export type Value = null | string | number | boolean | TypedValue | PsObject | Hashtable | readonly Value[];

/** What earlier steps found. */
export type Found = readonly (readonly PsObject[])[];

const isReference = (value: object): value is StepRef => '$step' in value;
const isTyped = (value: object): value is Typed => '$type' in value;

export const readArgument = (argument: Argument, found: Found): Value => {
  if (argument === null || typeof argument !== 'object') return argument;
  if (Array.isArray(argument)) return argument.map((one: Argument) => readArgument(one, found));
  if (isReference(argument)) return referenced(argument, found);
  if (isTyped(argument)) return new TypedValue(argument.$type, argument.value);
  return new Map(Object.entries(argument as Readonly<Record<string, Argument>>).map(([name, value]) => [name, readArgument(value, found)]));
};

/** One object is passed as itself, several as a list. */
const referenced = ({ $step, $property, $where }: StepRef, found: Found): Value => {
  const objects = (found[$step] ?? []).filter((one) => !$where || textOf(one.read($where.property) ?? null) === $where.is.toLowerCase());
  if (objects.length === 0) throw refusal('Warmsite.NothingFound', `step ${$step} has found nothing`);
  const values = $property === undefined ? objects : objects.map((one) => plainOf(one.read($property) ?? null));
  return values.length === 1 ? values[0]! : values;
};

/** As -eq compares it: in any case. */
const textOf = (cell: Cell): string => String(plainOf(cell)).toLowerCase();

const plainOf = (cell: Cell): Value => {
  if (cell === null || typeof cell !== 'object' || cell instanceof PsObject) return cell;
  if (Array.isArray(cell)) return cell.map(plainOf);
  if ('$int' in cell) return new TypedValue('int64', cell.$int);
  if ('$enum' in cell) return cell.$enum;
  if ('$date' in cell) return new TypedValue('date', cell.$date);
  if ('$ms' in cell) return new TypedValue('milliseconds', cell.$ms);
  return '$map' in cell ? new Map(Object.entries(cell.$map).map(([name, value]) => [name, plainOf(value)])) : null;
};

/** A step that is about what an earlier one found, where that found nothing. */
export const refersToNothing = (params: Readonly<Record<string, Argument>>, found: Found): boolean =>
  Object.values(params).some(
    (value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value) && isReference(value) && (found[value.$step] ?? []).length === 0,
  );

/** Arguments that were held to the cmdlet's declaration: getters only say which kind it was. */
export class Bound {
  readonly #values: ReadonlyMap<string, Value>;
  readonly set: string;

  constructor(set: string, values: ReadonlyMap<string, Value>) {
    this.set = set;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  text(name: string): string {
    return String(this.#values.get(name));
  }

  maybeText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  /** Of a parameter that takes several. */
  texts(name: string): string[] {
    return this.#list(name).map(String);
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  maybeFlag(name: string): boolean | undefined {
    return this.has(name) ? this.flag(name) : undefined;
  }

  number(name: string): number {
    return Number(this.#values.get(name));
  }

  maybeNumber(name: string): number | undefined {
    return this.has(name) ? this.number(name) : undefined;
  }

  /** Every object, as the records of what they are. */
  records<T>(name: string, shape: Shape<T>): T[] {
    return this.objects(name).flatMap((one) => recordOf(one, shape) ?? []);
  }

  /** For a parameter that takes one. */
  record<T>(name: string, shape: Shape<T>): T {
    const [one] = this.records(name, shape);
    if (one !== undefined) return one;
    throw new PsFailure({ category: 'InvalidArgument', id: 'CannotConvertArgumentNoMessage', message: `-${name} is no ${shape.type}` });
  }

  objects(name: string): PsObject[] {
    return this.#list(name).filter((one) => one instanceof PsObject);
  }

  table(name: string): Hashtable {
    const value = this.#values.get(name);
    if (value === undefined) return new Map();
    if (value instanceof Map) return value;
    throw failureOf('PROTOCOL_ERROR', `-${name} is no hashtable`);
  }

  values(): Iterable<[string, Value]> {
    return this.#values;
  }

  #list(name: string): readonly Value[] {
    const value = this.#values.get(name);
    if (value === undefined) return [];
    return Array.isArray(value) ? value : [value as Value];
  }
}
