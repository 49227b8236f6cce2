// Answers into values, guided by the schema as far as it knows them: unknown elements, missing ones and newer types are taken as they come.
import sax from 'sax';
import { DrError } from '../../../core/contract/index.ts';
import { type Declared, enumValues, type Fields, faultLine, isType, methodReturns, parseDeclared, typeFields } from './schema.ts';

/** A fault as the server gave it. `$type` is its own type, which the schema may not know. */
export interface VimFault {
  readonly $type: string;
  readonly faultstring: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type Decoded = { readonly result: unknown } | { readonly fault: VimFault };

const XSI = 'http://www.w3.org/2001/XMLSchema-instance';
const SCALARS = new Set([
  'string',
  'anyURI',
  'dateTime',
  'base64Binary',
  'int',
  'short',
  'byte',
  'long',
  'integer',
  'float',
  'double',
  'boolean',
]);
/** An answer nests a dozen deep; a snapshot chain adds one for each of its 32 links. */
const MOST_DEPTH = 256;

interface Frame {
  readonly name: string;
  readonly kind: 'scalar' | 'moref' | 'array' | 'object' | 'any';
  /** Of a scalar: its type. Of an array: unused. */
  readonly type: string;
  readonly fields: Fields | undefined;
  /** Where it goes in the frame above. */
  readonly list: boolean;
  readonly nil: boolean;
  value: Record<string, unknown> | unknown[] | undefined;
  text: string;
  refType: string;
}

/** Reads one SOAP answer piece by piece. Throws PROTOCOL_ERROR on what is no well-formed answer. */
export class SoapReader {
  readonly #method: string;
  readonly #parser = sax.parser(true, { strictEntities: true } as sax.SAXOptions);
  readonly #frames: Frame[] = [];
  readonly #prefixes: Map<string, string>[] = [new Map()];
  readonly #returns: Declared | undefined;
  #failure: unknown;
  #result: unknown;
  #fault: Record<string, unknown> | undefined;
  #begun = false;
  #answered = false;

  constructor(method: string) {
    this.#method = method;
    this.#returns = methodReturns(method);
    this.#parser.onerror = (error) => this.#fail(error.message.split('\n', 1)[0] ?? 'malformed');
    this.#parser.ondoctype = () => this.#fail('it has a document type');
    this.#parser.onopentag = (tag) => this.#open(tag as sax.Tag);
    this.#parser.onclosetag = () => this.#close();
    this.#parser.ontext = (text) => this.#text(text);
    this.#parser.oncdata = (text) => this.#text(text);
  }

  push(text: string): void {
    this.#throwFailure();
    this.#parser.write(text);
    this.#throwFailure();
  }

  end(): Decoded {
    this.#parser.close();
    this.#throwFailure();
    if (this.#fault) return { fault: toFault(this.#fault) };
    if (!this.#answered) throw this.#protocolError('it holds no answer');
    const result = this.#returns?.list && this.#result === undefined ? [] : this.#result;
    return { result };
  }

  #open(tag: sax.Tag): void {
    if (this.#failure) return;
    if (this.#frames.length >= MOST_DEPTH) {
      this.#fail('it nests too deep');
      return;
    }
    const attributes = this.#attributes(tag);
    this.#frames.push(this.#frameFor(localName(tag.name), attributes));
  }

  #frameFor(name: string, attributes: Attributes): Frame {
    const above = this.#frames.at(-1);
    const depth = this.#frames.length;
    const blank = { name, type: '', fields: undefined, list: false, nil: attributes.nil, value: undefined, text: '', refType: '' };
    // Envelope, Body, then the answer or the fault.
    if (depth === 0 && this.#begun) this.#fail('it goes on after its end');
    this.#begun = true;
    if (depth < 2) return { ...blank, kind: 'object', value: {} };
    if (depth === 2) {
      if (name !== 'Fault' && name !== `${this.#method}Response`) this.#fail(`it answers ${name}`);
      if (this.#answered) this.#fail('it answers twice');
      this.#answered = true;
      const fields = name === 'Fault' ? FAULT_FIELDS : new Map(this.#returns ? [['returnval', this.#returns]] : []);
      return { ...blank, kind: 'object', fields, value: {} };
    }
    const declared = above?.kind === 'array' ? parseDeclared(name) : above?.fields?.get(name);
    const list = declared?.list ?? false;
    const inDetail = above?.name === 'detail' && depth === 4;
    const type = attributes.type ?? (inDetail ? name.replace(/Fault$/, '') : declared?.type);
    return { ...blank, list, ...shapeOf(type, declared?.type, attributes) };
  }

  #close(): void {
    const frame = this.#frames.pop();
    this.#prefixes.pop();
    if (!frame || this.#failure) return;
    const above = this.#frames.at(-1);
    const value = frame.nil ? undefined : contentOf(frame);
    if (Number.isNaN(value) && frame.text.trim() !== 'NaN') {
      this.#fail(`${frame.name} is no ${frame.type}`);
      return;
    }
    if (this.#frames.length === 2 && frame.name === 'Fault') this.#fault = (value as Record<string, unknown> | undefined) ?? {};
    else if (this.#frames.length === 2) this.#result = (value as Record<string, unknown> | undefined)?.['returnval'];
    else if (above && value !== undefined) attach(above, frame, value);
  }

  #text(text: string): void {
    const frame = this.#frames.at(-1);
    if (frame && (frame.kind === 'scalar' || frame.kind === 'moref' || frame.kind === 'any')) frame.text += text;
  }

  /** Prefixes are resolved, never matched: simulators and proxies choose their own. */
  #attributes(tag: sax.Tag): Attributes {
    let scope = this.#prefixes.at(-1)!;
    const given = Object.entries(tag.attributes);
    if (given.length === 0) {
      this.#prefixes.push(scope);
      return NO_ATTRIBUTES;
    }
    for (const [name, value] of given) {
      if (!name.startsWith('xmlns:')) continue;
      if (scope === this.#prefixes.at(-1)) scope = new Map(scope);
      scope.set(name.slice(6), value);
    }
    this.#prefixes.push(scope);
    const found: { type?: string; nil: boolean; refType: string } = { nil: false, refType: '' };
    for (const [name, value] of given) {
      const colon = name.indexOf(':');
      if (colon < 0) {
        if (name === 'type') found.refType = value;
        continue;
      }
      const space = scope.get(name.slice(0, colon));
      if (space !== XSI) continue;
      if (name.endsWith(':type')) found.type = localName(value);
      else if (name.endsWith(':nil')) found.nil = value === 'true' || value === '1';
    }
    return found;
  }

  #fail(why: string): void {
    this.#failure ??= this.#protocolError(why);
    // The parser holds on to its first error and refuses to go on.
    this.#parser.error = null as never;
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure;
  }

  #protocolError(why: string): DrError {
    return new DrError('PROTOCOL_ERROR', `the answer to ${this.#method} cannot be read: ${why}`, { context: { method: this.#method } });
  }
}

interface Attributes {
  readonly type?: string;
  readonly nil: boolean;
  readonly refType: string;
}

const NO_ATTRIBUTES: Attributes = { nil: false, refType: '' };

const FAULT_FIELDS: Fields = new Map([
  ['faultcode', parseDeclared('string?')],
  ['faultstring', parseDeclared('string?')],
]);

const localName = (name: string): string => name.slice(name.indexOf(':') + 1);

/** The shape of an element by its own type; by the declared one where the own is newer than the schema; else by what it turns out to hold. */
const shapeOf = (
  type: string | undefined,
  declared: string | undefined,
  { refType, type: given }: Attributes,
): Pick<Frame, 'kind' | 'type' | 'fields' | 'value' | 'refType'> => {
  const plain = { type: type ?? '', fields: undefined, value: undefined, refType: '' };
  if (type === 'ManagedObjectReference') return { ...plain, kind: 'moref', refType };
  if (type !== undefined && (SCALARS.has(type) || enumValues(type))) return { ...plain, kind: 'scalar' };
  if (given?.startsWith('ArrayOf')) return { ...plain, kind: 'array', value: [] };
  const known = [type, declared, ...(type === undefined ? [] : faultLine(type))].find((one) => one !== undefined && isType(one));
  const value: Record<string, unknown> = given === undefined ? {} : { $type: given };
  if (known !== undefined) return { ...plain, kind: 'object', fields: typeFields(known), value };
  return { ...plain, kind: 'any', value: given === undefined ? undefined : value };
};

const contentOf = (frame: Frame): unknown => {
  if (frame.kind === 'moref') return { type: frame.refType, value: frame.text };
  if (frame.kind === 'scalar') return scalar(frame.type, frame.text);
  // A type that nobody here knows and that holds text only: an enumeration, or a simple type of a later version.
  const bare = frame.kind === 'any' && Object.keys(frame.value ?? {}).every((key) => key === '$type');
  return bare && frame.text.trim() !== '' ? frame.text : (frame.value ?? frame.text);
};

const WHOLE = new Set(['int', 'short', 'byte', 'long', 'integer']);

/** XML Schema's words for what is no number in digits. */
const decimal = (text: string): number =>
  /^[+-]?INF$/.test(text) ? Number(text.replace('INF', 'Infinity')) : text === '' ? Number.NaN : Number(text);

/** A long beyond 2^53 becomes a bigint: a wrong offset would be worse than an odd type. */
const scalar = (type: string, text: string): unknown => {
  if (type === 'boolean') return text.trim() === 'true' || text.trim() === '1';
  if (type === 'float' || type === 'double') return decimal(text.trim());
  if (!WHOLE.has(type)) return text;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) return Number.NaN;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text.trim());
};

const attach = (above: Frame, frame: Frame, value: unknown): void => {
  if (above.kind === 'array') {
    (above.value as unknown[]).push(value);
    return;
  }
  if (above.kind !== 'object' && above.kind !== 'any') return;
  above.value ??= {};
  const into = above.value as Record<string, unknown>;
  const { name } = frame;
  const there = Object.hasOwn(into, name) ? into[name] : undefined;
  if (frame.list) {
    if (there === undefined) define(into, name, [value]);
    else (there as unknown[]).push(value);
  } else if (there === undefined || above.fields?.has(name)) define(into, name, value);
  // An element that the schema does not have and that comes again is a list.
  else if (Array.isArray(there)) there.push(value);
  else define(into, name, [there, value]);
};

/** A name from outside is never `__proto__`. */
const define = (into: Record<string, unknown>, name: string, value: unknown): void => {
  if (name !== '__proto__') into[name] = value;
};

const toFault = (body: Record<string, unknown>): VimFault => {
  const detail = body['detail'];
  const [[name, value] = []] = Object.entries(typeof detail === 'object' && detail !== null ? detail : {}) as [string, unknown][];
  // One that holds nothing and is newer than the schema is read as text: its name still tells what it is.
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const type = fields['$type'] ?? name?.replace(/Fault$/, '') ?? 'RuntimeFault';
  return { $type: String(type), faultstring: String(body['faultstring'] ?? ''), detail: fields };
};
