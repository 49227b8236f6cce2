import { type Facet, METHODS, type Method, type Session } from '../contract/index.ts';

/** The facets of a session. Those of what `open` methods give are handles. */
export type SessionFacet = Exclude<Facet, 'reader' | 'disk'>;
export type HandleFacet = 'reader' | 'disk';
export type AnyFunction = (...args: readonly unknown[]) => unknown;
export type Wrap = (facet: Facet, name: string, method: Method) => AnyFunction;

const OPTIONAL: ReadonlySet<string> = new Set(['inventory.watch', 'target.createReplica', 'target.deleteReplica', 'reader.digests']);
const STREAMING_METHODS: ReadonlySet<string> = new Set(['enableTracking', 'disableTracking', 'capture', 'keepBaselines']);

export const facetOf = (session: Session, facet: SessionFacet): object | undefined => {
  if (facet === 'session') return session;
  return facet === 'forks' ? session.target?.forks : session[facet];
};

export const SESSION_FACETS: readonly SessionFacet[] = (Object.keys(METHODS) as Facet[]).filter(
  (facet): facet is SessionFacet => facet !== 'reader' && facet !== 'disk',
);

const methodsOf = (facet: Facet): readonly (readonly [string, Method])[] => Object.entries(METHODS[facet]);

/** The first method that this facet must have and has not, as `facet.method`. */
export const findMissingMethod = (facet: Facet, of: object): string | undefined => {
  const kind = facet === 'source' ? (of as { kind?: unknown }).kind : undefined;
  const expected = methodsOf(facet).filter(([name]) => {
    if (OPTIONAL.has(`${facet}.${name}`)) return false;
    if (kind === undefined) return true;
    return kind === 'streaming' ? STREAMING_METHODS.has(name) : name !== 'capture';
  });
  const missing = expected.find(([name]) => typeof (of as Record<string, unknown>)[name] !== 'function');
  return missing === undefined ? undefined : `${facet}.${missing[0]}`;
};

const mapFacet = (facet: Facet, of: object, wrap: Wrap): Record<string, unknown> => {
  const mapped: Record<string, unknown> = {};
  for (const [name, method] of methodsOf(facet)) {
    if (typeof (of as Record<string, unknown>)[name] === 'function') mapped[name] = wrap(facet, name, method);
  }
  return mapped;
};

/** An object of the session's shape: the same facets, methods and plain members, each method replaced by what `wrap` makes. */
export const mapSession = (session: Session, wrap: Wrap): Omit<Session, typeof Symbol.asyncDispose> => {
  const mapped: Record<string, unknown> = { ...mapFacet('session', session, wrap), capabilities: session.capabilities };
  for (const facet of SESSION_FACETS) {
    const of = facetOf(session, facet);
    if (facet === 'session' || facet === 'forks' || of === undefined) continue;
    mapped[facet] = mapFacet(facet, of, wrap);
  }
  if (session.source !== undefined) Object.assign(mapped['source'] as object, { kind: session.source.kind });
  const forks = session.target?.forks;
  if (forks !== undefined) Object.assign(mapped['target'] as object, { forks: { ...mapFacet('forks', forks, wrap), modes: forks.modes } });
  return mapped as unknown as Omit<Session, typeof Symbol.asyncDispose>;
};

interface HandleSizes {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
}

/** The same for an open reader or replica disk, which reads as a reader does and writes; `close` is its disposal. */
export const mapHandle = <H extends HandleSizes>(kind: HandleFacet, handle: H, wrap: Wrap, close: () => Promise<unknown>): H => {
  const { sizeBytes, alignmentBytes, maxRequestBytes, maxInFlight } = handle;
  const methods = { ...mapFacet('reader', handle, wrap), ...(kind === 'disk' ? mapFacet('disk', handle, wrap) : {}) };
  return { ...methods, sizeBytes, alignmentBytes, maxRequestBytes, maxInFlight, [Symbol.asyncDispose]: close } as unknown as H;
};

/** Which handle an `open` method gives. */
export const handleOf = (facet: Facet, name: string): HandleFacet => (facet === 'source' && name === 'openReader' ? 'reader' : 'disk');
