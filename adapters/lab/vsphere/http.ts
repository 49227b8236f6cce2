// Answers on the wire, below SOAP.
import { DrError, type ErrorCode } from '../../../core/contract/index.ts';
import type { WireAnswer } from '../../vsphere/port.ts';
import type { InjectedError } from '../model.ts';

/** Answered with its status in place of a SOAP fault. */
export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
  }
}

const PIECE_BYTES = 65_536;

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

export async function* nothing(): AsyncGenerator<Uint8Array> {}

export const answer = (status: number, text: string, type: string): WireAnswer => ({
  status,
  headers: { 'content-type': type, 'cache-control': 'no-cache' },
  setCookies: [],
  body: pieces(text),
});

/** Breaks off when the signal aborts, and calls `close` once however it ends. */
export async function* guarded(body: AsyncIterable<Uint8Array>, signal: AbortSignal, close: () => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) {
      signal.throwIfAborted();
      yield piece;
      signal.throwIfAborted();
    }
  } finally {
    close();
  }
}

export const textOf = (body: string | Uint8Array | undefined): string =>
  typeof body === 'string' ? body : Buffer.from(body ?? []).toString('utf8');

const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  AUTH_REJECTED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  HOST_BUSY: 503,
};

/** For files a rule's error is a status: they know no faults. */
export const httpErrorOf = (act: InjectedError, method: string): Error => {
  const message = act.message ?? `${method} fails because a fault was asked for`;
  if ('error' in act && (act.error === 'CONNECTION_LOST' || act.error === 'CONNECTION_REFUSED'))
    return new DrError('CONNECTION_LOST', message, { context: { method } });
  return new HttpError(('error' in act ? STATUS[act.error] : undefined) ?? 500, message);
};
