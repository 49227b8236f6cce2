import { join } from 'node:path';
import { type Call, DrError, type Epoch, type ItemId } from '../contract/index.ts';
import type { Item, Side } from '../domain/item.ts';
import { createCall } from '../host/call.ts';
import type { EndpointSession, Host } from '../host/host.ts';
import { Lifeline } from '../host/lifeline.ts';
import type { Journal } from '../journal/journal.ts';
import type { Marks } from '../journal/marks.ts';
import type { Files } from '../ports/files.ts';
import { isoTime, type Runtime } from '../ports/runtime.ts';
import type { Store } from '../state/database.ts';
import { type EventInput, recordEvent } from '../state/events.ts';
import { getEndpoint } from '../state/records.ts';
import type { FreeSpace } from './limits.ts';
import type { Locks } from './locks.ts';

/** What every part of the engine above host, journal and state works with. */
export interface Core {
  readonly home: string;
  /** This installation, in everything that it creates at an endpoint. */
  readonly ownerId: string;
  readonly runtime: Runtime;
  readonly files: Files;
  readonly store: Store;
  readonly host: Host;
  readonly locks: Locks;
  readonly journals: SiteJournals;
  /** Cycles that this process is running: reconciliation leaves them alone. */
  readonly activeCycles: Map<string, ActiveCycle>;
  /** What is given back of cycles that nobody runs any more. */
  readonly releases: Map<string, Release>;
  readonly freeSpace: FreeSpace;
}

export interface ActiveCycle {
  readonly groupId: string;
  readonly interrupt: AbortController;
}

export interface Release extends ActiveCycle {
  readonly done: Promise<void>;
}

/** Journals and marks of the sites whose storage is here. */
export interface SiteJournals {
  journal(site: string, item: ItemId): Promise<Journal>;
  marks(site: string): Promise<Marks>;
  remove(site: string, item: ItemId): Promise<void>;
  /** Gives file handles back; nothing is lost. */
  close(): Promise<void>;
}

export const siteDirectory = (home: string, site: string): string => join(home, 'sites', site);

export const nowIso = (core: Pick<Core, 'runtime'>): string => isoTime(core.runtime.clock.now());

/** Rejects with the signal's reason when it aborts first; the session is opened all the same, for the next. */
export const openEndpoint = async (
  core: Pick<Core, 'host' | 'store'>,
  endpoint: string,
  signal?: AbortSignal,
): Promise<EndpointSession> => {
  const { id, plugin, config } = await getEndpoint(core.store.db, endpoint);
  return new Lifeline().race(core.host.open({ id, plugin, config }), signal);
};

export const sourceOf = (core: Core, item: Item, signal?: AbortSignal): Promise<EndpointSession> =>
  openEndpoint(core, item.source.endpoint, signal);

export const replicaOf = (item: Item): Side => {
  if (!item.replica) throw new DrError('STATE_CONFLICT', `${item.name} has no replica yet`, { context: { item: item.id } });
  return item.replica;
};

export const callFor = (core: Pick<Core, 'runtime'>, operationId: string, signal: AbortSignal, fence?: Epoch): Call =>
  createCall(core.runtime, { operationId, signal, ...(fence ? { fence } : {}) });

/** A call that changes something of this item: it carries the item's epoch. */
export const fencedCall = (core: Pick<Core, 'runtime'>, item: Pick<Item, 'epoch'>, operationId: string, signal: AbortSignal): Call =>
  callFor(core, operationId, signal, item.epoch);

/** Work that nobody waits for. What it throws is a fault of ours, or of this computer: it is told, and does not end the engine for all the others. */
export const unattended = (core: Pick<Core, 'runtime'>, what: string, work: Promise<void>): Promise<void> =>
  work.catch((error: unknown) => {
    core.runtime.log.warn('unexpected failure', { what, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  });

export const emit = (core: Pick<Core, 'store' | 'runtime'>, event: Omit<EventInput, 'at'>): Promise<void> =>
  recordEvent(core.store.db, { at: nowIso(core), ...event });

/** The facet, or CAPABILITY_MISSING naming the endpoint and what it lacks. */
export const facetOf = <K extends 'power' | 'source' | 'target' | 'network' | 'fence' | 'nativePair'>(
  session: EndpointSession,
  facet: K,
): NonNullable<EndpointSession[K]> => {
  const found = session[facet];
  if (!found) {
    throw new DrError('CAPABILITY_MISSING', `endpoint ${session.endpointId} has no ${facet}`, {
      context: { endpoint: session.endpointId, plugin: session.plugin, kind: facet },
    });
  }
  return found as NonNullable<EndpointSession[K]>;
};

/** Ends what is still being given back of the group's earlier cycles: an endpoint that does not answer stands in the way of no new one. */
export const endReleases = async (core: Core, groupId: string): Promise<void> => {
  const releases = [...core.releases.values()].filter((release) => release.groupId === groupId);
  for (const { interrupt } of releases) interrupt.abort(new DrError('ABORTED', 'a new cycle of the group begins'));
  await Promise.allSettled(releases.map(({ done }) => done));
};

/** Ends the cycle that the group runs just now, and waits until it has ended: nothing is sealed behind the caller's back. Its endpoints are not waited for. */
export const drainCycles = async (core: Core, groupId: string, signal: AbortSignal): Promise<void> => {
  for (const [id, cycle] of core.activeCycles) {
    if (cycle.groupId === groupId)
      cycle.interrupt.abort(new DrError('ABORTED', `cycle ${id} gives way to what was asked for its machines`, { context: { cycle: id } }));
  }
  await core.locks.with(`group ${groupId}`, signal, async () => {});
};
