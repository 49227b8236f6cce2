// Property filters and WaitForUpdatesEx: what has changed since the version that the client holds, sent again while the client has not confirmed it.
import type { MoRef, PropertyFilterSpec, WaitOptions } from '../../vsphere/port.ts';
import { encodeElement } from '../../vsphere/vim25/encode.ts';
import type { Timeline } from '../timeline.ts';
import { vimFault } from './fault-answers.ts';
import { notFound } from './objects.ts';
import { EncodedAnswer, readAll, type World } from './retrieval.ts';
import { assertSpec, keyOf, pathsFor, selectObjects } from './selection.ts';

/** A vCenter sends so many at most where the client sets no limit. */
const MOST_UPDATES = 100;

type Sent = ReadonlyMap<string, string>;

interface Undo {
  readonly filter: Filter;
  readonly key: string;
  readonly before: Sent | undefined;
}

export class Filter {
  readonly ref: MoRef;
  readonly spec: PropertyFilterSpec;
  readonly partialUpdates: boolean;
  readonly #world: World;
  readonly #refs = new Map<string, MoRef>();
  readonly #sent = new Map<string, Sent>();
  readonly #dirty = new Set<string>();
  #members = new Set<string>();
  #stale = true;

  constructor(
    ref: MoRef,
    spec: PropertyFilterSpec,
    { world, partialUpdates }: { readonly world: World; readonly partialUpdates: boolean },
  ) {
    assertSpec(spec);
    for (const { obj } of spec.objectSet) if (!world.exists(obj)) notFound(obj);
    this.ref = ref;
    this.spec = spec;
    this.partialUpdates = partialUpdates;
    this.#world = world;
  }

  /** Tasks and machines are looked at one by one; all else is little, and is looked at whenever anything has changed. */
  touch(changed: MoRef | undefined): void {
    if (changed?.type === 'Task') {
      if (this.#members.has(keyOf(changed))) this.#dirty.add(keyOf(changed));
      return;
    }
    this.#stale = true;
    if (changed?.type === 'VirtualMachine') this.#dirty.add(keyOf(changed));
  }

  forgetSent(): void {
    this.#sent.clear();
    this.#stale = true;
  }

  restore(key: string, before: Sent | undefined): void {
    if (before) this.#sent.set(key, before);
    else this.#sent.delete(key);
    this.#dirty.add(key);
  }

  /** Updates of so many objects at most; the rest stays for the next time. */
  take(most: number): { readonly xml: string[]; readonly undo: Undo[]; readonly left: boolean } {
    if (this.#stale) this.#select();
    const xml: string[] = [];
    const undo: Undo[] = [];
    for (const key of this.#dirty) {
      if (xml.length >= most) return { xml, undo, left: true };
      this.#dirty.delete(key);
      const before = this.#sent.get(key);
      const update = this.#updateOf(key, before);
      if (update === undefined) continue;
      xml.push(update);
      undo.push({ filter: this, key, before });
    }
    return { xml, undo, left: false };
  }

  #select(): void {
    this.#stale = false;
    const objectSet = this.spec.objectSet.filter(({ obj }) => this.#world.exists(obj));
    const found = selectObjects({ ...this.spec, objectSet }, this.#world).filter((on) => pathsFor(this.spec, on) !== undefined);
    this.#members = new Set(found.map(keyOf));
    for (const on of found) {
      const key = keyOf(on);
      this.#refs.set(key, on);
      if (!this.#sent.has(key) || (on.type !== 'VirtualMachine' && on.type !== 'Task')) this.#dirty.add(key);
    }
    for (const key of this.#sent.keys()) if (!this.#members.has(key)) this.#dirty.add(key);
  }

  #updateOf(key: string, before: Sent | undefined): string | undefined {
    const on = this.#refs.get(key);
    if (!on) return undefined;
    const obj = encodeElement('obj', 'ManagedObjectReference', on);
    if (!this.#members.has(key) || !this.#world.exists(on)) {
      this.#refs.delete(key);
      return this.#sent.delete(key) ? `<objectSet><kind>leave</kind>${obj}</objectSet>` : undefined;
    }
    const { properties, missing } = readAll(this.#world, on, pathsFor(this.spec, on) ?? []);
    const now = new Map(properties.map(({ name, val }) => [name, val]));
    this.#sent.set(key, now);
    const changes = [...now].filter(([name, val]) => before?.get(name) !== val).map(([name, val]) => changeOf(name, val));
    if (!before) return `<objectSet><kind>enter</kind>${obj}${changes.join('')}${missing}</objectSet>`;
    for (const name of before.keys()) if (!now.has(name)) changes.push(changeOf(name, ''));
    return changes.length === 0 ? undefined : `<objectSet><kind>modify</kind>${obj}${changes.join('')}</objectSet>`;
  }
}

/** Without a value the property has none any more. */
const changeOf = (name: string, val: string): string =>
  `<changeSet>${encodeElement('name', 'string', name)}<op>assign</op>${val}</changeSet>`;

export class Collector {
  readonly ref: MoRef;
  readonly filters = new Map<string, Filter>();
  readonly #timeline: Timeline;
  #version = 0;
  /** The version that the client held when the newest answer was made. */
  #confirmed = 0;
  #undo: Undo[] = [];
  #waiting: { readonly wake: () => void; readonly cancel: (reason: Error) => void } | undefined;

  constructor(ref: MoRef, timeline: Timeline) {
    this.ref = ref;
    this.#timeline = timeline;
  }

  touch(changed: MoRef | undefined): void {
    for (const filter of this.filters.values()) filter.touch(changed);
    this.#waiting?.wake();
  }

  /** Ends a call that waits. */
  cancel(reason: Error = vimFault('RequestCanceled')): void {
    this.#waiting?.cancel(reason);
  }

  async wait(version: string | undefined, options: WaitOptions, signal: AbortSignal | undefined): Promise<EncodedAnswer | undefined> {
    this.cancel();
    this.#begin(version ?? '');
    const { maxWaitSeconds, maxObjectUpdates } = options;
    const most = maxObjectUpdates === undefined || maxObjectUpdates <= 0 ? MOST_UPDATES : maxObjectUpdates;
    const untilMs = maxWaitSeconds === undefined ? Number.POSITIVE_INFINITY : this.#timeline.now() + maxWaitSeconds * 1000;
    for (;;) {
      const answer = this.#take(most);
      if (answer) return answer;
      const leftMs = untilMs - this.#timeline.now();
      if (leftMs <= 0) return undefined;
      await this.#change(leftMs, signal);
    }
  }

  #begin(version: string): void {
    if (version === '') {
      for (const filter of this.filters.values()) filter.forgetSent();
      this.#confirmed = this.#version;
    } else if (version === String(this.#version)) this.#confirmed = this.#version;
    else if (version === String(this.#confirmed)) for (const { filter, key, before } of this.#undo.reverse()) filter.restore(key, before);
    else throw vimFault('InvalidCollectorVersion');
    this.#undo = [];
  }

  #take(most: number): EncodedAnswer | undefined {
    let room = most;
    let sets = '';
    let truncated = false;
    for (const filter of this.filters.values()) {
      const { xml, undo, left } = filter.take(room);
      this.#undo.push(...undo);
      room -= xml.length;
      truncated ||= left;
      if (xml.length > 0) sets += `<filterSet>${encodeElement('filter', 'ManagedObjectReference', filter.ref)}${xml.join('')}</filterSet>`;
    }
    if (sets === '') return undefined;
    this.#version++;
    return new EncodedAnswer(`<returnval><version>${this.#version}</version>${sets}<truncated>${truncated}</truncated></returnval>`);
  }

  /** Until something may have changed or the time is over. A watcher never makes time pass by itself. */
  #change(mostMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        callOff();
        signal?.removeEventListener('abort', onAbort);
        if (this.#waiting === waiting) this.#waiting = undefined;
      };
      const onAbort = () => waiting.cancel(signal?.reason as Error);
      // Changes of one instant are one answer.
      let woken = false;
      const waiting = {
        wake: () => {
          if (woken) return;
          woken = true;
          setImmediate(() => {
            end();
            resolve();
          });
        },
        cancel: (reason: Error) => {
          end();
          reject(reason);
        },
      };
      const callOff = mostMs === Number.POSITIVE_INFINITY ? () => undefined : this.#timeline.schedule(mostMs, waiting.wake);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting = waiting;
    });
  }
}
