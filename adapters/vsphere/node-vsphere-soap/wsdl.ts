// The WSDL that the package cannot do without, made from our part of the schema. A vCenter has its own, of 2.4 MB, but simulators have none.
import {
  allMethods,
  allTypes,
  type Declared,
  enumValues,
  isType,
  methodParams,
  methodReturns,
  ownFields,
  typeBase,
} from '../vim25/schema.ts';

const XSD = new Set([
  'string',
  'anyURI',
  'dateTime',
  'base64Binary',
  'int',
  'short',
  'byte',
  'long',
  'float',
  'double',
  'boolean',
  'anyType',
]);

const nameOf = (type: string): string => {
  if (XSD.has(type)) return `xsd:${type}`;
  // The package knows an enumeration by nothing but its text.
  if (enumValues(type)) return 'xsd:string';
  // Types that nobody here sends are not all in the schema.
  return isType(type) || type === 'ManagedObjectReference' ? `vim25:${type}` : 'xsd:anyType';
};

const element = ([name, { type, list, optional }]: [string, Declared]): string =>
  `<element name="${name}" type="${nameOf(type)}"${optional || list ? ' minOccurs="0"' : ''}${list ? ' maxOccurs="unbounded"' : ''}/>`;

const sequence = (fields: Iterable<[string, Declared]>): string => `<sequence>${[...fields].map(element).join('')}</sequence>`;

const complexType = (name: string): string => {
  const base = typeBase(name);
  const body = sequence(ownFields(name));
  const content = base === undefined ? body : `<complexContent><extension base="vim25:${base}">${body}</extension></complexContent>`;
  return `<complexType name="${name}">${content}</complexType>`;
};

const THIS: [string, Declared] = ['_this', { type: 'ManagedObjectReference', list: false, optional: false }];

const messages = (method: string): string => {
  const returns = methodReturns(method);
  const answer: [string, Declared][] = returns ? [['returnval', returns]] : [];
  return `<element name="${method}"><complexType>${sequence([THIS, ...(methodParams(method) ?? [])])}</complexType></element>
<element name="${method}Response"><complexType>${sequence(answer)}</complexType></element>`;
};

const REFERENCE =
  '<complexType name="ManagedObjectReference"><simpleContent><extension base="xsd:string"><attribute name="type" type="xsd:string"/></extension></simpleContent></complexType>';

/** Service and port have the names that the package asks for. */
export const makeWsdl = (): string => {
  const methods = allMethods();
  const each = (make: (method: string) => string): string => methods.map(make).join('\n');
  return `<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="urn:vim25" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:vim25="urn:vim25" xmlns:xsd="http://www.w3.org/2001/XMLSchema">
<types><schema targetNamespace="urn:vim25" xmlns="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
${REFERENCE}
${allTypes().map(complexType).join('\n')}
${each(messages)}
</schema></types>
${each((method) => `<message name="${method}RequestMsg"><part name="parameters" element="vim25:${method}"/></message><message name="${method}ResponseMsg"><part name="parameters" element="vim25:${method}Response"/></message>`)}
<portType name="VimPortType">${each((method) => `<operation name="${method}"><input message="vim25:${method}RequestMsg"/><output message="vim25:${method}ResponseMsg"/></operation>`)}</portType>
<binding name="VimBinding" type="vim25:VimPortType"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
${each((method) => `<operation name="${method}"><soap:operation soapAction="urn:vim25" style="document"/><input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>`)}</binding>
<service name="VimService"><port name="VimPort" binding="vim25:VimBinding"><soap:address location="https://vsphere.invalid/sdk"/></port></service>
</definitions>
`;
};
