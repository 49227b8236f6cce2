// What goes over the wire, known to both sides. Frames (frames.ts); the client speaks first, with a hello; then its requests overlap and are answered in any order.
import { CONTEXT_KEYS, type ContextKey, DrError, ERRORS, type ErrorCode, type ErrorRecord } from '../../core/contract/errors.ts';
import type { FrameLimits } from './frames.ts';
import type { AgentInfo } from './port.ts';

export const PROTOCOL = 1;

/** What both sides begin with, so that nothing else is taken for one of them. */
export const GREETING = 'warmsite-agent';

export const MOST_REQUEST_BYTES: number = 1 << 20;
/** Requests of one device that are not answered yet. */
export const MOST_IN_FLIGHT = 16;
/** Devices that a session has open. */
export const MOST_DEVICES = 64;
/** Of one block of a digest, and of all blocks of one request for digests unless they are one. */
export const MOST_DIGESTED_BYTES: number = 16 << 20;
export const MOST_DIGESTS = 4096;
export const DIGEST_BYTES = 32;

/** Until the peer has said hello. */
export const STRANGER_LIMITS: FrameLimits = { headerBytes: 4096, tailBytes: 0 };
export const SESSION_LIMITS: FrameLimits = { headerBytes: 16 << 10, tailBytes: MOST_REQUEST_BYTES };

/** Without a byte from the client for so long, the session ends and gives its devices up. */
export const SERVER_SILENCE_MS = 60_000;
/** Shorter, so that the client knows before the devices are anybody else's. */
export const CLIENT_SILENCE_MS = 45_000;
export const PING_MS = 15_000;

export const METHODS = ['open', 'read', 'write', 'writeZeroes', 'flush', 'digests', 'close'] as const;
export type Method = (typeof METHODS)[number];

/** The fields that a method has no use for are absent. A write's data is the frame's tail. */
export interface Request {
  readonly id: number;
  readonly method: Method;
  readonly path?: string;
  readonly forWriting?: boolean;
  /** The number that `open` was answered with. */
  readonly device?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly blockBytes?: number;
  readonly count?: number;
}

export type FromClient = Request | { readonly cancel: number } | { readonly ping: true };

/** What `open` is answered with. */
export interface Opened {
  readonly device: number;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
}

export type FromAgent =
  | ({ readonly hello: typeof GREETING } & AgentInfo)
  | { readonly id: number; readonly result: object }
  | { readonly id: number; readonly error: ErrorRecord }
  | { readonly pong: true };

/** The members of a header that may be anything. */
export const fieldsOf = (header: unknown): Readonly<Record<string, unknown>> => {
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw new DrError('PROTOCOL_ERROR', 'the header of a frame is no object');
  return header as Readonly<Record<string, unknown>>;
};

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The peer's text in one short line, without what a terminal would act on. */
export const plain = (value: unknown, longest = 1000): string =>
  String(value)
    .replace(/[^\x20-\x7e\u00a0-\u2027\u202f-\ud7ff\uf900-\ufffd]+/g, ' ')
    .slice(0, longest);

/** The lower one of what both know. PROTOCOL_ERROR when the peer is none of ours. */
export const agreeOn = (fields: Readonly<Record<string, unknown>>, name: string): number => {
  const { hello, protocol } = fields;
  if (hello !== GREETING) throw new DrError('PROTOCOL_ERROR', `${name} does not begin as one of ours does`);
  if (!isCount(protocol) || protocol < 1) throw new DrError('PROTOCOL_ERROR', `${name} names no version of the protocol`);
  return Math.min(PROTOCOL, protocol);
};

/** An error as the peer tells it: known codes, listed keys, plain text, whatever it sent. */
export const errorFrom = (record: unknown): DrError => {
  const { code, message, hint, context } = fieldsOf(record);
  const known = typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL';
  const listed = Object.entries(typeof context === 'object' && context !== null ? context : {}).flatMap(
    ([key, value]): [ContextKey, string | number | boolean][] => {
      if (!(CONTEXT_KEYS as readonly string[]).includes(key)) return [];
      if (typeof value === 'number' || typeof value === 'boolean') return [[key as ContextKey, value]];
      return typeof value === 'string' ? [[key as ContextKey, plain(value)]] : [];
    },
  );
  return new DrError(known, plain(message), {
    ...(typeof hint === 'string' ? { hint: plain(hint) } : {}),
    context: Object.fromEntries(listed),
  });
};
