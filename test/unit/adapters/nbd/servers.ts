// Real NBD servers for tests: nbdkit and qemu-nbd over a unix socket in a folder that goes with them.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'mocha';
import { openNbd } from '../../../../adapters/nbd/client.ts';
import type { NbdExport, OpenNbdOptions } from '../../../../adapters/nbd/port.ts';
import { isDrError } from '../../../../core/contract/errors.ts';

const INSTALL = 'apt-get install nbdkit libnbd-bin qemu-utils';

/** For `before`: skips all tests of the suite where a tool is missing, and says which. */
export const needTools = (suite: Context, ...tools: readonly string[]): void => {
  const missing = tools.filter((tool) => spawnSync(tool, ['--version']).error);
  if (missing.length === 0) return;
  // In each title, because nobody prints a hook's.
  suite.test!.parent!.eachTest((test) => {
    test.title += ` [needs ${missing.join(', ')}: ${INSTALL}]`;
  });
  suite.skip();
};

export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

export const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Looks until it is so; the runner's time-out ends it otherwise. */
export const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await sleep(2);
};

export const randomBytes = (length: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
};

export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'ws-nbd-'));
  #count = 0;

  /** A name that no other call gets. */
  fresh(name: string): string {
    return this.file(`${name}-${++this.#count}`);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export class Server implements AsyncDisposable {
  readonly socketPath: string;
  readonly process: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(process: ChildProcess, socketPath: string) {
    this.process = process;
    this.socketPath = socketPath;
    this.#ended = once(process, 'exit');
  }

  /** Such as `Server.nbdkit(folder, '--filter=error', 'memory', '1M')`. */
  static nbdkit(folder: Folder, ...args: readonly string[]): Promise<Server> {
    const [socket, pid] = [folder.fresh('socket'), folder.fresh('pid')];
    return Server.#start(socket, pid, 'nbdkit', ['--foreground', '--exit-with-parent', '--unix', socket, '--pidfile', pid, ...args]);
  }

  static qemu(folder: Folder, ...args: readonly string[]): Promise<Server> {
    const [socket, pid] = [folder.fresh('socket'), folder.fresh('pid')];
    return Server.#start(socket, pid, 'qemu-nbd', ['--persistent', '--shared=4', '--socket', socket, '--pid-file', pid, ...args]);
  }

  static async #start(socketPath: string, pidPath: string, program: string, args: readonly string[]): Promise<Server> {
    const server = new Server(spawn(program, args, { stdio: 'ignore' }), socketPath);
    await until(() => existsSync(pidPath) || server.process.exitCode !== null);
    return server;
  }

  open(options: Partial<OpenNbdOptions> = {}): Promise<NbdExport> {
    return openNbd({ socketPath: this.socketPath }, { forWriting: false, signal: new AbortController().signal, ...options });
  }

  /** Dead when it resolves. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** The control socket of nbdkit's pause filter: requests hang in the server between `pause` and `resume`. */
export const pauseFilter = async (path: string): Promise<{ pause(): Promise<void>; resume(): Promise<void> } & Disposable> => {
  const socket = connect(path);
  await once(socket, 'connect');
  const tell = async (letter: string): Promise<void> => {
    socket.write(letter);
    await once(socket, 'data');
  };
  return { pause: () => tell('p'), resume: () => tell('r'), [Symbol.dispose]: () => void socket.destroy() };
};
