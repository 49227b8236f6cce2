// The package in a thread of its own. It has no network here: its HTTP client hands every envelope to the engine's side, where our wire
// checks the certificate, keeps the cookie and reads the answer. So its switch for TLS has nothing to switch, and no port is open to anybody.
import { AsyncLocalStorage } from 'node:async_hooks';
import { type EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { VimMethod } from '../port.ts';
import { toArguments } from './arguments.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { makeWsdl } from './wsdl.ts';

interface Axios {
  readonly defaults: { adapter: (config: Asked) => Promise<object> };
}
interface Asked {
  readonly method: string;
  readonly data?: string;
}
interface Package {
  readonly Client: new (host: string, user: string, password: string, sslVerify: boolean) => Client;
}
interface Client extends EventEmitter {
  status: string;
  runCommand(method: VimMethod, args: object): EventEmitter;
}

const envelope = (body: string): string =>
  `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`;
const FAULT = envelope('<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>told elsewhere</faultstring></soapenv:Fault>');
/**
 * The package asks for this in its constructor, sends `_this` there without a type, and tells of a failure by throwing where nobody can
 * catch. It is answered here; the session's real log-in comes after, as a call like any other.
 */
const GREETING: Readonly<Record<string, string>> = {
  RetrieveServiceContent: '<returnval><sessionManager type="SessionManager">SessionManager</sessionManager></returnval>',
  Login: '<returnval><key>-</key><userName>-</userName><fullName>-</fullName></returnval>',
};

// It prints whole answers, that of a log-in among them.
for (const stream of [process.stdout, process.stderr]) stream.write = () => true;

const port = parentPort!;
const tell = (message: FromWorker): void => port.postMessage(message);
/** Which call is under way, in whatever the package does for it; nothing during its greeting. */
const current = new AsyncLocalStorage<number>();
const waiting = new Map<number, (text: string | undefined) => void>();

const answerOf = async ({ method, data = '' }: Asked): Promise<string> => {
  if (method === 'get') return makeWsdl();
  const id = current.getStore();
  if (id === undefined) {
    const asked = /Body><(?:\w+:)?(\w+)/.exec(data)?.[1] ?? '';
    return envelope(`<${asked}Response xmlns="urn:vim25">${GREETING[asked] ?? ''}</${asked}Response>`);
  }
  const answered = Promise.withResolvers<string | undefined>();
  waiting.set(id, answered.resolve);
  tell({ kind: 'envelope', id, text: data });
  return (await answered.promise) ?? FAULT;
};

const adapter = async (config: Asked): Promise<object> => {
  const data = await answerOf(config);
  return { status: data === FAULT ? 500 : 200, statusText: '', headers: { 'content-type': 'text/xml' }, config, data };
};

/** It throws after each fault that it has told of, and after some that it has not. In its greeting nothing is left to go on with. */
process.on('uncaughtException', (error) => {
  const id = current.getStore();
  if (id === undefined) throw error;
  tell({ kind: 'failed', id });
});

const start = async (): Promise<Client> => {
  const fromHere = createRequire(import.meta.url);
  const path = fromHere.resolve('node-vsphere-soap');
  const fromSoap = createRequire(createRequire(path).resolve('soap'));
  (fromSoap('axios') as Axios).defaults.adapter = adapter;
  const { Client } = fromHere(path) as Package;
  // The credentials go to the real log-in only.
  const client = new Client('vsphere.invalid', '', '', true);
  await once(client, 'ready');
  return client;
};

const client = start();

const run = async ({ id, method, on, args }: ToWorker & { readonly kind: 'call' }): Promise<void> => {
  const ready = await client;
  // Whatever it thinks of its session: it would greet again in the middle of this call.
  ready.status = 'ready';
  current.run(id, () => {
    try {
      const emitter = ready.runCommand(method, toArguments(method, on, args));
      emitter.once('result', () => tell({ kind: 'done', id }));
      emitter.once('error', () => tell({ kind: 'failed', id }));
    } catch {
      tell({ kind: 'failed', id });
    }
  });
};

port.on('message', (message: ToWorker) => {
  if (message.kind === 'call') return void run(message);
  waiting.get(message.id)?.(message.text);
  waiting.delete(message.id);
});
