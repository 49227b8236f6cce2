import type { Readable, Writable } from 'node:stream';
import { Connection, type ConnectionTimes, type Wire } from './connection.ts';
import { dial } from './dial.ts';
import type { Agent, AgentDevice, AgentInfo, AgentOptions, AgentTarget, OpenAgent } from './port.ts';
import { openedFrom, RemoteDevice } from './remote-device.ts';
import { AGENT_VERSION } from './version.ts';
import { DEADLINE_MS } from './within.ts';

/** Rejects with a DrError or with the signal's reason; then the channel is closed, and what runs at its other end is still the caller's to end. */
export const openAgent: OpenAgent = async (target, options = {}) => {
  const { signal, deadlineMs = DEADLINE_MS } = options;
  signal?.throwIfAborted();
  const until = performance.now() + deadlineMs;
  const wire = await wireTo(target, { signal, deadlineMs });
  return greetAgent(wire, { signal, deadlineMs: Math.max(1, until - performance.now()) });
};

/** Over any pair of streams. */
export const greetAgent = async (wire: Wire, options: AgentOptions, times?: ConnectionTimes): Promise<Agent> => {
  const connection = new Connection(wire, times);
  try {
    const info = await connection.greet(AGENT_VERSION, options);
    return new RemoteAgent(connection, info);
  } catch (error) {
    wire.input.destroy();
    wire.output.destroy();
    throw error;
  }
};

const wireTo = async (target: AgentTarget, options: AgentOptions): Promise<Wire> => {
  if (target.kind === 'channel') {
    return { name: 'the channel', input: target.stdout as Readable, output: target.stdin as Writable, ended: target.ended };
  }
  const socket = await dial(target, options);
  return { name: target.address, input: socket, output: socket };
};

class RemoteAgent implements Agent {
  readonly info: AgentInfo;
  readonly #connection: Connection;
  #closed: Promise<void> | undefined;

  constructor(connection: Connection, info: AgentInfo) {
    this.#connection = connection;
    this.info = info;
  }

  get lost(): AbortSignal {
    return this.#connection.lost;
  }

  async openDevice(path: string, { forWriting, ...options }: AgentOptions & { readonly forWriting: boolean }): Promise<AgentDevice> {
    const connection = this.#connection;
    const { answer } = connection.send(
      { method: 'open', path, forWriting },
      {
        ...options,
        onLate: ({ result }) => {
          const late = openedFrom(result);
          if (late) void connection.send({ method: 'close', device: late.device }).answer.catch(() => undefined);
        },
      },
    );
    const { result } = await answer;
    const opened = openedFrom(result);
    if (!opened) throw connection.reject('describes a device that cannot be');
    return new RemoteDevice(connection, path, forWriting, opened);
  }

  /** Resolves when the agent has given back all devices, or has not within 30 s. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#connection.close();
    return this.#closed;
  }
}
