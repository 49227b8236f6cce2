// PowerShell sessions of clients that reach the lab by its socket: one for each connection.
import { DrError } from '../../../core/contract/index.ts';
import type { Connection } from '../gate.ts';
import type { EstateArgs } from '../port.ts';
import type { Request } from './request.ts';
import type { HostSession, Hosts } from './sessions.ts';

export class Shells {
  readonly #hosts: Hosts;
  readonly #sessions = new WeakMap<Connection, HostSession>();

  constructor(hosts: Hosts) {
    this.#hosts = hosts;
  }

  async open(connection: Connection, { host, username, password }: EstateArgs<'powershell.open'>, signal?: AbortSignal): Promise<object> {
    const { gate } = this.#hosts;
    const options = { onCut: () => gate.drop(connection), ...(signal ? { signal } : {}) };
    const session = await this.#hosts.open(host, { username, password }, options);
    this.#sessions.get(connection)?.close();
    this.#sessions.set(connection, session);
    connection.ended.addEventListener('abort', () => session.close(), { once: true });
    return {};
  }

  async run(connection: Connection, { request }: EstateArgs<'powershell.run'>, signal?: AbortSignal): Promise<{ reply: object }> {
    const session = this.#sessions.get(connection);
    if (!session) throw new DrError('STATE_CONFLICT', 'no session is open on this connection');
    return { reply: await session.run(request as Request, signal ?? connection.ended) };
  }
}
