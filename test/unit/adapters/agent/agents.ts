// Agents for tests: sessions in this process, and the built program as its users start it.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'mocha';
import { greetAgent, openAgent } from '../../../../adapters/agent/client.ts';
import type { ConnectionTimes } from '../../../../adapters/agent/connection.ts';
import { HostDevices, type OpenForSession } from '../../../../adapters/agent/devices.ts';
import { linuxPlatform } from '../../../../adapters/agent/platform.ts';
import type { Agent, AgentDigest, AgentOptions } from '../../../../adapters/agent/port.ts';
import { type ServeAgentOptions, serveAgent } from '../../../../adapters/agent/server.ts';
import type { BlockDevice } from '../../../../adapters/block/port.ts';
import { isDrError } from '../../../../core/contract/errors.ts';

export const MiB: number = 1 << 20;

export const ROOT: string = join(import.meta.dirname, '../../../..');

export const errorOf = async (promise: PromiseLike<unknown>): Promise<unknown> => {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return error;
  }
};

export const codeOf = async (promise: PromiseLike<unknown>): Promise<string> => {
  const error = await errorOf(promise);
  if (error === undefined) return 'none';
  return isDrError(error) ? error.code : String(error);
};

const PATIENCE_MS = 15_000;

/** Looks until it is so. Less patient than the runner, whose time-out would leave this looking. */
export const until = async (isSo: () => boolean): Promise<void> => {
  const began = performance.now();
  while (!isSo()) {
    if (performance.now() - began > PATIENCE_MS) throw new Error(`it never was so: ${isSo}`);
    await sleep(2);
  }
};

export const random = (length: number, seed = 1): Uint8Array => {
  const words = new Uint32Array(length / 4);
  let state = seed;
  for (let at = 0; at < words.length; at++) words[at] = state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return new Uint8Array(words.buffer);
};

export const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Offsets with digests in hex. */
export const allOf = async (digests: AsyncIterable<AgentDigest>): Promise<readonly (readonly [number, string])[]> => {
  const found: [number, string][] = [];
  for await (const { offset, sha256 } of digests) found.push([offset, Buffer.from(sha256).toString('hex')]);
  return found;
};

export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'ws-agent-'));

  file(name: string, content?: Uint8Array | string): string {
    const path = join(this.path, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A device of Linux over an image, for tests that need more of one than a file has. */
export const loopOf = (image: string, ...options: readonly string[]): { readonly path: string } & Disposable => {
  const path = execFileSync('losetup', ['--find', '--show', ...options, image], { encoding: 'utf8' }).trim();
  return { path, [Symbol.dispose]: () => void spawnSync('losetup', ['--detach', path]) };
};

const skipWith = (suite: Context, why: string): void => {
  // In each title, because nobody prints a hook's.
  suite.test!.parent!.eachTest((test) => {
    test.title += ` [${why}]`;
  });
  suite.skip();
};

/** For `before`: skips the suite where there are no loop devices, and says what is missing. */
export const needLoop = (suite: Context): void => {
  using folder = new Folder();
  const tried = spawnSync('losetup', ['--find', '--show', folder.file('image', random(MiB))], { encoding: 'utf8' });
  if (tried.status === 0) spawnSync('losetup', ['--detach', tried.stdout.trim()]);
  else
    skipWith(suite, `needs root and a loop device, with losetup from apt-get install mount: ${String(tried.stderr ?? tried.error).trim()}`);
};

const INFO = { version: '1.2.3', platform: 'linux', hostname: 'here' } as const;

export interface Session extends AsyncDisposable {
  readonly agent: Agent;
  /** How serving ended. */
  readonly served: Promise<unknown>;
  /** The client's end of the wire. */
  readonly wire: Duplex;
}

/** Sessions over the devices of one agent, in this process. */
export class LocalAgent {
  readonly #open: OpenForSession;
  readonly #options: Partial<ServeAgentOptions>;

  constructor(open: OpenForSession, options: Partial<ServeAgentOptions> = {}) {
    this.#open = open;
    this.#options = options;
  }

  static over(folder: Folder): LocalAgent {
    return new LocalAgent(new HostDevices(linuxPlatform(folder.path)).open);
  }

  static of(device: BlockDevice): LocalAgent {
    return new LocalAgent(() => Promise.resolve(device));
  }

  /** Speaks to it as a stranger. */
  connect(): { readonly wire: Duplex; readonly served: Promise<unknown> } {
    const [wire, there] = duplexPair();
    wire.on('error', () => undefined);
    const served = errorOf(serveAgent({ input: there, output: there, open: this.#open, info: INFO, ...this.#options }));
    return { wire, served };
  }

  async session(options: AgentOptions = {}, times: ConnectionTimes = {}): Promise<Session> {
    const { wire, served } = this.connect();
    const agent = await greetAgent({ name: 'here', input: wire, output: wire }, options, times);
    const dispose = async (): Promise<void> => {
      await agent[Symbol.asyncDispose]();
      await served;
    };
    return { agent, served, wire, [Symbol.asyncDispose]: dispose };
  }
}

let built: { readonly path: string } | undefined;

/** The one file, made once for this run in a folder of its own, as a release makes it. */
export const program = (): string => {
  if (built) return built.path;
  const folder = new Folder();
  process.once('exit', () => folder[Symbol.dispose]());
  const path = folder.file('warmsite-agent.mjs');
  execFileSync(process.execPath, [join(ROOT, 'scripts/agent.ts'), '--out', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  built = { path };
  return path;
};

/** The program in a process of its own, killed at the end of the test. */
export class AgentProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<readonly unknown[]>;
  said = '';

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [program(), ...args], { stdio: 'pipe', cwd: '/' });
    this.ended = once(this.child, 'exit');
    this.child.stdin!.on('error', () => undefined);
    this.child.stderr!.on('data', (chunk: Buffer) => {
      this.said += String(chunk);
    });
  }

  /** One that listens on a port of its choice. */
  static async listening(...args: readonly string[]): Promise<{ readonly process: AgentProcess; readonly address: string }> {
    const process = new AgentProcess('--listen', '127.0.0.1:0', ...args);
    await until(() => /listening at \S+\n/.test(process.said) || process.child.exitCode !== null);
    return { process, address: /listening at (\S+)/.exec(process.said)?.[1] ?? process.said };
  }

  open(options: AgentOptions = {}): Promise<Agent> {
    return openAgent({ kind: 'channel', stdin: this.child.stdin!, stdout: this.child.stdout!, ended: this.ended }, options);
  }

  /** Dead when it resolves. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** How the program ends that is asked for nothing but words. */
export const runProgram = (
  args: readonly string[],
  input = '',
): { readonly status: number | null; readonly out: string; readonly said: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program(), ...args], { input, encoding: 'utf8', cwd: '/' });
  return { status, out: stdout, said: stderr };
};
