import { Coverage } from './coverage.ts';
import type { NbdExtent } from './port.ts';
import { CHUNK, type CommandName, getUint64, MAGIC, type Parser, protocolError, STATE_ZERO, viewOf, type Want } from './protocol.ts';

/** A request that the server owes an answer for. */
export interface Pending {
  readonly command: CommandName;
  readonly offset: number;
  readonly length: number;
  /** Of a read. Cleared when nobody waits any more: its bytes are thrown away then. */
  into?: Uint8Array | undefined;
  /** The part of `into` that is being filled just now. */
  receiving?: Want | undefined;
  covered?: Coverage;
  extents?: readonly NbdExtent[];
  errno?: number;
}

export interface Replies {
  /** The server, for messages. */
  readonly name: string;
  readonly structured: boolean;
  readonly allocationId: number | undefined;
  readonly pending: ReadonlyMap<number, Pending>;
  /** All of the answer is here; `errno` of the pending request says how it went. */
  answered(handle: number): void;
}

interface Chunk {
  readonly flags: number;
  readonly type: number;
  readonly bytes: number;
}

/** nbdkit gives up to 2^20 extents in one answer. */
const MAX_STATUS_BYTES = 4 + (8 << 20);
const MAX_ERROR_BYTES = 8 << 10;

/** Reads answers for ever. Throws PROTOCOL_ERROR at the first one that cannot be: after it nobody knows where the next one begins. */
export function* replies(session: Replies): Parser<never> {
  const header = new Uint8Array(20);
  const view = viewOf(header);
  for (;;) {
    yield { into: header, bytes: 16 };
    const magic = view.getUint32(0);
    const handle = getUint64(view, 8);
    const pending = session.pending.get(handle);
    if (magic !== MAGIC.simpleReply && magic !== MAGIC.structuredReply) throw nonsense(session, 'sent something that is no answer');
    if (!pending) throw nonsense(session, 'answered a request that it does not have');
    if (magic === MAGIC.simpleReply) {
      yield* simple(session, pending, view.getUint32(4));
      session.answered(handle);
      continue;
    }
    if (!session.structured) throw nonsense(session, 'answered in parts, which was not agreed');
    yield { into: header.subarray(16), bytes: 4 };
    const chunk = { flags: view.getUint16(4), type: view.getUint16(6), bytes: view.getUint32(16) };
    yield* structured(session, pending, chunk);
    if (!(chunk.flags & CHUNK.done)) continue;
    assertComplete(session, pending);
    session.answered(handle);
  }
}

function* simple(session: Replies, pending: Pending, errno: number): Parser<void> {
  if (errno !== 0) pending.errno = errno;
  else if (pending.command === 'blockStatus') throw nonsense(session, 'gave no extents');
  else if (pending.command === 'read') {
    // Agreed answers in parts say how much they hold; of this one it is not certain whether data follows.
    if (session.structured) throw nonsense(session, 'answered a read in one piece, which was not agreed');
    yield* fill(pending, 0, pending.length);
  }
}

function* structured(session: Replies, pending: Pending, chunk: Chunk): Parser<void> {
  switch (chunk.type) {
    case CHUNK.none:
      if (chunk.bytes !== 0 || !(chunk.flags & CHUNK.done)) throw nonsense(session, 'sent an empty part with something in it');
      return;
    case CHUNK.offsetData:
      return yield* data(session, pending, chunk);
    case CHUNK.offsetHole:
      return yield* hole(session, pending, chunk);
    case CHUNK.blockStatus:
      return yield* blockStatus(session, pending, chunk);
    default:
      if (!(chunk.type & 0x8000)) throw nonsense(session, `sent a part of unknown type ${chunk.type}`);
      return yield* failure(session, pending, chunk);
  }
}

function* data(session: Replies, pending: Pending, { bytes }: Chunk): Parser<void> {
  if (bytes <= 8) throw nonsense(session, 'sent data of no length');
  const start = (yield* offsetOf()) - pending.offset;
  cover(session, pending, start, bytes - 8);
  yield* fill(pending, start, bytes - 8);
}

function* hole(session: Replies, pending: Pending, { bytes }: Chunk): Parser<void> {
  if (bytes !== 12) throw nonsense(session, 'sent a hole that is none');
  const start = (yield* offsetOf()) - pending.offset;
  const length = new Uint8Array(4);
  yield { into: length, bytes: 4 };
  const holeBytes = viewOf(length).getUint32(0);
  if (holeBytes === 0) throw nonsense(session, 'sent a hole of no length');
  cover(session, pending, start, holeBytes);
  pending.into?.fill(0, start, start + holeBytes);
}

/** Before a byte of it is stored: it was asked for, and did not come before. */
const cover = (session: Replies, pending: Pending, start: number, bytes: number): void => {
  if (pending.command !== 'read') throw nonsense(session, 'sent data that nobody asked for');
  pending.covered ??= new Coverage();
  if (start < 0 || start + bytes > pending.length || !pending.covered.add(start, start + bytes)) {
    throw nonsense(session, 'sent data beside what was asked for, or twice');
  }
};

function* fill(pending: Pending, start: number, bytes: number): Parser<void> {
  const want: Want = { into: pending.into?.subarray(start, start + bytes), bytes };
  pending.receiving = want;
  yield want;
  pending.receiving = undefined;
}

function* offsetOf(): Parser<number> {
  const into = new Uint8Array(8);
  yield { into, bytes: 8 };
  return getUint64(viewOf(into), 0);
}

function* blockStatus(session: Replies, pending: Pending, { bytes }: Chunk): Parser<void> {
  if (pending.command !== 'blockStatus' || pending.extents) throw nonsense(session, 'gave extents that nobody asked for');
  if (bytes < 12 || bytes % 8 !== 4 || bytes > MAX_STATUS_BYTES) throw nonsense(session, `gave extents of ${bytes} bytes`);
  const into = new Uint8Array(bytes);
  yield { into, bytes };
  const view = viewOf(into);
  if (view.getUint32(0) !== session.allocationId) throw nonsense(session, 'gave extents of another kind');
  const extents: NbdExtent[] = [];
  let offset = pending.offset;
  for (let at = 4; at < bytes; at += 8) {
    const length = view.getUint32(at);
    if (length === 0) throw nonsense(session, 'gave an extent of no length');
    extents.push({ offset, length, ...(view.getUint32(at + 4) & STATE_ZERO ? { zero: true } : {}) });
    offset += length;
  }
  pending.extents = extents;
}

function* failure(session: Replies, pending: Pending, { bytes }: Chunk): Parser<void> {
  if (bytes < 6 || bytes > MAX_ERROR_BYTES) throw nonsense(session, `sent an error of ${bytes} bytes`);
  const into = new Uint8Array(bytes);
  yield { into, bytes };
  const errno = viewOf(into).getUint32(0);
  if (errno === 0) throw nonsense(session, 'sent an error that is none');
  pending.errno ??= errno;
}

const assertComplete = (session: Replies, { command, length, covered, extents, errno }: Pending): void => {
  if (errno !== undefined) return;
  if (command === 'read' && covered?.bytes !== length) throw nonsense(session, 'left out a part of what was asked for');
  if (command === 'blockStatus' && !extents) throw nonsense(session, 'gave no extents');
};

const nonsense = ({ name }: Replies, what: string) => protocolError(`the NBD server at ${name} ${what}`);
