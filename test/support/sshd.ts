// A real sshd of OpenSSH for tests: on a loopback port, with keys of its own in a folder that goes with it. Not the system's service.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'mocha';

const PROGRAM = '/usr/sbin/sshd';
const INSTALL = 'apt-get install openssh-server';

/** Where sshd puts its unprivileged half; the package's service makes it. */
const PRIVSEP = '/run/sshd';

/** For `before`: skips all tests of the suite where sshd is missing, and says so. */
export const needSshd = (suite: Context): void => {
  if (existsSync(PROGRAM)) return;
  // In each title, because nobody prints a hook's.
  suite.test!.parent!.eachTest((test) => {
    test.title += ` [needs sshd: ${INSTALL}]`;
  });
  suite.skip();
};

/** Of a tool that ends by itself. */
export const run = (program: string, ...args: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error || status !== 0) throw error ?? new Error(`${program} ${args.join(' ')}: exit ${status}: ${stderr}`);
  return stdout;
};

/** Ends with this process, however that ends. */
export const startTied = (program: string, args: readonly string[]): ChildProcess =>
  spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

/** A pair of `path` and `path.pub`. */
export const makeKey = (path: string, type: KeyType = 'ed25519', passphrase = '', ...more: readonly string[]): string => {
  run('ssh-keygen', '-q', '-t', type, ...(type === 'rsa' ? ['-b', '2048'] : []), '-N', passphrase, '-f', path, ...more);
  return path;
};

export const publicKeyOf = (path: string): string => readFileSync(`${path}.pub`, 'utf8').trim();

/** Type and key without the comment, as in known_hosts. */
export const knownKeyOf = (path: string): string => publicKeyOf(path).split(' ').slice(0, 2).join(' ');

export const pinOf = (path: string): string =>
  createHash('sha256')
    .update(Buffer.from(publicKeyOf(path).split(' ')[1]!, 'base64'))
    .digest('hex');

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  server.close();
  return port;
};

export interface SshdOptions {
  readonly hostKeys?: readonly KeyType[];
  /** Lines of sshd_config, before ours: sshd takes the first of each. */
  readonly config?: readonly string[];
  readonly listen?: string;
  /** Its own SFTP, unless told. */
  readonly sftp?: boolean;
}

/** Nothing of a process that has ended by now. */
const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

export class Sshd implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'ws-sshd-'));
  readonly username: string = userInfo().username;
  readonly port: number;
  readonly listen: string;
  /** A key that the server takes. */
  readonly keyFile: string = this.file('user');
  log = '';
  #process: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(port: number, listen: string) {
    this.port = port;
    this.listen = listen;
  }

  static async start({ hostKeys = ['ed25519'], config = [], listen = '127.0.0.1', sftp = true }: SshdOptions = {}): Promise<Sshd> {
    const sshd = new Sshd(await freePort(), listen);
    try {
      makeKey(sshd.keyFile);
      writeFileSync(sshd.file('authorized_keys'), `${publicKeyOf(sshd.keyFile)}\n`);
      const lines = [
        ...config,
        // The account's own start-up files are no part of a test, and may not survive being killed.
        `SetEnv HOME=${sshd.folder}`,
        `Port ${sshd.port}`,
        `ListenAddress ${listen}`,
        ...hostKeys.map((type) => `HostKey ${makeKey(sshd.hostKey(type), type)}`),
        `AuthorizedKeysFile ${sshd.file('authorized_keys')}`,
        'PidFile none',
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        ...(sftp && !config.some((line) => line.startsWith('Subsystem')) ? ['Subsystem sftp internal-sftp'] : []),
        'PermitRootLogin prohibit-password',
        'MaxStartups 100',
        'LogLevel INFO',
      ];
      writeFileSync(sshd.file('config'), `${lines.join('\n')}\n`);
      await sshd.resume();
      return sshd;
    } catch (error) {
      await sshd[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return this.listen.includes(':') ? `[${this.listen}]:${this.port}` : `${this.listen}:${this.port}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get pin(): string {
    return pinOf(this.hostKey('ed25519'));
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  hostKey(type: KeyType): string {
    return this.file(`host-${type}`);
  }

  authorize(keyFile: string): void {
    writeFileSync(this.file('authorized_keys'), `${publicKeyOf(keyFile)}\n`, { flag: 'a' });
  }

  /** Starts it (again) with the same port and keys. */
  async resume(): Promise<void> {
    mkdirSync(PRIVSEP, { recursive: true, mode: 0o755 });
    this.log = '';
    const child = startTied(PROGRAM, ['-D', '-e', '-f', this.file('config')]);
    this.#process = child;
    this.#ended = once(child, 'close');
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
    while (!this.log.includes('Server listening')) {
      if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${this.log}`);
      await sleep(5);
    }
  }

  /** The processes that serve its connections, and what those have started. */
  get children(): number[] {
    const below = (pid: number): number[] => {
      const direct = textOf(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
      return direct.flatMap((child) => [child, ...below(child)]);
    };
    return below(this.pid);
  }

  /** Those of its children whose command line has this in it. */
  running(command: string): number[] {
    return this.children.filter((pid) => textOf(`/proc/${pid}/cmdline`).includes(command));
  }

  /** To the server and all that it has started, so that nothing says goodbye. */
  signal(name: NodeJS.Signals): void {
    for (const pid of [...this.children, this.pid]) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended by itself.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process?.exitCode === null) this.signal('SIGKILL');
    await this.#ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
