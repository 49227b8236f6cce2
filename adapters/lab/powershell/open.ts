// Sessions at simulated hosts in the same process: what a host would write on a line is read as the real client reads it.
import { DrError } from '../../../core/contract/index.ts';
import { toDrError } from '../../powershell/errors.ts';
import type { OpenPowerShell, PowerShell, RunOptions, Step, StepResult } from '../../powershell/port.ts';
import { readReply } from '../../powershell/values.ts';
import type { Timeline } from '../timeline.ts';
import type { Credential, HostSession, Hosts } from './sessions.ts';

const DEADLINE_MS = 60_000;

/** A host's name is its address, whatever the transport. */
export const openInProcessPowerShell =
  (hosts: Hosts): OpenPowerShell =>
  async ({ host, transport }, { signal } = {}) => {
    const { username, password } = transport as Credential;
    const open = (abort: AbortSignal | undefined) => hosts.open(host, { username, password }, abort ? { signal: abort } : {});
    return new InProcessPowerShell(host, await open(signal), open, hosts.gate.estate.timeline);
  };

class InProcessPowerShell implements PowerShell {
  readonly host: string;
  readonly #open: (signal: AbortSignal | undefined) => Promise<HostSession>;
  readonly #timeline: Timeline;
  readonly #idle: HostSession[];
  readonly #busy = new Set<HostSession>();
  #count = 0;

  constructor(host: string, first: HostSession, open: (signal: AbortSignal | undefined) => Promise<HostSession>, timeline: Timeline) {
    this.host = host;
    this.#open = open;
    this.#timeline = timeline;
    this.#idle = [first];
  }

  async run(steps: readonly Step[], { signal, deadlineMs = DEADLINE_MS }: RunOptions = {}): Promise<readonly StepResult[]> {
    signal?.throwIfAborted();
    const session = await this.#session(signal);
    const end = new AbortController();
    const callOff = this.#timeline.schedule(deadlineMs, () => end.abort(this.#late(deadlineMs)), true);
    this.#busy.add(session);
    try {
      const request = { id: ++this.#count, steps: JSON.parse(JSON.stringify(steps)) as Step[] };
      const reply = await session.run(request, signal ? AbortSignal.any([signal, end.signal]) : end.signal);
      const { error, steps: results } = readReply(Buffer.from(JSON.stringify(reply)).toString('base64'));
      if (error) throw toDrError(error, { host: this.host, steps });
      return results;
    } finally {
      callOff();
      this.#busy.delete(session);
      if (session.alive) this.#idle.push(session);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of [...this.#idle, ...this.#busy]) session.close();
    this.#idle.length = 0;
  }

  async #session(signal: AbortSignal | undefined): Promise<HostSession> {
    for (let session = this.#idle.pop(); session; session = this.#idle.pop()) if (session.alive) return session;
    return this.#open(signal);
  }

  #late(deadlineMs: number): DrError {
    return new DrError('TIMED_OUT', `${this.host} gave no answer within ${deadlineMs} ms`, { context: { name: this.host, deadlineMs } });
  }
}
