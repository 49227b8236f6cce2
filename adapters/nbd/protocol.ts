// The NBD protocol as far as a client needs it: fixed newstyle handshake, structured replies, base:allocation.
// Numbers from https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
import { DrError, type DrErrorOptions, type ErrorCode } from '../../core/contract/errors.ts';

export const MAGIC = {
  server: 0x4e42444d41474943n,
  option: 0x49484156454f5054n,
  optionReply: 0x3e889045565a9n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = { go: 7, structuredReply: 8, setMetaContext: 10 } as const;

export const REPLY = { ack: 1, info: 3, metaContext: 4, errorBit: 0x80000000 } as const;

export const INFO = { export: 0, blockSize: 3 } as const;

export const EXPORT_FLAG = { readOnly: 1 << 1, sendFlush: 1 << 2, sendWriteZeroes: 1 << 6 } as const;

export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, writeZeroes: 6, blockStatus: 7 } as const;
export type CommandName = keyof typeof COMMAND;

export const CHUNK = { done: 1, none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, error: 0x8001, errorOffset: 0x8002 } as const;

/** base:allocation: the range reads as zero. A hole without it may hold anything. */
export const STATE_ZERO = 2;

export const REQUEST_BYTES = 28;

const UINT32 = 2 ** 32;

export const putUint64 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, Math.floor(value / UINT32));
  view.setUint32(at + 4, value % UINT32);
};

/** Beyond 2^53 it is no longer exact, and no disk is so large: callers check the range. */
export const getUint64 = (view: DataView, at: number): number => view.getUint32(at) * UINT32 + view.getUint32(at + 4);

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export interface RequestHeader {
  readonly command: CommandName;
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
}

export const encodeRequest = ({ command, handle, offset, length }: RequestHeader): Uint8Array => {
  const bytes = new Uint8Array(REQUEST_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC.request);
  view.setUint16(6, COMMAND[command]);
  putUint64(view, 8, handle);
  putUint64(view, 16, offset);
  view.setUint32(24, length);
  return bytes;
};

export const encodeOption = (option: number, data: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(16 + data.length);
  const view = viewOf(bytes);
  view.setBigUint64(0, MAGIC.option);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  bytes.set(data, 16);
  return bytes;
};

/** A name with its length in front, as options carry it. */
const sized = (text: string): Uint8Array => {
  const name = new TextEncoder().encode(text);
  const bytes = new Uint8Array(4 + name.length);
  viewOf(bytes).setUint32(0, name.length);
  bytes.set(name, 4);
  return bytes;
};

export const encodeGo = (exportName: string): Uint8Array => {
  const name = sized(exportName);
  const bytes = new Uint8Array(name.length + 4);
  bytes.set(name);
  const view = viewOf(bytes);
  view.setUint16(name.length, 1);
  view.setUint16(name.length + 2, INFO.blockSize);
  return encodeOption(OPTION.go, bytes);
};

export const encodeSetMetaContext = (exportName: string, context: string): Uint8Array => {
  const name = sized(exportName);
  const query = sized(context);
  const bytes = new Uint8Array(name.length + 4 + query.length);
  bytes.set(name);
  viewOf(bytes).setUint32(name.length, 1);
  bytes.set(query, name.length + 4);
  return encodeOption(OPTION.setMetaContext, bytes);
};

/** What a parser waits for: bytes into `into`, or thrown away where that is absent. Clearing `into` while it waits is allowed. */
export interface Want {
  into?: Uint8Array | undefined;
  readonly bytes: number;
}

/** Written as if it could block: it yields what it wants, and goes on when it has it. It throws on nonsense. */
export type Parser<T> = Generator<Want, T, void>;

export const protocolError = (message: string, options?: DrErrorOptions): DrError => new DrError('PROTOCOL_ERROR', message, options);

/**
 * What the server answers a request with. EIO says that the disk behind the server failed or went away (a host that reboots, a network file copy
 * session that was cut): a new connection is what helps, if anything does, hence CONNECTION_LOST.
 */
const SERVER_ERRORS: Readonly<Record<number, readonly [name: string, code: ErrorCode, hint?: string]>> = {
  1: ['EPERM', 'PERMISSION_DENIED'],
  5: ['EIO', 'CONNECTION_LOST', 'look into the log of the NBD server: the disk behind it failed, or is no longer reachable'],
  12: ['ENOMEM', 'HOST_BUSY'],
  22: ['EINVAL', 'PROTOCOL_ERROR'],
  28: ['ENOSPC', 'TARGET_FULL'],
  30: ['EROFS', 'PERMISSION_DENIED'],
  75: ['EOVERFLOW', 'PROTOCOL_ERROR'],
  95: ['ENOTSUP', 'CAPABILITY_MISSING'],
  108: ['ESHUTDOWN', 'CONNECTION_LOST', 'find out why the NBD server is ending'],
};

export const serverError = (errno: number, what: string, context: NonNullable<DrErrorOptions['context']>): DrError => {
  const [name, code, hint] = SERVER_ERRORS[errno] ?? [`error ${errno}`, 'PROTOCOL_ERROR'];
  return new DrError(code, `${what} failed at the server with ${name}`, {
    context: { ...context, vendorCode: name },
    ...(hint === undefined ? {} : { hint }),
  });
};
