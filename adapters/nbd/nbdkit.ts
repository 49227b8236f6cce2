import { type ChildProcess, spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { DrError } from '../../core/contract/errors.ts';
import { lastError, notInstalled, Output, understand } from './nbdkit-output.ts';
import type { NbdkitEnd, NbdkitProcess, NbdkitSpec, StartNbdkit, StartNbdkitOptions } from './port.ts';

const DEFAULT_STOP_GRACE_MS = 30_000;

/** Before the first connection there is nothing at the host that a kill would leave. */
const NO_SESSION_GRACE_MS = 2000;

/** nbdkit writes its pid file once it listens, and takes about 10 ms to come so far. */
const READY_POLL_MS = 10;

/** A socket that closes because its process dies is often noticed before the death is, and that before its last words. */
const DEATH_MS = 500;
const LAST_WORDS_MS = 250;

/** Of a unix socket, by the kernel. */
const MAX_SOCKET_PATH = 107;

/** What was said longer ago belongs to another error. */
const RECENT_MS = 10_000;

/** Our own environment may hold secrets; of it only this is passed on. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LD_LIBRARY_PATH'];

export const startNbdkit: StartNbdkit = async (spec, options) => {
  const { signal, stopGraceMs = DEFAULT_STOP_GRACE_MS } = options;
  signal.throwIfAborted();
  check(spec);
  await mkdir(spec.scratchDir, { recursive: true });
  const folder = await mkdtemp(join(resolve(spec.scratchDir), 'nbdkit-'));
  let nbdkit: Nbdkit | undefined;
  try {
    nbdkit = new Nbdkit(spec, folder, options);
    await nbdkit.ready();
    signal.throwIfAborted();
    return nbdkit;
  } catch (error) {
    await nbdkit?.stop(Math.min(stopGraceMs, NO_SESSION_GRACE_MS));
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
};

/**
 * Of nbdkit's password formats (nbdkit_read_password): the one that leaves nothing in a file, in the arguments or in the environment.
 * nbdkit 1.18 to 1.20.2 lost it when vddk started itself anew, and then says that the password is missing.
 */
const PASSWORD_FD = 3;

const argumentsOf = (spec: NbdkitSpec, socketPath: string, pidPath: string): string[] => [
  '--foreground',
  '--exit-with-parent',
  '--unix',
  socketPath,
  '--pidfile',
  pidPath,
  // VDDK tells some reasons as debug messages only. One line per request is too many of them.
  '--verbose',
  '-D',
  'nbdkit.backend.datapath=0',
  '-D',
  'vddk.datapath=0',
  ...(spec.readOnly ? ['--readonly'] : []),
  'vddk',
  `libdir=${resolve(spec.vddkLibDir)}`,
  `server=${spec.server}`,
  ...(spec.port === undefined ? [] : [`port=${spec.port}`]),
  `user=${spec.user}`,
  `password=-${PASSWORD_FD}`,
  `thumbprint=${spec.thumbprint}`,
  `vm=moref=${spec.vmMoref}`,
  ...(spec.snapshotMoref === undefined ? [] : [`snapshot=${spec.snapshotMoref}`]),
  ...(spec.transports === undefined ? [] : [`transports=${spec.transports}`]),
  ...(spec.extraArgs ?? []),
  `file=${spec.diskPath}`,
];

class Nbdkit implements NbdkitProcess {
  readonly socketPath: string;
  readonly ended: Promise<NbdkitEnd>;
  readonly #spec: NbdkitSpec;
  readonly #options: StartNbdkitOptions;
  readonly #pidPath: string;
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #failedToSpawn: Promise<DrError>;
  #stopped: Promise<void> | undefined;

  constructor(spec: NbdkitSpec, folder: string, options: StartNbdkitOptions) {
    const { log } = options;
    this.#spec = spec;
    this.#options = options;
    this.socketPath = join(folder, 'socket');
    this.#pidPath = join(folder, 'pid');
    this.#output = new Output(spec.password, (line) => log.debug('nbdkit says', { name: spec.diskPath, line }));
    if (Buffer.byteLength(this.socketPath) > MAX_SOCKET_PATH) throw tooLong(this.socketPath);

    this.#child = spawn(spec.program, argumentsOf(spec, this.socketPath, this.#pidPath), {
      cwd: folder,
      env: Object.fromEntries(PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.#failedToSpawn = new Promise((fail) => this.#child.on('error', (error) => fail(notInstalled(spec.program, error))));
    this.ended = this.#watch(folder);
    this.#givePassword();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** It listens; or the reason why it never will. */
  async ready(): Promise<void> {
    const { signal, deadlineMs } = this.#options;
    const over = new AbortController();
    try {
      await Promise.race([
        this.#listens(over.signal),
        this.#failedToSpawn.then((error) => Promise.reject(error)),
        this.ended.then((end) => Promise.reject(this.#diedEarly(end))),
        rejectOnAbort(signal, over.signal),
        sleep(deadlineMs, undefined, { signal: over.signal }).then(() => Promise.reject(this.#tooSlow())),
      ]);
    } finally {
      over.abort();
    }
  }

  async explain(error: DrError): Promise<DrError> {
    // What was said before the server answered or died is in the pipe by now, and read within one turn of the loop.
    await nextTurn();
    await nextTurn();
    const mayHaveDied = ['CONNECTION_LOST', 'CONNECTION_REFUSED'].includes(error.code) && error.context.vendorCode !== 'EIO';
    if (mayHaveDied) await Promise.race([this.ended, sleep(DEATH_MS, undefined, { ref: false })]);
    const lines = this.#output.since(performance.now() - RECENT_MS);
    const what = `vddk failed on ${this.#spec.diskPath}`;
    const understood = understand(lines, this.#spec.vddkLibDir, what, error);
    if (understood) return understood;
    const end = this.#child.signalCode ?? (this.#child.exitCode === null ? undefined : `exit ${this.#child.exitCode}`);
    if (end !== undefined) {
      return new DrError('CONNECTION_LOST', `nbdkit for ${this.#spec.diskPath} ended (${end})${said(lines)}`, { cause: error });
    }
    const { code, message, hint, context, cause } = error;
    const words = said(lines);
    return words === '' ? error : new DrError(code, `${message}${words}`, { hint, context, cause });
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#end(graceMs);
    await this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(this.#options.stopGraceMs ?? DEFAULT_STOP_GRACE_MS);
  }

  /** A session that is not closed stays at the host for half an hour, so a kill is the last resort. */
  async #end(graceMs: number): Promise<void> {
    if (this.#child.pid === undefined) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.log.warn('nbdkit does not end and is killed', { pid: this.pid, name: this.#spec.diskPath });
      this.#child.kill('SIGKILL');
    }, graceMs);
    await this.ended;
    clearTimeout(timer);
  }

  async #watch(folder: string): Promise<NbdkitEnd> {
    const child = this.#child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#output.push(text));
    const allSaid = new Promise<void>((done) => child.stderr?.once('close', done));
    await new Promise<void>((done) => {
      child.once('exit', () => done());
      child.once('error', () => child.pid === undefined && done());
    });
    // Not for long: whoever inherited its stderr may outlive it.
    await Promise.race([allSaid, sleep(LAST_WORDS_MS, undefined, { ref: false })]);
    this.#output.end();
    await rm(folder, { recursive: true, force: true });
    return { code: child.exitCode, signal: child.signalCode, lastLines: this.#output.lines };
  }

  /** Whoever dies before it has read the password is reported by its death. */
  #givePassword(): void {
    const pipe = this.#child.stdio[PASSWORD_FD];
    if (!pipe || !('end' in pipe)) return;
    pipe.on('error', () => undefined);
    pipe.end(`${this.#spec.password}\n`);
  }

  async #listens(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const there = await access(this.#pidPath).then(
        () => true,
        () => false,
      );
      if (there) return;
      await sleep(READY_POLL_MS, undefined, { signal: over }).catch(() => undefined);
    }
    await new Promise(() => undefined);
  }

  #diedEarly({ code, signal, lastLines }: NbdkitEnd): DrError {
    const what = `nbdkit did not start for ${this.#spec.diskPath}`;
    const understood = understand(lastLines, this.#spec.vddkLibDir, what, undefined);
    if (understood) return understood;
    return new DrError('CONFIG_INVALID', `${what} (${signal ?? `exit ${code}`})${said(lastLines)}`, {
      hint: 'correct what nbdkit complains about',
      context: { path: this.#spec.program },
    });
  }

  #tooSlow(): DrError {
    const { deadlineMs } = this.#options;
    const message = `nbdkit did not listen after ${deadlineMs} ms for ${this.#spec.diskPath}${said(this.#output.lines)}`;
    return new DrError('TIMED_OUT', message, { context: { deadlineMs } });
  }
}

const said = (lines: readonly string[]): string => {
  const words = lastError(lines);
  return words ? `: ${words}` : '';
};

const check = (spec: NbdkitSpec): void => {
  if (argumentsOf(spec, '', '').some((word) => word.includes('\0')))
    throw new DrError('CONFIG_INVALID', 'a parameter of vddk holds a zero byte');
  // nbdkit takes one line; the rest would be lost without a word.
  if (/[\n\0]/.test(spec.password)) throw new DrError('CONFIG_INVALID', 'a password for vddk must be one line');
  if (spec.diskPath === '' || spec.vddkLibDir === '')
    throw new DrError('CONFIG_INVALID', 'vddk needs the path of a disk and its library folder');
};

const tooLong = (path: string): DrError =>
  new DrError('CONFIG_INVALID', `the path of a unix socket is too long: ${path}`, {
    hint: 'use a home with a shorter path: the socket lies in its scratch folder',
    context: { path },
  });

const rejectOnAbort = (signal: AbortSignal, over: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: over });
  });
