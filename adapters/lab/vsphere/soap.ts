// A request as a tree of elements, before anything is known of its meaning.
import sax from 'sax';
import { VimFaultError } from './model.ts';

export interface Element {
  /** Without its prefix. */
  readonly name: string;
  readonly space: string;
  /** Of a reference to a managed object: its type. */
  readonly refType?: string;
  /** `xsi:type`, its prefix resolved. */
  readonly type?: { readonly name: string; readonly space: string };
  readonly nil: boolean;
  readonly children: Element[];
  text: string;
  /** Where it begins, for the answer to a request that is wrong. */
  readonly column: number;
}

export const XSD = 'http://www.w3.org/2001/XMLSchema';
const XSI = 'http://www.w3.org/2001/XMLSchema-instance';
const SOAP = 'http://schemas.xmlsoap.org/soap/envelope/';
const MOST_DEPTH = 256;

export const invalidRequest = (message: string): VimFaultError => new VimFaultError('InvalidRequest', message);

type Scope = ReadonlyMap<string, string>;

/** The element in the body of the envelope. Throws InvalidRequest. */
export const parseEnvelope = (xml: string): Element => {
  const envelope = parseXml(xml);
  if (envelope.name !== 'Envelope' || envelope.space !== SOAP)
    throw invalidRequest('Unexpected element tag seen while parsing SOAP envelope');
  const body = envelope.children.find((child) => child.name === 'Body' && child.space === SOAP);
  const [call, second] = body?.children ?? [];
  if (!call || second) throw invalidRequest('The SOAP body must hold exactly one call\n\nwhile parsing SOAP body');
  return call;
};

const parseXml = (xml: string): Element => {
  const parser = sax.parser(true, { strictEntities: true } as sax.SAXOptions);
  const scopes: Scope[] = [new Map()];
  const open: Element[] = [];
  let root: Element | undefined;
  const fail = (why: string): never => {
    throw invalidRequest(`Error returned by expat parser: ${why}\n\nwhile parsing SOAP envelope`);
  };
  parser.onerror = (error) => fail(error.message.split('\n', 1)[0]!);
  parser.ondoctype = () => fail('a document type is not allowed');
  parser.onopentag = (tag) => {
    const scope = scopeOf(tag as sax.Tag, scopes.at(-1)!);
    scopes.push(scope);
    const element = elementOf(tag as sax.Tag, scope, parser.startTagPosition);
    if (open.length >= MOST_DEPTH) fail('it nests too deep');
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  };
  parser.onclosetag = () => {
    open.pop();
    scopes.pop();
  };
  const onText = (text: string) => {
    const element = open.at(-1);
    if (element) element.text += text;
  };
  parser.ontext = onText;
  parser.oncdata = onText;
  parser.write(xml).close();
  return root ?? fail('no element found');
};

const scopeOf = (tag: sax.Tag, above: Scope): Scope => {
  const own = Object.entries(tag.attributes).filter(([name]) => name === 'xmlns' || name.startsWith('xmlns:'));
  if (own.length === 0) return above;
  return new Map([...above, ...own.map(([name, value]): [string, string] => [name === 'xmlns' ? '' : name.slice(6), value])]);
};

const resolve = (name: string, scope: Scope): { name: string; space: string } => {
  const colon = name.indexOf(':');
  return { name: name.slice(colon + 1), space: scope.get(colon < 0 ? '' : name.slice(0, colon)) ?? '' };
};

const elementOf = (tag: sax.Tag, scope: Scope, column: number): Element => {
  let type: Element['type'];
  let refType: string | undefined;
  let nil = false;
  for (const [key, value] of Object.entries(tag.attributes)) {
    if (key === 'type') refType = value;
    if (!key.includes(':')) continue;
    const { name, space } = resolve(key, scope);
    if (space !== XSI) continue;
    if (name === 'type') type = resolve(value.trim(), scope);
    if (name === 'nil') nil = value === 'true' || value === '1';
  }
  return {
    ...resolve(tag.name, scope),
    ...(type ? { type } : {}),
    ...(refType === undefined ? {} : { refType }),
    nil,
    children: [],
    text: '',
    column,
  };
};
