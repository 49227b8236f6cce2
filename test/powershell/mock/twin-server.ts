// Simulated hosts as PowerShell reaches them: one connection for each session, one line of JSON each way.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { addressed, isClustered } from '../../../adapters/lab/powershell/fabric.ts';
import { asPsFailure, type PsFailure } from '../../../adapters/lab/powershell/failures.ts';
import type { HostSession, Hosts } from '../../../adapters/lab/powershell/sessions.ts';
import { bind } from '../../../adapters/lab/powershell/strict.ts';
import type { Cmdlet } from '../../../adapters/powershell/allowed.ts';
import { DrError } from '../../../core/contract/index.ts';
import { type Json, References } from './wire.ts';

interface Question {
  readonly open?: string;
  readonly username?: string | null;
  readonly password?: string | null;
  readonly read?: number;
  readonly text?: number;
  readonly run?: Cmdlet;
  readonly set?: string;
  readonly bound?: Readonly<Record<string, Json>>;
  readonly collect?: boolean;
}

export interface TwinServerOptions {
  readonly hosts: Hosts;
  /** Told when a host begins to work and when it is done: until then PowerShell waits for it, and not the other way round. */
  readonly working?: (begins: boolean) => void;
}

export class TwinServer implements AsyncDisposable {
  readonly socketPath: string;
  /** Parameter sets that PowerShell has chosen otherwise than the twin. */
  readonly disagreements: string[] = [];
  readonly #folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(folder: string, { hosts, working = () => undefined }: TwinServerOptions) {
    this.#folder = folder;
    this.socketPath = join(folder, 'twin.sock');
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
      const session = new TwinSession(hosts, socket, working, this.disagreements);
      createInterface({ input: socket }).on('line', (line) => void session.take(JSON.parse(line) as Question));
    });
  }

  static async listen(options: TwinServerOptions): Promise<TwinServer> {
    const made = new TwinServer(await mkdtemp(join(tmpdir(), 'warmsite-twin-')), options);
    await new Promise<void>((resolve) => made.#server.listen(made.socketPath, resolve));
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

class TwinSession {
  readonly #hosts: Hosts;
  readonly #socket: Socket;
  readonly #working: (begins: boolean) => void;
  readonly #disagreements: string[];
  readonly #references = new References();
  readonly #closed = new AbortController();
  #session: HostSession | undefined;

  constructor(hosts: Hosts, socket: Socket, working: (begins: boolean) => void, disagreements: string[]) {
    this.#hosts = hosts;
    this.#socket = socket;
    this.#working = working;
    this.#disagreements = disagreements;
    socket.once('close', () => {
      this.#closed.abort(new DrError('CONNECTION_LOST', 'PowerShell has ended'));
      this.#session?.close();
    });
  }

  /** Whatever is no answer of a host ends the session. */
  async take(question: Question): Promise<void> {
    try {
      this.#socket.write(`${JSON.stringify(await this.#answer(question))}\n`);
    } catch {
      this.#socket.destroy();
    }
  }

  async #answer(question: Question): Promise<Json> {
    const { open, read, text, run } = question;
    if (open !== undefined) return this.#open(open, question);
    if (read !== undefined) return { properties: this.#references.properties(read) };
    if (text !== undefined) return { text: String(this.#references.at(text)) };
    this.#working(true);
    try {
      return await this.#run(run!, question);
    } finally {
      this.#working(false);
    }
  }

  async #open(host: string, { username, password }: Question): Promise<Json> {
    try {
      const credential = { username: username ?? undefined, password: password ?? undefined };
      this.#session = await this.#hosts.open(host, credential, { signal: this.#closed.signal, onCut: () => this.#socket.destroy() });
      const at = addressed(this.#hosts.gate.estate, host);
      if (at.role === 'vmm') return { modules: ['vmm'] };
      return { modules: isClustered(at.hyperv) ? ['host', 'cluster'] : ['host'] };
    } catch (error) {
      if (!(error instanceof DrError)) throw error;
      return { refused: error.message, id: error.code === 'AUTH_REJECTED' ? 'LogonFailure' : 'CannotConnect' };
    }
  }

  async #run(cmdlet: Cmdlet, { set, bound = {}, collect = false }: Question): Promise<Json> {
    const given = new Map(Object.entries(bound).map(([name, raw]) => [name, this.#references.decode(raw)]));
    try {
      const step = { cmdlet, params: {}, ...(collect ? { collect: true as const } : {}) };
      const ran = await this.#session!.runCmdlet(step, given, this.#closed.signal);
      const chosen = bind(cmdlet, given).set;
      if (set !== '__AllParameterSets' && set !== chosen) this.#disagreements.push(`${cmdlet}: ${set} and not ${chosen}`);
      return {
        objects: ran.found.map((object) => this.#references.encode(object)),
        warnings: ran.warnings,
        failures: ran.failures.map(recordOf),
      };
    } catch (error) {
      const failure = asPsFailure(error);
      if (!failure) throw error;
      return { objects: [], warnings: [], failures: [], failure: recordOf(failure) };
    }
  }
}

const recordOf = (failure: PsFailure): Json => {
  const { category, fqid, message, type, hresult, innerHresult, target } = failure.asError(0, '');
  return { category, fqid, message, type, hresult, innerHresult, target };
};
