// A request's elements into values, by the vendor's schema and as strictly as a vCenter reads them: in order, complete, nothing else.
// Independent of our client's encoder: what both had wrong in the same way would never be seen.
import type { MoRef } from '../../vsphere/port.ts';
import {
  type Declared,
  enumValues,
  type Fields,
  isKindOf,
  isObjectOf,
  isType,
  methodParams,
  methodTargets,
  parseDeclared,
  typeFields,
} from '../../vsphere/vim25/schema.ts';
import { VimFaultError } from './model.ts';
import { SERVICE_INSTANCE } from './objects.ts';
import { type Element, invalidRequest, XSD } from './soap.ts';

export interface Call {
  readonly method: string;
  readonly on: MoRef;
  readonly args: Readonly<Record<string, unknown>>;
}

const VIM = 'urn:vim25';

/** Types that are bases only: a value must say which of their kinds it is. */
const ABSTRACT = new Set([
  ...['VirtualDevice', 'VirtualController', 'VirtualSCSIController', 'VirtualEthernetCard', 'VirtualDeviceBackingInfo'],
  ...['VirtualDeviceFileBackingInfo', 'VirtualDeviceDeviceBackingInfo', 'VirtualDeviceRemoteDeviceBackingInfo'],
  ...['CustomizationIdentitySettings', 'CustomizationIpGenerator', 'CustomizationIpV6Generator', 'CustomizationName'],
  ...['CustomizationOptions', 'ImportSpec', 'MethodFault', 'VirtualMachineProfileSpec'],
]);

/** The element of the body as a call. Throws InvalidRequest, InvalidType or MethodNotFound. */
export const readCall = (element: Element): Call => {
  const { name: method, space, children } = element;
  const params = space === VIM ? methodParams(method) : undefined;
  if (!params) throw invalidRequest(`Unable to resolve WSDL method name "${method}" using namespace "${space}"\n\nwhile parsing SOAP body`);
  const during = `while parsing call information for method ${method}\nat line 1, column ${element.column}\n\nwhile parsing SOAP body`;
  const [first, ...rest] = children;
  if (first?.name !== '_this') throw invalidRequest(`Required parameter _this is missing\n\n${during}`);
  const on = readThis(first);
  if (!methodTargets(method).some((target) => isManaged(on.type, target)))
    throw new VimFaultError('MethodNotFound', `The method ${method} is not found on the type vim.${on.type}`, { receiver: on, method });
  return { method, on, args: readFields(rest, params, { kind: 'parameter', of: method, during }) };
};

/** node-vsphere-soap sends the first `_this` as bare text, which a vCenter is reported to take: nothing else than the service instance goes so. */
const readThis = (element: Element): MoRef => {
  if (element.refType === undefined && element.text.trim() === SERVICE_INSTANCE.value) return SERVICE_INSTANCE;
  return readMoRef(element);
};

/** `View` itself is not in the schema: all there is below it are views of managed objects. */
const isManaged = (type: string, target: string): boolean => isObjectOf(type, target === 'View' ? 'ManagedObjectView' : target);

interface Within {
  readonly kind: 'parameter' | 'property';
  readonly of: string;
  readonly during: string;
}

const missingText = (name: string, { kind, of, during }: Within): string =>
  kind === 'parameter'
    ? `Required parameter ${name} is missing\n\n${during}`
    : `Required property ${name} is missing from data object of type ${of}\n\n${during}`;

const readFields = (elements: readonly Element[], fields: Fields, within: Within): Record<string, unknown> => {
  const value: Record<string, unknown> = {};
  let at = 0;
  for (const [name, declared] of fields) {
    const own: Element[] = [];
    while (elements[at]?.name === name && (declared.list || own.length === 0)) own.push(elements[at++]!);
    const given = own.filter((element) => !element.nil);
    if (given.length > 0) {
      const values = given.map((element) => readValue(element, declared, within));
      value[name] = declared.list ? values : values[0];
      continue;
    }
    if (declared.list || declared.optional) {
      if (declared.list && !declared.optional) value[name] = [];
      continue;
    }
    assertKnown(elements[at], fields, within);
    throw invalidRequest(missingText(name, within));
  }
  const left = elements[at];
  if (!left) return value;
  assertKnown(left, fields, within);
  // A vCenter names the one before, not the one that came too late.
  throw invalidRequest(missingText(elements[at - 1]?.name ?? left.name, within));
};

const assertKnown = (element: Element | undefined, fields: Fields, { during }: Within): void => {
  if (element && !fields.has(element.name)) throw invalidRequest(`Unexpected element tag "${element.name}" seen\n\n${during}`);
};

const readValue = (element: Element, declared: Declared, within: Within): unknown => {
  const during = `while parsing property "${element.name}" of static type ${declared.type}\nat line 1, column ${element.column}\n\n${within.during}`;
  if (declared.type === 'anyType') return readAny(element, during);
  return readTyped(element, declared.type, during);
};

const readTyped = (element: Element, declared: string, during: string): unknown => {
  if (declared === 'ManagedObjectReference') return readMoRef(element);
  if (enumValues(declared) || isScalar(declared)) return readScalar(element, declared, during);
  return readObject(element, declared, during);
};

const readMoRef = (element: Element): MoRef => {
  if (element.refType === undefined || element.refType === '')
    throw invalidRequest(`Missing type attribute of the reference "${element.text}"\n\nat line 1, column ${element.column}`);
  if (element.children.length > 0) throw invalidRequest(`Unexpected element tag "${element.children[0]!.name}" seen in a reference`);
  return { type: element.refType, value: element.text.trim() };
};

const readObject = (element: Element, declared: string, during: string): object => {
  const named = element.type;
  if (named && (named.space !== VIM || !isType(named.name))) throw invalidType(`Unable to resolve WSDL type name "${named.name}"`, during);
  const type = named?.name ?? declared;
  const fields = typeFields(type);
  if (!fields) throw invalidType(`Unable to resolve WSDL type name "${type}"`, during);
  if (!isKindOf(type, declared)) throw invalidType(`The type ${type} is not a subtype of ${declared}`, during);
  if (ABSTRACT.has(type)) throw invalidType(`Unable to instantiate the abstract type ${type}`, during);
  if (element.text.trim() !== '') throw invalidRequest(`Unexpected text seen\n\n${during}`);
  const within: Within = {
    kind: 'property',
    of: type,
    during: `while parsing serialized DataObject of type ${type}\nat line 1, column ${element.column}\n\n${during}`,
  };
  const value = readFields(element.children, fields, within);
  return named ? { ...value, $type: type } : value;
};

/** Where anything may stand, what stands there must say what it is. */
const readAny = (element: Element, during: string): unknown => {
  const { type } = element;
  if (!type) throw invalidType('The type of a value of static type anyType is not given', during);
  if (type.space === XSD) return readScalar(element, type.name, during);
  if (type.name === 'ManagedObjectReference') return readMoRef(element);
  if (!type.name.startsWith('ArrayOf')) return readObject(element, type.name, during);
  const item = parseDeclared(itemOf(type.name));
  return element.children.map((child) => readValue(child, item, { kind: 'property', of: type.name, during }));
};

const itemOf = (array: string): string => {
  const name = array.slice('ArrayOf'.length);
  const simple = name.charAt(0).toLowerCase() + name.slice(1);
  return isScalar(simple) ? simple : name;
};

const invalidType = (message: string, during: string): VimFaultError => new VimFaultError('InvalidType', `${message}\n\n${during}`);

type Reader = (text: string) => unknown;

const whole =
  (bits: bigint): Reader =>
  (text) => {
    if (!/^[+-]?\d+$/.test(text)) return undefined;
    const number = BigInt(text);
    if (number < -(2n ** (bits - 1n)) || number >= 2n ** (bits - 1n)) return undefined;
    return Number.isSafeInteger(Number(number)) ? Number(number) : number;
  };

const matching =
  (pattern: RegExp, convert: Reader = (text) => text): Reader =>
  (text) =>
    pattern.test(text) ? convert(text) : undefined;

const SCALARS: Readonly<Record<string, Reader>> = {
  string: (text) => text,
  anyURI: (text) => text,
  boolean: matching(/^(true|false|0|1)$/, (text) => text === 'true' || text === '1'),
  byte: whole(8n),
  short: whole(16n),
  int: whole(32n),
  long: whole(64n),
  float: matching(/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/, Number),
  double: matching(/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/, Number),
  dateTime: matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$/),
  base64Binary: matching(/^[A-Za-z0-9+/\s]*={0,2}$/),
};

const isScalar = (type: string): boolean => Object.hasOwn(SCALARS, type);

const readScalar = (element: Element, type: string, during: string): unknown => {
  if (element.children.length > 0) throw invalidRequest(`Unexpected element tag "${element.children[0]!.name}" seen\n\n${during}`);
  const values = enumValues(type);
  const read = isScalar(type) ? SCALARS[type] : undefined;
  const text = type === 'string' ? element.text : element.text.trim();
  const value = values ? (values.includes(text) ? text : undefined) : read?.(text);
  if (value === undefined) throw invalidRequest(`Unable to parse "${text}" as a value of type ${type}\n\n${during}`);
  return value;
};
