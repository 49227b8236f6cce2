// Answers of the simulator taken apart and put together again: what is patched is replaced, everything else stays.
import { type Element, parseEnvelope, XSD } from '../../../adapters/lab/vsphere/soap.ts';
import { ENVELOPE_CLOSE, ENVELOPE_OPEN } from '../../../adapters/vsphere/vim25/encode.ts';

export type { Element };
export { parseEnvelope };

/** The one element that the text is. */
export const toElement = (xml: string): Element => parseEnvelope(`${ENVELOPE_OPEN}${xml}${ENVELOPE_CLOSE}`);

export const toEnvelope = (body: string): string => `${ENVELOPE_OPEN}${body}${ENVELOPE_CLOSE}`;

export const answerTo = (method: string, content: string): string =>
  toEnvelope(`<${method}Response xmlns="urn:vim25">${content}</${method}Response>`);

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#13;');

const attributesOf = ({ refType, type, nil }: Element): string => {
  const reference = refType === undefined ? '' : ` type="${escaped(refType)}"`;
  const own = type ? ` xsi:type="${type.space === XSD ? 'xsd:' : ''}${type.name}"` : '';
  return `${reference}${own}${nil ? ' xsi:nil="true"' : ''}`;
};

export const writeElement = (element: Element): string => {
  const { name, children, text } = element;
  const content = children.length > 0 ? children.map(writeElement).join('') : escaped(text);
  return `<${name}${attributesOf(element)}>${content}</${name}>`;
};

export const childrenOf = (element: Element, name: string): Element[] => element.children.filter((child) => child.name === name);

export const textOf = (element: Element, name: string): string => childrenOf(element, name)[0]?.text ?? '';
