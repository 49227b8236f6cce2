// What the tests of the SSH client share: clients with short keepalive, and servers that are not what they should be.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2, { type AuthContext, type Connection, type ServerConfig } from 'ssh2';
import { openSsh } from '../../../../adapters/ssh/client.ts';
import { fingerprintOf } from '../../../../adapters/ssh/host-key.ts';
import type { OpenSsh, SshClient, SshTarget } from '../../../../adapters/ssh/port.ts';
import { isDrError } from '../../../../core/contract/errors.ts';
import type { Sshd } from '../../../support/sshd.ts';

export const KEY = ssh2.utils.generateKeyPairSync('ed25519');

/** Of each Scripted server. */
export const SCRIPTED_PIN = fingerprintOf(Buffer.from(KEY.public.split(' ')[1]!, 'base64'));

export const targetAt = (sshd: Sshd, changes: Partial<SshTarget> = {}): SshTarget => ({
  address: sshd.address,
  username: sshd.username,
  keyFile: sshd.keyFile,
  pin: sshd.pin,
  ...changes,
});

export const openAt = (sshd: Sshd, changes: Partial<SshTarget> = {}, open: OpenSsh = openSsh): Promise<SshClient> =>
  open(targetAt(sshd, changes));

export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

export const collect = async (stream: Readable): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** What a command says, and how it ends. */
export const say = async (client: SshClient, command: string): Promise<{ out: string; code?: number; signal?: string }> => {
  const process = await client.exec(command);
  process.stdin.end();
  const [out, end] = await Promise.all([collect(process.stdout), process.ended, collect(process.stderr)]);
  return { out: out.toString(), ...end };
};

/** As `say`, once a session has become free: sshd takes a moment for it after its command has ended. */
export const sayOnceFree = async (client: SshClient, command: string): Promise<string> => {
  for (;;) {
    try {
      return (await say(client, command)).out;
    } catch (error) {
      if (!isDrError(error, 'HOST_BUSY')) throw error;
    }
  }
};

/** Looks until it is so; the runner's time-out ends it otherwise. */
export const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await sleep(2);
};

/** Sockets, children and the like that this process has open; timers of the runner are not among them. */
export const handles = (): string[] => process.getActiveResourcesInfo().filter((name) => /socket|tcp|pipe|process/i.test(name));

/** Speaks whatever it likes to whoever connects. */
export class Peer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  heard = Buffer.alloc(0);

  private constructor(speak: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket.on('error', () => undefined));
      socket.on('data', (data) => {
        this.heard = Buffer.concat([this.heard, data]);
      });
      speak(socket);
    });
  }

  static async start(speak: (socket: Socket) => void): Promise<Peer> {
    const peer = new Peer(speak);
    await once(peer.#server.listen(0, '127.0.0.1'), 'listening');
    return peer;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { readonly port: number }).port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A server of ssh2, for what OpenSSH's does only with the accounts of the system. */
export class Scripted implements AsyncDisposable {
  readonly #server: InstanceType<typeof ssh2.Server>;
  readonly #connections = new Set<Connection>();
  /** Each thing that a client has sent of itself, in its order. */
  readonly attempts: string[] = [];

  private constructor(answer: (attempt: AuthContext) => void, config: Partial<ServerConfig>, serve: (connection: Connection) => void) {
    this.#server = new ssh2.Server({ hostKeys: [KEY.private], ...config }, (connection) => {
      this.#connections.add(connection);
      connection.on('error', () => undefined).on('close', () => this.#connections.delete(connection));
      connection.on('authentication', (attempt) => {
        const { method } = attempt;
        this.attempts.push(method === 'password' ? `password ${attempt.password}` : method);
        answer(attempt);
      });
      serve(connection);
    });
  }

  static async start(
    answer: (attempt: AuthContext) => void,
    config: Partial<ServerConfig> = {},
    serve: (connection: Connection) => void = () => undefined,
  ): Promise<Scripted> {
    const scripted = new Scripted(answer, config, serve);
    scripted.#server.listen(0, '127.0.0.1');
    await once(scripted.#server, 'listening');
    return scripted;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { readonly port: number }).port}`;
  }

  /** Says goodbye to all who are there. */
  hangUp(): void {
    for (const connection of this.#connections) connection.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
