// Values into elements, in the order that the schema gives: a real vCenter refuses any other, with misleading words.
import { DrError } from '../../../core/contract/index.ts';
import { type Declared, faultLine, isType, methodParams, typeFields } from './schema.ts';
import type { MoRef, TypeMap } from './types.ts';

/** Gives a value the type under which it stands where a more general one is declared (`xsi:type`). */
export const typed = <T extends keyof TypeMap>(type: T, value: Omit<TypeMap[T], '$type'>): TypeMap[T] & { readonly $type: T } =>
  ({ ...value, $type: type }) as unknown as TypeMap[T] & { readonly $type: T };

export const ENVELOPE_OPEN =
  '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>';
export const ENVELOPE_CLOSE = '</soapenv:Body></soapenv:Envelope>';

/** The whole request. Throws INTERNAL for a field that the schema does not have: the server would refuse it less clearly. */
export const encodeRequest = (method: string, on: MoRef, args: object): string => {
  const params = methodParams(method);
  if (!params) throw new DrError('INTERNAL', `the schema has no method ${method}`, { context: { method } });
  const body = encodeFields(params, args, method);
  return `${ENVELOPE_OPEN}<${method} xmlns="urn:vim25"><_this type="${attribute(on.type, '_this')}">${escapeText(on.value, '_this')}</_this>${body}</${method}>${ENVELOPE_CLOSE}`;
};

const encodeFields = (fields: ReadonlyMap<string, Declared>, value: object, path: string): string => {
  const given = value as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(given)) {
    if (name === '$type' || given[name] === undefined || given[name] === null || fields.has(name)) continue;
    throw new DrError('INTERNAL', `the schema has no field ${path}.${name}`, { context: { key: `${path}.${name}` } });
  }
  let out = '';
  for (const [name, declared] of fields) {
    const one = given[name];
    if (one === undefined || one === null) {
      if (declared.optional || declared.list) continue;
      throw new DrError('INTERNAL', `${path} lacks its field ${name}`, { context: { key: `${path}.${name}` } });
    }
    if (!declared.list) out += encodeElement(name, declared.type, one, `${path}.${name}`);
    else for (const item of one as readonly unknown[]) out += encodeElement(name, declared.type, item, `${path}.${name}`);
  }
  return out;
};

/** One element with a value of the declared type; a fault that is not in the subset has the fields of what it is a kind of. Exported for the simulated vCenter, which answers in the same schema. */
export const encodeElement = (name: string, declared: string, value: unknown, path = name): string => {
  if (declared === 'anyType') return encodeAny(name, value, path);
  if (declared === 'ManagedObjectReference') return encodeMoRef(name, value as MoRef, '', path);
  if (typeof value !== 'object' || value === null) return `<${name}>${escapeText(plain(value), path)}</${name}>`;
  const { $type = declared } = value as { readonly $type?: string };
  const fields = typeFields(isType($type) ? $type : (faultLine($type).find(isType) ?? $type));
  if (!fields) throw noType($type, path);
  const attributes = $type === declared ? '' : ` xsi:type="${$type}"`;
  return `<${name}${attributes}>${encodeFields(fields, value, path)}</${name}>`;
};

const noType = (type: string, path: string): DrError =>
  new DrError('INTERNAL', `the schema has no type ${type} for ${path}`, { context: { key: path } });

const encodeMoRef = (name: string, { type, value }: MoRef, more: string, path: string): string =>
  `<${name} type="${attribute(type, path)}"${more}>${escapeText(value, path)}</${name}>`;

/** Where anything may stand its type must be said. A whole number is an int where it fits, else a long. */
const encodeAny = (name: string, value: unknown, path: string): string => {
  if (Array.isArray(value)) return encodeArray(name, value, path);
  if (typeof value === 'object' && value !== null) {
    const { $type } = value as { readonly $type?: string };
    if ($type !== undefined && isType($type)) return encodeElement(name, 'anyType ', value, path);
    if ($type !== undefined) throw noType($type, path);
    return encodeMoRef(name, value as MoRef, ' xsi:type="ManagedObjectReference"', path);
  }
  return `<${name} xsi:type="xsd:${simpleTypeOf(value)}">${escapeText(plain(value), path)}</${name}>`;
};

const XSD: Readonly<Record<string, string>> = { string: 'string', boolean: 'boolean', bigint: 'long' };

/** Of a value that stands where anything may. */
export const simpleTypeOf = (value: unknown): string => {
  if (typeof value !== 'number') return XSD[typeof value] ?? 'string';
  if (!Number.isSafeInteger(value)) return 'double';
  return Math.abs(value) < 2 ** 31 ? 'int' : 'long';
};

/** XML Schema has its own word for infinity. */
export const plain = (value: unknown): string => String(value).replace(/^(-?)Infinity$/, typeof value === 'number' ? '$1INF' : '$&');

/** Elements of a list that is a property's value: `$element` says their type where the list is empty or polymorphic. */
export const elementOf = (values: readonly unknown[] & { readonly $element?: string }): string => {
  if (values.$element !== undefined) return values.$element;
  const [first] = values;
  if (typeof first === 'object' && first !== null) return (first as { $type?: string }).$type ?? 'ManagedObjectReference';
  const types = new Set(values.map(simpleTypeOf));
  return ['double', 'long', 'int', 'boolean'].find((type) => types.has(type)) ?? 'string';
};

export const arrayTypeOf = (element: string): string => `ArrayOf${element.charAt(0).toUpperCase()}${element.slice(1)}`;

const encodeArray = (name: string, values: readonly unknown[] & { readonly $element?: string }, path: string): string => {
  const element = elementOf(values);
  return `<${name} xsi:type="${arrayTypeOf(element)}">${values.map((value) => encodeElement(element, element, value, path)).join('')}</${name}>`;
};

/** What XML 1.0 cannot carry at all, escaped or not; lone surrogates among it. */
const NO_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
  '\n': '&#10;',
  '\t': '&#9;',
};

/** Says which character and where, never the value: it may be a password. */
const assertXml = (value: string, path: string): void => {
  const found = NO_XML.exec(value);
  if (!found) return;
  const code = (found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  throw new DrError('CONFIG_INVALID', `${path} holds the character U+${code} at ${found.index}, which XML cannot carry`, {
    hint: 'take the control characters out of the value',
    context: { key: path, offset: found.index },
  });
};

/** `>` too, because of `]]>`; a bare carriage return would come back as a line feed. */
export const escapeText = (value: string, path: string): string => {
  assertXml(value, path);
  return value.replace(/[&<>\r]/g, (one) => ESCAPES[one]!);
};

const attribute = (value: string, path: string): string => {
  assertXml(value, path);
  return value.replace(/[&<>"\r\n\t]/g, (one) => ESCAPES[one]!);
};
