// Few sessions at one host: it has a limit of its own for each user (WinRM: 5 to 30 by version), and cmdlets of one host get in each other's way.

import { toDrError } from './errors.ts';
import type { PowerShell, RunOptions, Step, StepResult } from './port.ts';
import type { Session } from './session.ts';

const MOST_SESSIONS = 3;
const DEADLINE_MS = 60_000;

export type StartSession = (options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs: number }) => Promise<Session>;

export class Pool implements PowerShell {
  readonly host: string;
  readonly #start: StartSession;
  readonly #close: () => Promise<void>;
  readonly #sessions = new Set<Session>();
  readonly #idle: Session[] = [];
  readonly #queue: (() => void)[] = [];
  #taken = 0;

  /** `close` gives back what the sessions share. */
  constructor(host: string, first: Session, start: StartSession, close: () => Promise<void>) {
    this.host = host;
    this.#start = start;
    this.#close = close;
    this.#sessions.add(first);
    this.#idle.push(first);
  }

  async run(steps: readonly Step[], { signal, deadlineMs = DEADLINE_MS }: RunOptions = {}): Promise<readonly StepResult[]> {
    await this.#turn(signal);
    try {
      const session = await this.#session(signal, deadlineMs);
      try {
        const reply = await session.request(steps, { signal, deadlineMs });
        if (reply.error) throw toDrError(reply.error, { host: this.host, steps });
        return reply.steps;
      } finally {
        if (session.alive) this.#idle.push(session);
        else this.#sessions.delete(session);
      }
    } finally {
      this.#taken--;
      this.#queue.shift()?.();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sessions = [...this.#sessions];
    this.#sessions.clear();
    this.#idle.length = 0;
    for (const session of sessions) session.close();
    await Promise.allSettled(sessions.map((session) => session.ended));
    await this.#close();
  }

  /** The one that was used last: the others may end of old age. */
  async #session(signal: AbortSignal | undefined, deadlineMs: number): Promise<Session> {
    for (let session = this.#idle.pop(); session; session = this.#idle.pop()) {
      if (session.alive) return session;
      this.#sessions.delete(session);
    }
    const session = await this.#start({ signal, deadlineMs });
    this.#sessions.add(session);
    return session;
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    while (this.#taken >= MOST_SESSIONS) await this.#wait(signal);
    this.#taken++;
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#queue.splice(this.#queue.indexOf(go), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(go);
    });
  }
}
