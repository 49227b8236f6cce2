import type { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { DrError, isDrError } from '../../core/contract/errors.ts';
import { parseAddress, type SshAddress } from './address.ts';
import { Connection, type Hop } from './connection.ts';
import { loadCredentials, type Ssh2 } from './credentials.ts';
import { type SshFailure, sessionRefused } from './errors.ts';
import { putFile, readFile } from './files.ts';
import { loadHostCheck } from './host-key.ts';
import { Limit, unlessAborted } from './limit.ts';
import type { OpenSsh, SshClient, SshOptions, SshProcess, SshTarget } from './port.ts';
import { RemoteProcess } from './process.ts';
import { Sftp } from './sftp.ts';
import { connectSocket, connectThrough } from './transport.ts';

const DEFAULT_KEEPALIVE_MS = 10_000;

/** A silent end is found within four intervals of the keepalive: 40 s by default, of the 45 that the port allows. */
export const createOpenSsh =
  ({ keepaliveMs = DEFAULT_KEEPALIVE_MS }: { readonly keepaliveMs?: number } = {}): OpenSsh =>
  async (target, options = {}) => {
    const path = pathTo(target);
    using limit = new Limit(options, `${where(path.at(-1)!)} did not let us in`);
    // Here, not above: most estates have no host that is reached by SSH.
    const ssh2 = (await import('ssh2')).default as Ssh2;
    const hops = await Promise.all(path.map((step) => prepare(ssh2, step)));
    let connection: Connection | undefined;
    try {
      for (const hop of hops) {
        const transport: Duplex =
          connection === undefined
            ? await connectSocket(hop.address, hop.where, limit.signal)
            : await connectThrough(connection, hop.address, limit.signal);
        connection = new Connection(ssh2, hop, transport, connection);
        await connection.establish(keepaliveMs, limit.signal);
      }
      limit.signal.throwIfAborted();
      return new Client(target.address, connection!);
    } catch (error) {
      await connection?.[Symbol.asyncDispose]();
      throw error;
    }
  };

/** Rejects with a DrError, or with the signal's reason; then nothing is left open. */
export const openSsh: OpenSsh = createOpenSsh();

interface Step {
  readonly target: SshTarget;
  readonly address: SshAddress;
  /** The jump host before it. */
  readonly through: string | undefined;
  readonly isJump: boolean;
}

/** From the first jump host to the target. */
const pathTo = (target: SshTarget, isJump = false): Step[] => {
  const address = parseAddress(target.address);
  const before = target.jump === undefined ? [] : pathTo(target.jump, true);
  return [...before, { target, address, through: before.at(-1)?.address.name, isJump }];
};

const where = ({ address, through, isJump }: Step): string =>
  `the ${isJump ? 'jump host' : 'SSH server at'} ${address.name}${through === undefined ? '' : ` behind ${through}`}`;

const prepare = async (ssh2: Ssh2, step: Step): Promise<Hop> => ({
  address: step.address,
  where: where(step),
  username: step.target.username,
  hostCheck: await loadHostCheck(step.target, step.address, where(step)),
  credentials: await loadCredentials(ssh2, step.target, where(step)),
});

class Client implements SshClient {
  readonly address: string;
  readonly #connection: Connection;
  #sftpMissing: DrError | undefined;

  constructor(address: string, connection: Connection) {
    this.address = address;
    this.#connection = connection;
  }

  get fingerprint(): string {
    return this.#connection.fingerprint;
  }

  get lost(): AbortSignal {
    return this.#connection.lost;
  }

  /** Deadline and signal hold until the command has started. */
  async exec(command: string, options: SshOptions = {}): Promise<SshProcess> {
    const { client, lost, where: name } = this.#connection;
    lost.throwIfAborted();
    using limit = new Limit(options, `${name} did not start a command`);
    const { signal } = limit;
    const started = new Promise<SshProcess>((done, fail) => {
      client.exec(command, (error, channel: ClientChannel) => {
        if (error) return fail(execError(name, error as SshFailure));
        const started = new RemoteProcess(channel, lost);
        if (signal.aborted) started.kill();
        else done(started);
      });
    });
    return await unlessAborted(started, signal, lost);
  }

  async putFile(path: string, content: Uint8Array, options: SshOptions = {}): Promise<void> {
    await this.#withSftp(options, `${path} was not written to ${this.#connection.where}`, (sftp) => putFile(sftp, path, content));
  }

  async readFile(path: string, options: SshOptions = {}): Promise<Uint8Array | undefined> {
    return await this.#withSftp(options, `${path} was not read from ${this.#connection.where}`, (sftp) => readFile(sftp, path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }

  async #withSftp<T>(options: SshOptions, late: string, work: (sftp: Sftp) => Promise<T>): Promise<T> {
    this.lost.throwIfAborted();
    // ssh2 does not close the channel on which the subsystem was refused: trying again would use up the sessions of the connection.
    if (this.#sftpMissing) throw this.#sftpMissing;
    using limit = new Limit(options, late);
    using sftp = await Sftp.open(this.#connection, limit.signal).catch((error: unknown) => {
      if (isDrError(error, 'CAPABILITY_MISSING')) this.#sftpMissing = error;
      throw error;
    });
    return await work(sftp);
  }
}

const execError = (name: string, error: SshFailure): DrError => {
  if (error.reason !== undefined) return sessionRefused(name, error);
  return new DrError('PERMISSION_DENIED', `${name} refuses to start a command (${error.message})`, {
    hint: 'allow the account of the endpoint to run commands',
    cause: error,
  });
};
