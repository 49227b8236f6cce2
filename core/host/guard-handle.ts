import { type Call, type DiskReader, DrError, type Facet, type Method, type ReplicaDisk } from '../contract/index.ts';
import type { ElementCheck, Fail } from './answers.ts';
import { GuardScope } from './guard-scope.ts';
import { type AnyFunction, findMissingMethod, type HandleFacet, mapHandle } from './shape.ts';

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value > 0;

const checkSizes = (handle: DiskReader, fail: Fail): void => {
  const { sizeBytes, alignmentBytes, maxRequestBytes, maxInFlight } = handle;
  if (!isCount(sizeBytes)) fail(`gave a disk of ${sizeBytes} bytes`);
  if (!isCount(alignmentBytes)) fail(`gave a disk with an alignment of ${alignmentBytes} bytes`);
  if (!isCount(maxRequestBytes) || maxRequestBytes < alignmentBytes) fail(`gave a disk that takes requests of ${maxRequestBytes} bytes`);
  if (!isCount(maxInFlight)) fail(`gave a disk that takes ${maxInFlight} requests at a time`);
};

/** The last request of a disk may end where the disk ends; all others are whole multiples of the alignment. */
const checkRange = (of: DiskReader, offset: number, length: number, fail: Fail): void => {
  const { sizeBytes, alignmentBytes, maxRequestBytes } = of;
  const end = offset + length;
  if (!Number.isSafeInteger(offset) || offset < 0 || !isCount(length)) fail(`was called with the range ${offset}+${length}`);
  if (end > sizeBytes) fail(`was called with the range ${offset}+${length} of a disk of ${sizeBytes} bytes`);
  if (length > maxRequestBytes) fail(`was called with ${length} bytes where ${maxRequestBytes} is the most`);
  if (offset % alignmentBytes !== 0 || (length % alignmentBytes !== 0 && end !== sizeBytes)) {
    fail(`was called with the range ${offset}+${length}, which is not aligned to ${alignmentBytes} bytes`);
  }
};

const SHA256_BYTES = 32;

const digestCheck = (
  of: DiskReader,
  blockBytes: number,
  from: number,
  fail: Fail,
): ElementCheck<{ offset: number; sha256: Uint8Array }> => {
  let next = from;
  return {
    element: ({ offset, sha256 }) => {
      if (offset !== next) fail(`gave the digest of block ${offset} where ${next} was due`);
      if (!(sha256 instanceof Uint8Array) || sha256.length !== SHA256_BYTES) fail(`gave a digest of ${sha256.length} bytes at ${offset}`);
      next = offset + blockBytes;
    },
    end: () => {
      if (next < of.sizeBytes) fail(`ended at ${next} of ${of.sizeBytes} bytes`);
    },
  };
};

type Run = (method: Method, path: string, args: readonly unknown[]) => unknown;

const runRead =
  (scope: GuardScope, handle: DiskReader, fail: Fail): Run =>
  async (method, path, args) => {
    const [offset, into, call] = args as [number, Uint8Array, Call];
    scope.admit(method, call, fail);
    if (!(into instanceof Uint8Array)) fail('was called without a buffer');
    const lengthBytes = into.length;
    checkRange(handle, offset, lengthBytes, fail);
    const answer: unknown = await scope.run(path, call.signal, () => handle.read(offset, into, call));
    // Some plugins answer with a count: it must not be a short one. One that gave the buffer away filled nothing.
    const filledBytes = typeof answer === 'number' ? Math.min(answer, into.length) : into.length;
    if (filledBytes !== lengthBytes) fail(`filled ${filledBytes} of ${lengthBytes} bytes at ${offset}`);
  };

const runWrite =
  (scope: GuardScope, disk: ReplicaDisk, fail: Fail): Run =>
  async (method, path, args) => {
    const [offset, data, call] = args as [number, Uint8Array, Call];
    scope.admit(method, call, fail);
    if (!(data instanceof Uint8Array)) fail('was called without data');
    checkRange(disk, offset, data.length, fail);
    await scope.run(path, call.signal, () => disk.write(offset, data, call));
  };

const runWriteZeroes =
  (scope: GuardScope, disk: ReplicaDisk, fail: Fail): Run =>
  async (method, path, args) => {
    const [offset, length, call] = args as [number, number, Call];
    scope.admit(method, call, fail);
    checkRange(disk, offset, length, fail);
    await scope.run(path, call.signal, () => disk.writeZeroes(offset, length, call));
  };

const runFlush =
  (scope: GuardScope, disk: ReplicaDisk, fail: Fail): Run =>
  async (method, path, args) => {
    const [call] = args as [Call];
    scope.admit(method, call, fail);
    await scope.run(path, call.signal, () => disk.flush(call));
  };

const runDigests = (scope: GuardScope, handle: DiskReader, fail: Fail): Run =>
  async function* (method, path, args) {
    const [blockBytes, from, call] = args as [number, number, Call];
    scope.admit(method, call, fail);
    if (!isCount(blockBytes) || from % blockBytes !== 0) fail(`was called with blocks of ${blockBytes} bytes from ${from} on`);
    const start = (): AsyncIterable<{ offset: number; sha256: Uint8Array }> => handle.digests!(blockBytes, from, call);
    yield* scope.stream(path, call.signal, start, digestCheck(handle, blockBytes, from, fail));
  };

const runnerOf = (scope: GuardScope, handle: DiskReader | ReplicaDisk, name: string, fail: Fail): Run => {
  if (name === 'read') return runRead(scope, handle, fail);
  if (name === 'digests') return runDigests(scope, handle, fail);
  const disk = handle as ReplicaDisk;
  if (name === 'write') return runWrite(scope, disk, fail);
  return name === 'writeZeroes' ? runWriteZeroes(scope, disk, fail) : runFlush(scope, disk, fail);
};

/**
 * A reader or replica disk whose requests are checked before, and its answers after. It is closed once, by its user or by the end of its session;
 * what is under way then rejects, and so does every later request.
 */
export const guardHandle = <H extends DiskReader>(session: GuardScope, kind: HandleFacet, path: string, handle: H): H => {
  const fail = session.failing(path);
  session.inspect(fail, () => {
    const missing = findMissingMethod('reader', handle) ?? (kind === 'disk' ? findMissingMethod('disk', handle) : undefined);
    if (missing !== undefined) fail(`gave a disk without the method ${missing}`);
    checkSizes(handle, fail);
  });

  const { endpoint, manifest } = session.of;
  const scope = new GuardScope(session.of, session.facts);
  let closing: Promise<unknown> | undefined;
  const close = (reason: unknown): Promise<unknown> => {
    scope.lifeline.end(reason);
    session.open.delete(leave);
    closing ??= scope.finish(`${kind}.close`, async () => {
      const streams = Promise.allSettled([...scope.open].map(async (each) => await each()));
      await handle[Symbol.asyncDispose]?.();
      await streams;
    });
    return closing;
  };
  const leave = (): Promise<unknown> => close(session.lifeline.endedBy);
  session.open.add(leave);

  const wrap = (facet: Facet, name: string, method: Method): AnyFunction => {
    const full = `${facet}.${name}`;
    const run = runnerOf(scope, handle, name, scope.failing(full));
    return (...args) => run(method, full, args);
  };
  const context = { endpoint, plugin: manifest.id };
  const message = `the ${kind} of ${path} on endpoint ${endpoint} is closed`;
  return mapHandle(kind, handle, wrap, () => close(new DrError('STATE_CONFLICT', message, { context })));
};
