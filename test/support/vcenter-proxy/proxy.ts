// In front of the simulator of govmomi, in the same process as the client: what the simulator does well goes through unchanged, the rest is had from the model.
import { type Asked, type Connection, lost } from '../../../adapters/lab/gate.ts';
import type { InjectedError } from '../../../adapters/lab/model.ts';
import type { Timeline } from '../../../adapters/lab/timeline.ts';
import { faultEnvelope, faultOf } from '../../../adapters/lab/vsphere/fault-answers.ts';
import { answer } from '../../../adapters/lab/vsphere/http.ts';
import { VimFaultError } from '../../../adapters/lab/vsphere/model.ts';
import { SERVICE_INSTANCE } from '../../../adapters/lab/vsphere/objects.ts';
import { type Call, readCall } from '../../../adapters/lab/vsphere/strict.ts';
import { vmRef, vmsOf } from '../../../adapters/lab/vsphere/vms.ts';
import type { MoRef, OpenWire, TaskInfo, Wire, WireAnswer, WireRequest } from '../../../adapters/vsphere/port.ts';
import { SoapReader } from '../../../adapters/vsphere/vim25/decode.ts';
import { encodeRequest } from '../../../adapters/vsphere/vim25/encode.ts';
import { DrError } from '../../../core/contract/index.ts';
import type { Vim } from '../vim.ts';
import { parseEnvelope } from './elements.ts';
import { bringLevel } from './level.ts';
import { Looking } from './looking.ts';
import { RULES } from './rules.ts';
import type { Host, Reply, Step } from './step.ts';
import type { Twin } from './twin.ts';

export interface ProxyParts {
  readonly twin: Twin;
  readonly own: Vim;
  /** To the simulator, for the clients' calls. */
  readonly upstream: Wire;
  readonly hosts: readonly Host[];
}

export class VcenterProxy {
  readonly #parts: ProxyParts;
  readonly #looking: Looking;
  /** Calls that change something, or look at both sides, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #working = new Set<Promise<unknown>>();
  /** Of the following beside the calls: told with the next call. */
  #failure: unknown;

  constructor(parts: ProxyParts) {
    this.#parts = parts;
    this.#looking = new Looking(parts.twin);
    const pending = new Set<string>();
    parts.twin.estate.changed.on('machine', (value) => {
      if (pending.has(value)) return;
      pending.add(value);
      const level = async () => {
        pending.delete(value);
        await this.#level({ type: 'VirtualMachine', value });
      };
      this.#inTurn(level).catch((error: unknown) => {
        this.#failure ??= error;
      });
    });
  }

  /** One connection from the first request to the end: once it is cut no request gets through, as behind a firewall that has dropped it. */
  readonly openWire: OpenWire = () => {
    const { gate } = this.#parts.twin.dispatcher;
    let connection: Connection | undefined;
    return {
      thumbprintSha1: '',
      send: async (request) => {
        request.signal?.throwIfAborted();
        if (connection?.cut) throw lost(request.url);
        connection ??= gate.connect(undefined, [this.#parts.twin.endpoint.name]);
        return request.method === 'POST' ? this.#post(request, connection) : this.#file(request);
      },
      [Symbol.asyncDispose]: async () => {
        if (connection) gate.disconnect(connection);
      },
    };
  };

  async bringAllLevel(): Promise<void> {
    for (const machine of vmsOf(this.#parts.twin)) await this.#level(vmRef(machine));
  }

  /** Once nothing is under way any more, but for those who wait for an update. */
  async settled(): Promise<void> {
    while (this.#working.size > 0) await Promise.allSettled(this.#working);
    await this.#turn;
  }

  async #atWork<T>(call: Call, work: () => Promise<T>): Promise<T> {
    if (call.method === 'WaitForUpdatesEx') return work();
    using _ = heldTime(this.#parts.twin.estate.timeline);
    const working = work();
    this.#working.add(working);
    try {
      return await working;
    } finally {
      this.#working.delete(working);
    }
  }

  /** By the same gate as every call into the estate: unreachable sites, faults by rule and what a call costs of the estate's time. */
  async #post(request: WireRequest, connection: Connection): Promise<WireAnswer> {
    if (this.#failure) throw this.#failure;
    const { endpoint, estate, dispatcher } = this.#parts.twin;
    estate.timeline.noteActivity();
    const signal = request.signal ? AbortSignal.any([request.signal, connection.ended]) : connection.ended;
    const silence = dispatcher.gate.assertReachable(endpoint.name, { connection, signal });
    if (silence) await silence;
    try {
      const call = readCall(parseEnvelope(String(request.body)));
      const machine = this.#parts.twin.owner(call.on)?.id;
      const gateCall = { connection, method: `vim.${call.method}`, endpoint: endpoint.name, args: { machine }, signal };
      const how = { toError: errorOf(call), startsTask: call.method.endsWith('_Task') };
      return await dispatcher.gate.pass({ ...gateCall, ...how }, (asked) =>
        this.#atWork(call, () => this.#perform(call, { ...request, signal }, asked)),
      );
    } catch (error) {
      if (!(error instanceof VimFaultError)) throw error;
      return wireAnswer({ status: 500, xml: faultEnvelope(error, SERVICE_INSTANCE) });
    }
  }

  /** The simulator gives files to everybody. */
  async #file(request: WireRequest): Promise<WireAnswer> {
    if (!request.url.startsWith('/folder/')) return this.#parts.upstream.send(request);
    const refused = await this.#assertSession(request);
    return refused ? answer(401, 'the session is not authenticated', 'text/plain') : this.#parts.twin.file(request);
  }

  async #perform(call: Call, request: WireRequest, asked: Asked): Promise<WireAnswer> {
    if (call.method === 'WaitForUpdatesEx') {
      const reply = await this.#forward(request);
      return wireAnswer(await this.#inTurn(async () => this.#looking.patchUpdates(reply)));
    }
    if (Looking.concerns(call)) return wireAnswer(await this.#inTurn(() => this.#looking.answer(call, () => this.#forward(request))));
    if (!RULES[call.method]) return await this.#passOn(request);
    return wireAnswer(
      await this.#inTurn(() => {
        this.#parts.twin.asked = { ...asked, userAgent: request.headers['user-agent'] ?? '' };
        return this.#follow(call, request);
      }),
    );
  }

  async #follow(call: Call, request: WireRequest): Promise<Reply> {
    const refused = await this.#assertSession(request);
    if (refused) return refused;
    const machine = this.#parts.twin.owner(call.on);
    if (machine) await this.#level(vmRef(machine));
    return RULES[call.method]!(this.#step(call, request));
  }

  #step(call: Call, request: WireRequest): Step {
    const { twin, own, hosts } = this.#parts;
    return {
      call,
      twin,
      own,
      hosts,
      forward: (args) => this.#forward(args ? { ...request, body: encodeRequest(call.method, call.on, args) } : request),
      resultOf: (reply) => this.#resultOf(call, reply),
      agreed: async (reply) => {
        if (await this.#resultOf(call, reply)) return reply;
        throw new Error(`the model did ${call.method} on ${call.on.value}, and the simulator refuses it: ${reply.xml.slice(0, 2000)}`);
      },
      ensureFile: (path) => this.#ensureFile(path),
    };
  }

  async #resultOf({ method }: Call, { status, xml }: Reply): Promise<{ readonly result: unknown } | undefined> {
    if (status !== 200) return undefined;
    const reader = new SoapReader(method);
    reader.push(xml);
    const decoded = reader.end();
    if ('fault' in decoded) return undefined;
    if (!method.endsWith('_Task')) return decoded;
    const { state, result } = (await this.#parts.own.get(decoded.result as MoRef, 'info'))['info'] as TaskInfo;
    return state === 'success' ? { result } : undefined;
  }

  /** The model must not act for a client that the simulator does not know. */
  async #assertSession(request: WireRequest): Promise<Reply | undefined> {
    const { cookie = '' } = request.headers;
    const body = encodeRequest('CurrentTime', SERVICE_INSTANCE, {});
    const reply = await this.#forward({ method: 'POST', url: '/sdk', headers: { cookie }, body });
    return reply.status === 200 ? undefined : reply;
  }

  #level(ref: MoRef): Promise<void> {
    const { own, twin } = this.#parts;
    return bringLevel(own, twin, ref, (path) => this.#ensureFile(path));
  }

  async #ensureFile(path: string): Promise<void> {
    const [, datastore = '', inside = ''] = /^\[([^\]]+)\]\s*(.*)$/.exec(path) ?? [];
    for (const file of [inside, inside.replace(/\.vmdk$/, '-flat.vmdk')]) {
      const url = `/folder/${file.split('/').map(encodeURIComponent).join('/')}?dcPath=DC0&dsName=${encodeURIComponent(datastore)}`;
      const { body, status } = await this.#parts.upstream.send({ method: 'PUT', url, headers: {}, body: '' });
      for await (const _ of body);
      if (status !== 200) throw new Error(`the simulator takes no file ${path}: HTTP ${status}`);
    }
  }

  async #forward(request: WireRequest): Promise<Reply> {
    const { status, body } = await this.#parts.upstream.send(request);
    return { status, xml: (await bytesOf(body)).toString() };
  }

  /** As it is, but whole. */
  async #passOn(request: WireRequest): Promise<WireAnswer> {
    const answer = await this.#parts.upstream.send(request);
    return { ...answer, body: piece(await bytesOf(answer.body)) };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

/** As the connection to a vCenter breaks, or as a vCenter refuses. */
const errorOf =
  ({ method, on }: Call) =>
  (act: InjectedError): Error =>
    'error' in act && /^CONNECTION_/.test(act.error)
      ? new DrError('CONNECTION_LOST', act.message ?? `the connection was lost during ${method}`, { context: { method } })
      : faultOf(act, method, on);

/** A clock that jumps when nothing happens does not see that the simulator, a process of its own, is at work. */
const heldTime = (timeline: Timeline): Disposable => {
  let held = true;
  const hold = () => {
    if (!held) return;
    timeline.noteActivity();
    setImmediate(hold);
  };
  hold();
  return {
    [Symbol.dispose]: () => {
      held = false;
    },
  };
};

const wireAnswer = ({ status, xml }: Reply): WireAnswer => ({
  status,
  headers: { 'content-type': 'text/xml; charset=utf-8' },
  setCookies: [],
  body: piece(Buffer.from(xml)),
});

const bytesOf = async (body: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
};

async function* piece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
