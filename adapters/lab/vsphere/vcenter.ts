// A simulated vCenter over one endpoint of the estate: HTTP, sessions and the way of each call. Nothing here knows whose client it is that speaks.
import { DrError, isDrError } from '../../../core/contract/index.ts';
import { makeWsdl } from '../../vsphere/node-vsphere-soap/wsdl.ts';
import type { MoRef, WireAnswer, WireRequest } from '../../vsphere/port.ts';
import { ENVELOPE_CLOSE, ENVELOPE_OPEN, encodeElement } from '../../vsphere/vim25/encode.ts';
import { methodPrivilege, methodReturns } from '../../vsphere/vim25/schema.ts';
import type { Asked, Connection, Gate } from '../gate.ts';
import type { InjectedError } from '../model.ts';
import type { EndpointRecord } from '../records.ts';
import { Events } from './events.ts';
import { asVimFault, faultEnvelope, faultOf, vimFault } from './fault-answers.ts';
import { answer, guarded, HttpError, httpErrorOf, nothing, textOf } from './http.ts';
import { descendants, exists, inventoryProperty, nameOf } from './inventory.ts';
import { type OwnContext, ownHandlers } from './methods.ts';
import { type PropertySource, type VimContext, VimFaultError, type VimHandlers } from './model.ts';
import { notFound } from './objects.ts';
import type { At } from './placement.ts';
import { EncodedAnswer } from './retrieval.ts';
import { serviceContent } from './service.ts';
import { SessionObjects, type SessionWorld } from './session-objects.ts';
import { cookieOf, describeSession, Sessions } from './sessions.ts';
import { parseEnvelope } from './soap.ts';
import { type Call, readCall } from './strict.ts';
import { machinesIn } from './subjects.ts';
import { Tasks } from './tasks.ts';

/** What is done about machines and files. */
export interface VcenterParts {
  readonly handlers: VimHandlers;
  /** By type of managed object. */
  readonly properties: Readonly<Record<string, PropertySource>>;
  /** Objects that are neither in the inventory nor of a session. */
  readonly exists: (at: At, on: MoRef) => boolean;
  readonly handleFile: (context: VimContext, request: WireRequest) => WireAnswer | Promise<WireAnswer>;
}

interface Passing {
  readonly connection: Connection;
  readonly signal: AbortSignal;
  readonly cookie: string | undefined;
  readonly userAgent: string;
  newCookie?: string;
}

const VERSIONS = `<?xml version="1.0" encoding="UTF-8"?><namespaces version="1.0"><namespace><name>urn:vim25</name><version>8.0.3.0</version><priorVersions>${['8.0.2.0', '8.0.1.0', '8.0.0.0', '7.0.3.0', '7.0', '6.7', '6.5', '6.0', '5.5'].map((version) => `<version>${version}</version>`).join('')}</priorVersions></namespace></namespaces>`;

export class Vcenter {
  readonly endpoint: EndpointRecord;
  readonly #gate: Gate;
  readonly #parts: VcenterParts;
  readonly #at: At;
  readonly #sessions: Sessions;
  readonly #tasks: Tasks;
  readonly #events: Events;
  readonly #objects = new Map<string, SessionObjects>();
  readonly #anonymous: SessionObjects;

  constructor(gate: Gate, endpoint: EndpointRecord, parts: VcenterParts) {
    const { estate } = gate;
    this.endpoint = endpoint;
    this.#gate = gate;
    this.#parts = parts;
    this.#at = { estate, endpoint };
    this.#sessions = new Sessions(estate, endpoint, (key) => this.#endSession(key));
    this.#tasks = new Tasks(estate, (changed) => this.#touch(changed));
    this.#events = new Events(this.#at);
    this.#anonymous = new SessionObjects('', this.#worldOf(undefined), estate.timeline);
    this.#follow();
  }

  /** Rejects with a Reach error where a real server's connection would break, or with the reason of the request's signal. */
  async handle(request: WireRequest): Promise<WireAnswer> {
    request.signal?.throwIfAborted();
    const { timeline } = this.#gate.estate;
    timeline.noteActivity();
    const connection = this.connect();
    const signal = request.signal ? AbortSignal.any([connection.ended, request.signal]) : connection.ended;
    const cookie = cookieOf(request.headers['cookie']);
    const passing: Passing = { connection, signal, cookie, userAgent: request.headers['user-agent'] ?? '' };
    try {
      const given = await raced(this.#route(request, passing), signal);
      const close = () => this.#gate.disconnect(connection);
      if (request.method === 'HEAD') close();
      const body = request.method === 'HEAD' ? nothing() : guarded(given.body, signal, close);
      return { ...given, setCookies: cookiesOf(passing), body };
    } catch (error) {
      this.#gate.disconnect(connection);
      request.signal?.throwIfAborted();
      throw error;
    }
  }

  /** A connection that is dropped with those of the endpoint. */
  connect(onCut?: () => void): Connection {
    return this.#gate.connect(onCut, [this.endpoint.name]);
  }

  disconnect(connection: Connection): void {
    this.#gate.disconnect(connection);
  }

  /** As when its service starts anew: sessions, tasks that have ended and every connection are gone. */
  restart(): void {
    this.#gate.cutAll(this.endpoint.name);
    this.#sessions.closeAll();
    this.#tasks.forget();
  }

  #follow(): void {
    const { changed, machines, endpoints } = this.#gate.estate;
    changed.on('machine', (id) => {
      const machine = machines.get(id);
      if (machine && machine.endpoint !== this.endpoint.name) return;
      if (machine) this.#events.note(machine);
      this.#touch({ type: 'VirtualMachine', value: id });
    });
    changed.on('any', () => this.#touch(undefined));
    changed.on('unreachable', (site) => {
      if (endpoints.get(this.endpoint.name)?.site === site) this.#gate.cutAll(this.endpoint.name);
    });
  }

  #touch(changed: MoRef | undefined): void {
    for (const objects of this.#objects.values()) objects.touch(changed);
  }

  #endSession(key: string): void {
    this.#objects
      .get(key)
      ?.end(vimFault('NotAuthenticated', { object: serviceContent(this.endpoint).rootFolder, privilegeId: 'System.View' }));
    this.#objects.delete(key);
  }

  async #route(request: WireRequest, passing: Passing): Promise<WireAnswer> {
    const { pathname } = new URL(request.url, 'https://vcenter.invalid');
    try {
      const silence = this.#gate.assertReachable(this.endpoint.name, passing);
      if (silence) await silence;
      // Below it too: node-vsphere-soap calls where it found the WSDL, /sdk/vimService.wsdl.
      if (pathname === '/sdk' || (pathname.startsWith('/sdk/') && request.method === 'POST')) return await this.#soap(request, passing);
      if (pathname === '/sdk/vimServiceVersions.xml') return answer(200, VERSIONS, 'text/xml');
      if (pathname === '/sdk/vimService.wsdl') return answer(200, wsdlFor(request.headers['host']), 'text/xml');
      if (pathname.startsWith('/folder') || pathname.startsWith('/nfc/')) return await this.#file(request, passing, pathname);
      return answer(404, 'not found', 'text/plain');
    } catch (error) {
      if (error instanceof HttpError) return answer(error.status, error.message, 'text/plain');
      throw error;
    }
  }

  async #soap(request: WireRequest, passing: Passing): Promise<WireAnswer> {
    if (request.method !== 'POST') return answer(405, 'only POST is understood here', 'text/plain');
    let call: Call | undefined;
    try {
      call = this.#parse(request);
      return answer(200, await this.#call(call, passing), 'text/xml; charset=utf-8');
    } catch (error) {
      if (error instanceof HttpError || isDrError(error, 'CONNECTION_LOST', 'CONNECTION_REFUSED') || passing.signal.aborted) throw error;
      return answer(500, faultEnvelope(asVimFault(error), call?.on ?? serviceContent(this.endpoint).rootFolder), 'text/xml; charset=utf-8');
    }
  }

  #parse(request: WireRequest): Call {
    return readCall(parseEnvelope(textOf(request.body)));
  }

  async #call(call: Call, passing: Passing): Promise<string> {
    const { method } = call;
    const { connection, signal, cookie } = passing;
    this.#sessions.enter(cookie);
    try {
      const toError = (act: InjectedError) => this.#errorOf(act, call, cookie);
      const gateCall = {
        connection,
        method: `vim.${method}`,
        endpoint: this.endpoint.name,
        args: { machines: machinesIn(this.#at, call) },
        signal,
        toError,
      };
      const result = await this.#gate.pass({ ...gateCall, startsTask: method.endsWith('_Task') }, (asked) =>
        this.#run(call, asked, passing),
      );
      return `${ENVELOPE_OPEN}<${method}Response xmlns="urn:vim25">${encodeResult(method, result)}</${method}Response>${ENVELOPE_CLOSE}`;
    } finally {
      this.#sessions.leave(cookie);
    }
  }

  async #run(call: Call, asked: Asked, passing: Passing): Promise<unknown> {
    const { method, on, args } = call;
    const session = this.#sessions.find(passing.cookie);
    const privilege = methodPrivilege(method);
    if (privilege !== 'System.Anonymous' && !session)
      throw vimFault('NotAuthenticated', { object: on, privilegeId: privilege ?? 'System.View' });
    const objects = session ? this.#objectsOf(session.key) : this.#anonymous;
    if (!objects.has(on) && !this.#exists(on)) notFound(on);
    const context = this.#contextFor(asked, passing);
    if (privilege !== undefined && privilege !== 'System.Anonymous') context.requirePrivilege(privilege, on);
    const own = (ownHandlers as Readonly<Record<string, ((context: OwnContext, on: MoRef, args: object) => unknown) | undefined>>)[method];
    if (own) return own(this.#ownContext(context, objects, passing), on, args);
    const handler = (
      this.#parts.handlers as Readonly<Record<string, ((context: VimContext, on: MoRef, args: object) => unknown) | undefined>>
    )[method];
    if (!handler) throw vimFault('NotSupported');
    return handler(context, on, args);
  }

  #contextFor({ lies, stall, taskError }: Asked, { cookie, signal }: Pick<Passing, 'cookie' | 'signal'>): VimContext {
    const session = this.#sessions.find(cookie);
    return {
      ...this.#at,
      session,
      lies,
      signal,
      startTask: (descriptionId, entity, work) =>
        this.#tasks.start({
          ...{ descriptionId, entity, work, stall },
          entityName: nameOf(this.#at, entity),
          userName: session?.userName ?? '',
          error: taskError,
        }),
      runningTask: (entity) => this.#tasks.running(entity),
      requirePrivilege: (privilege, object) => {
        if (this.#lacks(privilege)) throw vimFault('NoPermission', { object, privilegeId: privilege });
      },
    };
  }

  #ownContext(context: VimContext, objects: SessionObjects, passing: Passing): OwnContext {
    const { session, signal, requirePrivilege } = context;
    return {
      ...this.#at,
      ...{ session, signal, objects, requirePrivilege },
      userAgent: passing.userAgent,
      sessions: this.#sessions,
      tasks: this.#tasks,
      events: this.#events,
      setCookie: (cookie) => {
        passing.newCookie = cookie;
      },
      overload: () => new HttpError(503, 'the maximum number of sessions is reached'),
    };
  }

  #lacks(privilege: string): boolean {
    return this.endpoint.vsphere?.missingPrivileges.includes(privilege) ?? false;
  }

  #objectsOf(key: string): SessionObjects {
    const known = this.#objects.get(key);
    if (known) return known;
    const made = new SessionObjects(key, this.#worldOf(key), this.#gate.estate.timeline);
    this.#objects.set(key, made);
    return made;
  }

  /** Without a session an object can be named, and nothing of it seen: the refusal stands beside each property, as a vCenter gives it. */
  #worldOf(key: string | undefined): SessionWorld {
    const refuses = (on: MoRef, path: string): VimFaultError | undefined => {
      if (on.type === 'ServiceInstance') return undefined;
      if (key === undefined) return vimFault('NotAuthenticated', { object: on, privilegeId: 'System.View' });
      const needed = ['System.View', 'System.Read', ...(path === 'sessionList' ? ['Sessions.TerminateSession'] : [])];
      const missing = needed.find((privilege) => this.#lacks(privilege));
      return missing === undefined ? undefined : vimFault('NoPermission', { object: on, privilegeId: missing });
    };
    return {
      refuses,
      read: (on, property) => this.#read(on, property, key),
      exists: (on) => {
        if (this.#exists(on)) return true;
        // What belongs to a session that is over is not there, but that is not what the client is told.
        if (key === undefined) throw vimFault('NotAuthenticated', { object: on, privilegeId: 'System.View' });
        return false;
      },
      below: (container, recursive) => descendants(this.#at, container, recursive),
    };
  }

  #exists(on: MoRef): boolean {
    return exists(this.#at, on) || this.#tasks.has(on) || this.#parts.exists(this.#at, on);
  }

  #read(on: MoRef, property: string, key: string | undefined): unknown {
    const { timeline } = this.#gate.estate;
    if (on.type === 'Task') return property === 'info' ? this.#tasks.info(on) : inventoryProperty(this.#at, on, property);
    if (property === 'recentTask') return this.#tasks.recent(on.type === 'TaskManager' ? undefined : on);
    if (on.type === 'ServiceInstance' && property === 'content') return serviceContent(this.endpoint);
    if (on.type === 'ServiceInstance' && property === 'serverClock') return new Date(timeline.now()).toISOString();
    if (on.type === 'SessionManager' && property === 'sessionList') return this.#sessions.list().map(describeSession);
    if (on.type === 'SessionManager' && property === 'currentSession') {
      const own = this.#sessions.list().find((session) => session.key === key);
      return own && describeSession(own);
    }
    return this.#parts.properties[on.type]?.(this.#at, on, property) ?? inventoryProperty(this.#at, on, property);
  }

  async #file(request: WireRequest, passing: Passing, pathname: string): Promise<WireAnswer> {
    const { connection, signal, cookie } = passing;
    if (pathname.startsWith('/folder') && !this.#sessions.find(cookie)) throw new HttpError(401, 'the session is not authenticated');
    const toError = (act: InjectedError) => httpErrorOf(act, request.method);
    const call = { connection, method: `vim.${request.method}`, endpoint: this.endpoint.name, args: { path: pathname }, signal, toError };
    this.#sessions.enter(cookie);
    try {
      return await this.#gate.pass(call, (asked) => this.#parts.handleFile(this.#contextFor(asked, passing), request));
    } catch (error) {
      if (error instanceof VimFaultError) throw new HttpError(error.type === 'NoPermission' ? 403 : 500, error.message);
      throw error;
    } finally {
      this.#sessions.leave(cookie);
    }
  }

  /** HTTP statuses and broken connections are what a busy or dying vCenter gives; all else is a fault. */
  #errorOf(act: InjectedError, { method, on }: Call, cookie: string | undefined): Error {
    if ('error' in act && act.error === 'HOST_BUSY') return new HttpError(503, act.message ?? 'service unavailable');
    if ('error' in act && (act.error === 'CONNECTION_LOST' || act.error === 'CONNECTION_REFUSED'))
      return new DrError('CONNECTION_LOST', act.message ?? `the connection was lost during ${method}`, { context: { method } });
    const fault = faultOf(act, method, on);
    const session = fault.type === 'NotAuthenticated' ? this.#sessions.find(cookie) : undefined;
    if (session) this.#sessions.close(session.key);
    return fault;
  }
}

/** Of our part of the schema. Clients that read it call the address that it gives. */
const wsdlFor = (host: string | undefined): string =>
  makeWsdl().replace(/location="[^"]*"/, `location="https://${host ?? 'vcenter.invalid'}/sdk"`);

const raced = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });

const cookiesOf = ({ newCookie }: Passing): string[] =>
  newCookie === undefined ? [] : [`vmware_soap_session="${newCookie}"; Path=/; HttpOnly; Secure`];

const encodeResult = (method: string, result: unknown): string => {
  if (result instanceof EncodedAnswer) return result.xml;
  const returns = methodReturns(method);
  if (!returns || result === undefined) return '';
  const all = returns.list ? (result as readonly unknown[]) : [result];
  return all.map((one) => encodeElement('returnval', returns.type, one)).join('');
};
