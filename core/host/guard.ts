import { type Call, type DiskReader, DrError, type Facet, type Method, type Pass, type PassDisk, type Session } from '../contract/index.ts';
import { type AnswerCheck, CHECKS, extentCheck, findEmptyPromise, findExcessCapability } from './answers.ts';
import { guardHandle } from './guard-handle.ts';
import { type Guarded, GuardScope } from './guard-scope.ts';
import { type AnyFunction, facetOf, findMissingMethod, handleOf, mapSession, SESSION_FACETS } from './shape.ts';

/** The extents of a pass may be read under a call of their own, with its own deadline. */
export interface GuardedPassDisk extends PassDisk {
  extents(from: number, call?: Call): ReturnType<PassDisk['extents']>;
}

const checkShape = (scope: GuardScope, session: Session): void => {
  const fail = scope.failing('connect');
  scope.inspect(fail, () => {
    if (session.inventory === undefined) fail('gave a session without the facet inventory');
    const kind: unknown = session.source?.kind;
    if (session.source !== undefined && kind !== 'snapshot' && kind !== 'streaming') fail(`gave a source of the kind ${String(kind)}`);
    for (const facet of SESSION_FACETS) {
      const of = facetOf(session, facet);
      const missing = of === undefined ? undefined : findMissingMethod(facet, of);
      if (missing !== undefined) fail(`gave a session without the method ${missing}`);
    }
    const excess = findExcessCapability(session.capabilities, scope.of.manifest.capabilities);
    if (excess !== undefined) fail(`gave a session with ${excess} ${String(session.capabilities[excess])}, more than its manifest states`);
    const empty = findEmptyPromise(session);
    if (empty !== undefined) fail(`gave a session that promises ${empty}`);
  });
};

const checkFirst = (args: readonly unknown[], check: AnswerCheck | undefined, scope: GuardScope, path: string): void => {
  const fail = scope.failing(path);
  if (args[0] === '') fail('was called with an empty id');
  check?.asked?.(args, fail, scope.facts);
};

const guardPass = (scope: GuardScope, pass: Pass, call: Call): Pass => ({
  ...pass,
  disks: pass.disks.map((disk): GuardedPassDisk => {
    const fail = scope.failing('source.capture');
    return {
      disk: disk.disk,
      ...(disk.baseline === undefined ? {} : { baseline: disk.baseline }),
      reader: guardHandle<DiskReader>(scope, 'reader', 'source.capture', disk.reader),
      extents: (from, own = call) =>
        scope.stream('source.capture', own.signal, () => disk.extents(from), extentCheck(from, disk.reader.sizeBytes, fail)),
    };
  }),
});

const guardMethod = (scope: GuardScope, on: object, facet: Facet, name: string, method: Method): AnyFunction => {
  const path = `${facet}.${name}`;
  const fail = scope.failing(path);
  const check = CHECKS[path];
  const target = (on as Record<string, AnyFunction>)[name]!;
  const admit = (args: readonly unknown[]): Call => {
    const call = args.at(-1) as Call;
    scope.admit(method, call, fail);
    checkFirst(args, check, scope, path);
    return call;
  };

  if (method.shape === 'stream') {
    return async function* (...args) {
      const call = admit(args);
      const elements = check?.elements?.(args, fail, scope.facts);
      const stream = scope.stream(path, call.signal, () => target.apply(on, [...args]) as AsyncIterable<unknown>, elements);
      if (path !== 'source.capture') return yield* stream;
      for await (const pass of stream) {
        const guarded = guardPass(scope, pass as Pass, call);
        try {
          yield guarded;
        } finally {
          // A pass is over when the next one is asked for, and so are its readers.
          const closing = Promise.allSettled(guarded.disks.map((disk) => disk.reader[Symbol.asyncDispose]()));
          await scope.lifeline.race(closing, call.signal);
        }
      }
    };
  }
  return async (...args) => {
    const call = admit(args);
    const isHandle = method.shape === 'open';
    const late = isHandle ? (handle: unknown) => void Promise.resolve(dispose(handle)).catch(() => {}) : undefined;
    const answer = await scope.run(path, call.signal, () => target.apply(on, [...args]), late);
    try {
      scope.inspect(fail, () => check?.answered?.(answer, args, fail, scope.facts));
      return isHandle ? guardHandle(scope, handleOf(facet, name), path, answer as DiskReader) : answer;
    } catch (error) {
      late?.(answer);
      throw error;
    }
  };
};

const dispose = (handle: unknown): unknown => (handle as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose]?.();

/**
 * The plugin's session with everything that it is asked and says checked: see answers.ts for what. Refuses a session that lacks what it promises.
 * Disposing it ends all that is under way, closes what is open, and then every call rejects with CONNECTION_LOST; the plugin's session is disposed once.
 */
export const guardSession = (session: Session, of: Guarded): Session => {
  checkShape(new GuardScope(of, { sizes: of.sizes, capabilities: of.manifest.capabilities }), session);
  const scope = new GuardScope(of, { sizes: of.sizes, capabilities: session.capabilities });
  const guarded = mapSession(session, (facet, name, method) => {
    if (facet === 'reader' || facet === 'disk') throw new DrError('INTERNAL', `${facet} is no facet of a session`);
    return guardMethod(scope, facetOf(session, facet)!, facet, name, method);
  });
  let closing: Promise<unknown> | undefined;
  const close = (): Promise<unknown> => {
    const { endpoint, manifest } = of;
    const context = { endpoint, plugin: manifest.id };
    scope.lifeline.end(new DrError('CONNECTION_LOST', `the session to endpoint ${endpoint} was closed`, { context }));
    // Together, because one that hangs must not keep the others open.
    closing ??= Promise.allSettled([
      ...[...scope.open].map(async (leave) => await leave()),
      scope.finish('close', () => session[Symbol.asyncDispose]()),
    ]);
    return closing;
  };
  return { ...guarded, [Symbol.asyncDispose]: async () => void (await close()) } as Session;
};
