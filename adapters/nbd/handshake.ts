import { DrError } from '../../core/contract/errors.ts';
import {
  EXPORT_FLAG,
  encodeGo,
  encodeOption,
  encodeSetMetaContext,
  getUint64,
  HANDSHAKE,
  INFO,
  MAGIC,
  OPTION,
  type Parser,
  protocolError,
  REPLY,
  viewOf,
} from './protocol.ts';

/** What the two sides have agreed on. */
export interface Negotiated {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly canFlush: boolean;
  readonly canWriteZeroes: boolean;
  readonly structured: boolean;
  /** Of base:allocation, where the server tells extents. */
  readonly allocationId: number | undefined;
  readonly minimumBlockBytes: number;
  readonly maxRequestBytes: number;
}

export interface Peer {
  readonly exportName: string;
  /** The server, for messages. */
  readonly name: string;
  send(bytes: Uint8Array): void;
}

/** The specification bids a client without advice to stay within these: 512 bytes, which is also VDDK's sector, and 32 MiB. */
const CAUTIOUS = { minimum: 512, maximum: 32 << 20 } as const;

/** An option's answer is small, and comes in few parts; a server that sends more is not one. */
const MAX_REPLY_BYTES = 64 << 10;
const MAX_REPLIES = 64;

const ALLOCATION = 'base:allocation';

const REFUSALS: Readonly<Record<number, string>> = {
  1: 'it does not know this request',
  2: 'its policy forbids it',
  3: 'it calls the request invalid',
  4: 'its platform does not support it',
  5: 'it wants TLS',
  6: 'it does not know the export',
  7: 'it is shutting down',
  8: 'it insists on a block size',
  9: 'it calls the request too big',
};

interface OptionReply {
  readonly kind: number;
  readonly data: Uint8Array;
}

export function* handshake(peer: Peer): Parser<Negotiated> {
  const greeting = yield* take(18);
  if (greeting.getBigUint64(0) !== MAGIC.server) throw protocolError(`what answers at ${peer.name} is no NBD server`);
  if (greeting.getBigUint64(8) !== MAGIC.option || !(greeting.getUint16(16) & HANDSHAKE.fixedNewstyle)) {
    throw protocolError(`the NBD server at ${peer.name} only speaks a handshake of before 2012`);
  }
  const flags = new Uint8Array(4);
  viewOf(flags).setUint32(0, HANDSHAKE.fixedNewstyle | (greeting.getUint16(16) & HANDSHAKE.noZeroes));
  peer.send(flags);

  peer.send(encodeOption(OPTION.structuredReply, new Uint8Array(0)));
  const structured = (yield* optionReplies(peer, OPTION.structuredReply)).at(-1)?.kind === REPLY.ack;
  const allocationId = structured ? yield* negotiateAllocation(peer) : undefined;
  return { ...(yield* go(peer)), structured, allocationId };
}

function* negotiateAllocation(peer: Peer): Parser<number | undefined> {
  peer.send(encodeSetMetaContext(peer.exportName, ALLOCATION));
  const replies = yield* optionReplies(peer, OPTION.setMetaContext);
  if (replies.at(-1)?.kind !== REPLY.ack) return undefined;
  const context = replies.find(({ kind, data }) => kind === REPLY.metaContext && textOf(data.subarray(4)) === ALLOCATION);
  return context && viewOf(context.data).getUint32(0);
}

function* go(peer: Peer): Parser<Omit<Negotiated, 'structured' | 'allocationId'>> {
  peer.send(encodeGo(peer.exportName));
  const replies = yield* optionReplies(peer, OPTION.go);
  const last = replies.at(-1)!;
  if (last.kind !== REPLY.ack) throw refused(peer, last);
  const info = (type: number, bytes: number): DataView | undefined => {
    const found = replies.find(({ kind, data }) => kind === REPLY.info && data.length === bytes && viewOf(data).getUint16(0) === type);
    return found && viewOf(found.data);
  };
  const about = info(INFO.export, 12);
  if (!about) throw protocolError(`the NBD server at ${peer.name} did not say how large its export is`);
  const sizeBytes = getUint64(about, 2);
  if (!Number.isSafeInteger(sizeBytes)) throw protocolError(`the NBD server at ${peer.name} claims an export of ${sizeBytes} bytes`);
  const flags = about.getUint16(10);
  return {
    sizeBytes,
    readOnly: (flags & EXPORT_FLAG.readOnly) !== 0,
    canFlush: (flags & EXPORT_FLAG.sendFlush) !== 0,
    canWriteZeroes: (flags & EXPORT_FLAG.sendWriteZeroes) !== 0,
    ...blockSizes(peer, info(INFO.blockSize, 14)),
  };
}

const blockSizes = ({ name }: Peer, view: DataView | undefined): Pick<Negotiated, 'minimumBlockBytes' | 'maxRequestBytes'> => {
  const minimum = view?.getUint32(2) ?? CAUTIOUS.minimum;
  const maximum = Math.min(view?.getUint32(10) ?? CAUTIOUS.maximum, CAUTIOUS.maximum);
  const isPowerOfTwo = minimum > 0 && (minimum & (minimum - 1)) === 0;
  if (!isPowerOfTwo || minimum > 64 << 10 || maximum < minimum) {
    throw protocolError(`the NBD server at ${name} asks for requests of ${minimum} to ${maximum} bytes, which is not possible`);
  }
  return { minimumBlockBytes: minimum, maxRequestBytes: maximum - (maximum % minimum) };
};

/** All replies of one option, the last of which ends it: an acknowledgement or a refusal. */
function* optionReplies({ name }: Peer, option: number): Parser<readonly OptionReply[]> {
  const replies: OptionReply[] = [];
  for (;;) {
    const header = yield* take(20);
    const kind = header.getUint32(12);
    const length = header.getUint32(16);
    if (header.getBigUint64(0) !== MAGIC.optionReply || header.getUint32(8) !== option) {
      throw protocolError(`the NBD server at ${name} answered something that was not asked`);
    }
    if (length > MAX_REPLY_BYTES || replies.length === MAX_REPLIES) {
      throw protocolError(`the NBD server at ${name} answers without end`);
    }
    const data = new Uint8Array(length);
    yield { into: data, bytes: length };
    if (kind === REPLY.metaContext && length < 4) throw protocolError(`the NBD server at ${name} named a context without a number`);
    replies.push({ kind, data });
    if (kind === REPLY.ack || kind >= REPLY.errorBit) return replies;
  }
}

const refused = ({ name, exportName }: Peer, { kind, data }: OptionReply): DrError => {
  const number = kind - REPLY.errorBit;
  const said = textOf(data.subarray(0, 4096))
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();
  const reason = REFUSALS[number] ?? `it gives error ${number}`;
  const message = `the NBD server at ${name} refused export "${exportName}": ${said || reason}`;
  if (number === 2) return new DrError('PERMISSION_DENIED', message);
  if (number === 6) return new DrError('NOT_FOUND', message, { context: { kind: 'export', name: exportName } });
  if (number === 7) return new DrError('CONNECTION_LOST', message);
  return protocolError(message, number === 5 ? { hint: 'serve the export on a unix socket: warmsite does not speak NBD over TLS' } : {});
};

function* take(bytes: number): Parser<DataView> {
  const into = new Uint8Array(bytes);
  yield { into, bytes };
  return viewOf(into);
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
