// A vCenter of the test's own over HTTPS: it answers what a test tells it to, well or badly. It reads requests with a parser of its own.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import sax from 'sax';
import type { VsphereConfig } from '../../../../adapters/vsphere/port.ts';
import { type Certificate, makeCertificate } from './certificate.ts';

/** An element with all names resolved. */
export interface Element {
  readonly name: string;
  readonly space: string;
  /** `xsi:type` without its prefix. */
  readonly xsiType: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

export interface Request {
  readonly method: string;
  readonly body: Element;
  readonly headers: IncomingMessage['headers'];
  readonly envelope: string;
}

/** What is in the answer's element; or the whole answer; or what is done to the connection. */
export type Reply =
  | string
  | { readonly status?: number; readonly type?: string; readonly whole: string | Uint8Array; readonly chunkBytes?: number }
  | { readonly fault: string; readonly faultstring?: string }
  | { readonly cut: 'before' | 'during' }
  | { readonly stall: 'before' | 'during' };
export type Handler = (request: Request) => Reply | Promise<Reply>;

export const CONTENT =
  '<rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">propertyCollector</propertyCollector>' +
  '<about><name>VMware vCenter Server</name><fullName>Hostile</fullName><vendor>test</vendor><version>8.0.3</version><build>1</build>' +
  '<osType>linux-x64</osType><productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion></about>' +
  '<sessionManager type="SessionManager">SessionManager</sessionManager>';

export const envelope = (body: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n<soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`;

export const answered = (method: string, inner: string): string =>
  envelope(`<${method}Response xmlns="urn:vim25">${inner}</${method}Response>`);

export const escaped = (text: string): string => text.replace(/[&<>"\r]/g, (one) => `&#${one.charCodeAt(0)};`);

export const parse = (xml: string): Element => {
  const parser = sax.parser(true, { xmlns: true, strictEntities: true } as sax.SAXOptions);
  const root: Element = { name: '', space: '', xsiType: undefined, attributes: {}, children: [], text: '' };
  const open = [root];
  parser.onopentag = (tag) => {
    const { local: name, uri: space, attributes } = tag as sax.QualifiedTag;
    const xsi = Object.values(attributes).find(({ local, uri }) => local === 'type' && uri.endsWith('XMLSchema-instance'));
    const plain = Object.values(attributes).filter(({ prefix, local }) => prefix === '' && local !== 'xmlns');
    const element: Element = {
      ...{ name, space, xsiType: xsi?.value.split(':').at(-1), children: [], text: '' },
      attributes: Object.fromEntries(plain.map(({ local, value }) => [local, value])),
    };
    open.at(-1)!.children.push(element);
    open.push(element);
  };
  parser.onclosetag = () => void open.pop();
  parser.ontext = (text) => {
    open.at(-1)!.text += text;
  };
  parser.onerror = (error) => {
    throw error;
  };
  // XML 1.0, 2.11: what a real parser makes of line ends that are not escaped, and sax does not.
  parser.write(xml.replace(/\r\n?/g, '\n')).close();
  return root.children[0]!;
};

export const child = (element: Element, ...path: readonly string[]): Element => {
  let at = element;
  for (const name of path) {
    const found = at.children.find((one) => one.name === name);
    if (!found) throw new Error(`${at.name} has no ${name}`);
    at = found;
  }
  return at;
};

export class HostileServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #handlers = new Map<string, Handler>();
  #sessions = new Set<string>();
  readonly requests: Request[] = [];
  readonly password = 'p&<>"\'ä ]]>';
  /** Answers files; 404 unless told. */
  file: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.writeHead(404).end();
  /** False: a session is over as soon as it has begun. */
  sessionsLast = true;
  certificate: Certificate;

  private constructor(certificate: Certificate) {
    this.certificate = certificate;
    this.#server = createServer(
      { key: certificate.key, cert: certificate.cert },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', () => undefined);
  }

  static async start(certificate = makeCertificate()): Promise<HostileServer> {
    const server = new HostileServer(certificate);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get config(): VsphereConfig {
    return { address: this.address, username: 'dr@vsphere.local', password: this.password, pin: this.certificate.pin };
  }

  get openSessions(): number {
    return this.#sessions.size;
  }

  count(method: string): number {
    return this.requests.filter((request) => request.method === method).length;
  }

  on(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  expireSessions(): void {
    this.#sessions = new Set();
  }

  present(certificate: Certificate): void {
    this.certificate = certificate;
    this.#server.setSecureContext({ key: certificate.key, cert: certificate.cert });
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cutConnections();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    if (request.url !== '/sdk')
      return this.#sessions.has(cookieOf(request)) ? this.file(request, response) : void response.writeHead(401).end();
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString();
    const body = child(parse(text), 'Body').children[0]!;
    const asked: Request = { method: body.name, body, headers: request.headers, envelope: text };
    this.requests.push(asked);
    send(request, response, asked.method, await this.#reply(asked, cookieOf(request), response));
  }

  async #reply(request: Request, cookie: string, response: ServerResponse): Promise<Reply> {
    const { method, body } = request;
    const handler = this.#handlers.get(method);
    if (method === 'RetrieveServiceContent') return handler ? handler(request) : `<returnval>${CONTENT}</returnval>`;
    if (method === 'Login') return handler ? handler(request) : this.#login(body, response);
    if (!this.#sessions.has(cookie))
      return { fault: '<NotAuthenticatedFault xsi:type="NotAuthenticated"><privilegeId>System.View</privilegeId></NotAuthenticatedFault>' };
    if (method === 'Logout') this.#sessions.delete(cookie);
    if (handler) return handler(request);
    return method === 'CurrentTime' ? '<returnval>2026-01-02T03:04:05Z</returnval>' : '';
  }

  #login(body: Element, response: ServerResponse): Reply {
    if (child(body, 'password').text !== this.password) return { fault: '<InvalidLoginFault xsi:type="InvalidLogin"/>' };
    const key = `session-${this.requests.length}`;
    const cookie = `vmware_soap_session="${key}"`;
    if (this.sessionsLast) this.#sessions.add(cookie);
    response.setHeader('set-cookie', `${cookie}; Path=/; HttpOnly; Secure`);
    return `<returnval><key>${key}</key><userName>dr</userName><fullName>dr</fullName><loginTime>2026-01-02T03:04:05Z</loginTime><lastActiveTime>2026-01-02T03:04:05Z</lastActiveTime><locale>en</locale><messageLocale>en</messageLocale></returnval>`;
  }
}

const cookieOf = (request: IncomingMessage): string => request.headers.cookie ?? '';

const send = (request: IncomingMessage, response: ServerResponse, method: string, reply: Reply): void => {
  if (typeof reply === 'string') sendWhole(response, 200, answered(method, reply));
  else if ('fault' in reply) {
    const detail = `<faultcode>ServerFaultCode</faultcode><faultstring>${reply.faultstring ?? ''}</faultstring><detail>${reply.fault}</detail>`;
    sendWhole(response, 500, envelope(`<soapenv:Fault>${detail}</soapenv:Fault>`));
  } else if ('whole' in reply) sendWhole(response, reply.status ?? 200, reply.whole, reply);
  else {
    const cut = () => 'cut' in reply && request.socket.destroy();
    if (('cut' in reply ? reply.cut : reply.stall) === 'before') return void cut();
    response.writeHead(200, { 'content-type': 'text/xml' });
    response.write(answered(method, '<returnval>').slice(0, -40), cut);
  }
};

const sendWhole = (
  response: ServerResponse,
  status: number,
  whole: string | Uint8Array,
  { type = 'text/xml; charset="utf-8"', chunkBytes }: { readonly type?: string; readonly chunkBytes?: number } = {},
): void => {
  response.writeHead(status, { 'content-type': type });
  const bytes = Buffer.from(whole);
  for (let at = 0; chunkBytes !== undefined && at < bytes.length; at += chunkBytes) response.write(bytes.subarray(at, at + chunkBytes));
  response.end(chunkBytes === undefined ? bytes : undefined);
};
