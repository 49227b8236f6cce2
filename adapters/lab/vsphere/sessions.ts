// Log-ins of one simulated vCenter. They end with the server's process, as those of a real one do.
import { randomBytes } from 'node:crypto';
import type { UserSession, VimArgs } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord } from '../records.ts';
import { vimFault } from './fault-answers.ts';
import type { SessionRecord } from './model.ts';

const IDLE_MS = 30 * 60_000;
const MOST_SESSIONS = 3000;

export interface Opened {
  readonly session: SessionRecord;
  readonly cookie: string;
}

export class Sessions {
  readonly #estate: Estate;
  readonly #endpoint: EndpointRecord;
  readonly #byCookie = new Map<string, { readonly session: SessionRecord; calls: number }>();
  /** Told of each session that has ended: what is bound to it goes with it. */
  readonly #onEnd: (key: string) => void;

  constructor(estate: Estate, endpoint: EndpointRecord, onEnd: (key: string) => void) {
    this.#estate = estate;
    this.#endpoint = endpoint;
    this.#onEnd = onEnd;
  }

  /** Undefined: there are as many as there may be. Throws InvalidLogin. */
  open({ userName, password }: VimArgs<'Login'>, userAgent: string): Opened | undefined {
    const { username = '', password: wanted } = this.#endpoint;
    if (wanted !== undefined && (userName !== username || password !== wanted)) throw vimFault('InvalidLogin');
    this.#endIdle();
    if (this.#byCookie.size >= (this.#endpoint.vsphere?.maxSessions ?? MOST_SESSIONS)) return undefined;
    const now = this.#estate.timeline.now();
    const session = { key: `52${randomKey()}`, userName, userAgent, loginMs: now, lastActiveMs: now, callCount: 0 };
    const cookie = randomBytes(20).toString('hex');
    this.#byCookie.set(cookie, { session, calls: 0 });
    return { session, cookie };
  }

  /** The session that the cookie belongs to; a call on it begins. */
  enter(cookie: string | undefined): SessionRecord | undefined {
    const entry = cookie === undefined ? undefined : this.#byCookie.get(cookie);
    if (!entry) return undefined;
    if (this.#isIdle(entry)) {
      this.#end(cookie!);
      return undefined;
    }
    entry.calls++;
    entry.session.callCount++;
    entry.session.lastActiveMs = this.#estate.timeline.now();
    return entry.session;
  }

  /** The session whose call is under way. */
  find(cookie: string | undefined): SessionRecord | undefined {
    const entry = cookie === undefined ? undefined : this.#byCookie.get(cookie);
    return entry && !this.#isIdle(entry) ? entry.session : undefined;
  }

  leave(cookie: string | undefined): void {
    const entry = cookie === undefined ? undefined : this.#byCookie.get(cookie);
    if (!entry) return;
    entry.calls--;
    entry.session.lastActiveMs = this.#estate.timeline.now();
  }

  close(key: string): void {
    for (const [cookie, { session }] of this.#byCookie) if (session.key === key) this.#end(cookie);
  }

  closeAll(): void {
    for (const cookie of [...this.#byCookie.keys()]) this.#end(cookie);
  }

  list(): SessionRecord[] {
    this.#endIdle();
    return [...this.#byCookie.values()].map(({ session }) => session);
  }

  #endIdle(): void {
    for (const [cookie, entry] of this.#byCookie) if (this.#isIdle(entry)) this.#end(cookie);
  }

  /** Whoever waits for updates is not idle. */
  #isIdle({ session, calls }: { readonly session: SessionRecord; readonly calls: number }): boolean {
    const limit = this.#endpoint.vsphere?.sessionIdleMs ?? IDLE_MS;
    return calls === 0 && this.#estate.timeline.now() - session.lastActiveMs >= limit;
  }

  #end(cookie: string): void {
    const entry = this.#byCookie.get(cookie);
    if (this.#byCookie.delete(cookie) && entry) this.#onEnd(entry.session.key);
  }
}

/** Not of the estate's random: a cookie is a secret even here, and its value decides nothing. */
const randomKey = (): string => {
  const hex = randomBytes(15).toString('hex');
  return `${hex.slice(0, 6)}-${hex.slice(6, 10)}-${hex.slice(10, 14)}-${hex.slice(14, 18)}-${hex.slice(18)}`;
};

export const cookieOf = (header: string | undefined): string | undefined =>
  /(?:^|;\s*)vmware_soap_session="?([^";]+)"?/.exec(header ?? '')?.[1];

export const describeSession = (session: SessionRecord): UserSession => ({
  key: session.key,
  userName: session.userName,
  fullName: session.userName,
  loginTime: new Date(session.loginMs).toISOString(),
  lastActiveTime: new Date(session.lastActiveMs).toISOString(),
  locale: 'en',
  messageLocale: 'en',
  extensionSession: false,
  ipAddress: '127.0.0.1',
  userAgent: session.userAgent,
  callCount: session.callCount,
});
