// One request on a host, as the dispatcher runs it (adapters/powershell/module): steps in their order, and what each gave.
import { CIM_CLASSES, CMDLETS, type Cmdlet, PATTERNS } from '../../powershell/allowed.ts';
import type { PsError, Step } from '../../powershell/port.ts';
import { type Found, readArgument, refersToNothing, type Value } from './arguments.ts';
import { type Cell, PsObject } from './cells.ts';
import { asPsFailure, type PsFailure, refusal } from './failures.ts';
import { sourceOf } from './interface.ts';

export interface Request {
  readonly id: number;
  readonly steps: readonly Step[];
}

interface StepReply {
  readonly rows: readonly Readonly<Record<string, Encoded>>[];
  readonly count: number;
  readonly warnings: readonly string[];
  readonly errors: readonly PsError[];
}

export type Reply = { readonly ok: true; readonly steps: readonly StepReply[] } | { readonly ok: false; readonly error: PsError };

type Encoded = null | string | number | boolean | { readonly [name: string]: Encoded } | readonly Encoded[];

export interface Ran {
  readonly found: readonly PsObject[];
  readonly warnings: readonly string[];
  /** Of a step that collects. */
  readonly failures: readonly PsFailure[];
}

/** Runs a cmdlet whose name and parameters are on the list. Throws PsFailure for what ends the request. */
type RunCmdlet = (step: Step, given: ReadonlyMap<string, Value>) => Promise<Ran>;

/** Rejects where the session ends. */
export const runRequest = async ({ steps }: Request, run: RunCmdlet): Promise<Reply> => {
  const replies: StepReply[] = [];
  const found: (readonly PsObject[])[] = [];
  for (const [index, step] of steps.entries()) {
    try {
      if (refersToNothing(step.params, found)) {
        found.push([]);
        replies.push({ rows: [], count: 0, warnings: [], errors: [] });
        continue;
      }
      const ran = await run(step, givenTo(step, found));
      const rows = (step.select === undefined ? [] : ran.found).map((object) => rowOf(object, step.select!));
      found.push(ran.found);
      replies.push({
        rows,
        count: ran.found.length,
        warnings: ran.warnings,
        errors: ran.failures.map((one) => one.asError(index, sourceOf(step.cmdlet))),
      });
    } catch (error) {
      const failure = asPsFailure(error);
      if (!failure) throw error;
      return { ok: false, error: failure.asError(index, sourceOf(step.cmdlet)) };
    }
  }
  return { ok: true, steps: replies };
};

// ---- what is allowed --------------------------------------------------------------------------------------------------

const givenTo = ({ cmdlet, params }: Step, found: Found): Map<string, Value> => {
  if (!Object.hasOwn(CMDLETS, cmdlet)) throw refusal('Warmsite.NotAllowed', `${cmdlet} is not on the list`);
  const given = new Map<string, Value>();
  for (const [name, argument] of Object.entries(params)) {
    const value = readArgument(argument, found);
    assertParameter(cmdlet, name, value);
    given.set(name, value);
  }
  assertClasses(given);
  return given;
};

const assertParameter = (cmdlet: Cmdlet, name: string, value: Value): void => {
  if (!(CMDLETS[cmdlet] as readonly string[]).includes(name)) throw refusal('Warmsite.NotAllowed', `${cmdlet} -${name} is not on the list`);
  const pattern = PATTERNS[cmdlet]?.[name];
  if (pattern === undefined) return;
  for (const one of Array.isArray(value) ? value : [value])
    if (!new RegExp(pattern).test(String(one))) throw refusal('Warmsite.NotAllowed', `this value of ${cmdlet} -${name} is not on the list`);
};

const assertClasses = (given: ReadonlyMap<string, Value>): void => {
  for (const name of ['ClassName', 'Association', 'ResultClassName']) {
    const value = given.get(name);
    if (value !== undefined && !Object.hasOwn(CIM_CLASSES, String(value)))
      throw refusal('Warmsite.NotAllowed', `the class ${value} is not on the list`);
  }
  const method = given.get('MethodName');
  if (method === undefined) return;
  const on = given.get('InputObject');
  const type = on instanceof PsObject ? on.type : '';
  const methods = Object.hasOwn(CIM_CLASSES, type) ? CIM_CLASSES[type]! : [];
  if (!methods.includes(String(method))) throw refusal('Warmsite.NotAllowed', `the method ${method} of ${type} is not on the list`);
};

// ---- what comes back --------------------------------------------------------------------------------------------------

const rowOf = (object: PsObject, select: readonly string[]): Readonly<Record<string, Encoded>> => {
  const row: Record<string, Encoded> = {};
  for (const path of select) {
    const isOptional = path.endsWith('?');
    const name = path.replace(/\?+$/, '');
    let value: Cell = object;
    for (const part of name.split('.')) value = memberOf(value, part, isOptional);
    row[name] = encode(value);
  }
  return row;
};

/** One property of an object, or of each of a list. */
const memberOf = (value: Cell, name: string, isOptional: boolean): Cell => {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((one: Cell) => memberOf(one, name, isOptional));
  const found = value instanceof PsObject ? value.read(name) : propertyOf(value, name);
  if (found !== undefined) return found;
  if (isOptional) return null;
  throw refusal('Warmsite.NoProperty', `${value instanceof PsObject ? typeNameOf(value) : typeof value} has no property ${name}`);
};

/** The first of PSTypeNames: an instance of WMI is called by its class, too. */
const typeNameOf = ({ type }: PsObject): string =>
  /^(Msvm|MSFT)_/.test(type) ? `Microsoft.Management.Infrastructure.CimInstance#${namespaceOf(type)}/${type}` : type;

const namespaceOf = (type: string): string => (type.startsWith('Msvm') ? 'root/virtualization/v2' : 'ROOT/Microsoft/Windows/Storage');

/** Of what is no object to us. */
const propertyOf = (value: NonNullable<Cell>, name: string): Cell | undefined => {
  if (typeof value === 'string' && name.toLowerCase() === 'length') return value.length;
  return typeof value === 'object' && '$map' in value && Object.hasOwn(value.$map, name) ? value.$map[name] : undefined;
};

/** An object that is selected whole is its text. */
const encode = (cell: Cell): Encoded => {
  if (cell === null || typeof cell !== 'object') return cell;
  if (cell instanceof PsObject) return String(cell);
  if (Array.isArray(cell)) return cell.map(encode);
  if ('$map' in cell) return { $map: Object.fromEntries(Object.entries(cell.$map).map(([name, value]) => [name, encode(value)])) };
  return { ...cell } as Encoded;
};
