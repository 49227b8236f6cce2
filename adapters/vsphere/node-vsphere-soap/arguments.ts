// Arguments of a call as the package takes them: fields in the schema's order, attributes where a value's own type must be said.
import { arrayTypeOf, elementOf, escapeText, plain, simpleTypeOf } from '../vim25/encode.ts';
import { type Fields, methodParams, typeFields } from '../vim25/schema.ts';
import type { MoRef, VimMethods } from '../vim25/types.ts';

const XSD = 'http://www.w3.org/2001/XMLSchema';
const VIM25 = 'urn:vim25';

/** The package knows the order of a declared type only: in a value of another one it writes the fields as they come. */
export const toArguments = (method: keyof VimMethods, on: MoRef, args: object): object => ({
  _this: fromMoRef(on),
  ...fromFields(methodParams(method) ?? new Map(), args),
});

const fromFields = (fields: Fields, value: object): Record<string, unknown> => {
  const given = value as Readonly<Record<string, unknown>>;
  const out: Record<string, unknown> = {};
  for (const [name, { type, list }] of fields) {
    const one = given[name];
    if (one === undefined || one === null) continue;
    out[name] = list ? (one as readonly unknown[]).map((item) => fromValue(type, item)) : fromValue(type, one);
  }
  return out;
};

const fromValue = (declared: string, value: unknown): unknown => {
  if (declared === 'anyType') return fromAny(value);
  if (declared === 'ManagedObjectReference') return fromMoRef(value as MoRef);
  if (typeof value !== 'object' || value === null) return looksWritten(plain(value)) ? content(plain(value)) : plain(value);
  const { $type = declared } = value as { readonly $type?: string };
  const fields = fromFields(typeFields($type) ?? new Map(), value);
  return $type === declared ? fields : { attributes: ownType($type), ...fields };
};

const ownType = (type: string): object => ({ xsi_type: { type, xmlns: VIM25, prefix: 'vim25' } });

/** The package's soap writes a text with these ends as it stands: what is between them would become elements of the request. */
const looksWritten = (text: string): boolean => text.startsWith('<![CDATA[') && text.endsWith(']]>');

const content = (text: string): object => (looksWritten(text) ? { $xml: escapeText(text, '') } : { $value: text });

const fromMoRef = ({ type, value }: MoRef, more: object = {}): object => {
  // It does so in attributes as well, where nothing helps; a server that calls its types like that is none.
  if (looksWritten(type)) throw new Error('no type of a managed object');
  return { attributes: { ...more, type }, ...content(value) };
};

const fromAny = (value: unknown): unknown => {
  if (Array.isArray(value)) return fromArray(value);
  if (typeof value === 'object' && value !== null) {
    const { $type } = value as { readonly $type?: string };
    if ($type !== undefined && typeFields($type)) return { attributes: ownType($type), ...fromFields(typeFields($type)!, value) };
    return fromMoRef(value as MoRef, ownType('ManagedObjectReference'));
  }
  return { attributes: { 'xsi:type': `xsd:${simpleTypeOf(value)}`, 'xmlns:xsd': XSD }, ...content(plain(value)) };
};

const fromArray = (values: readonly unknown[]): object => {
  const element = elementOf(values);
  return { attributes: ownType(arrayTypeOf(element)), [element]: values.map((value) => fromValue(element, value)) };
};
