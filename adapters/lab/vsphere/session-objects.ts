// What belongs to one session and ends with it: property collectors with their filters, views, pages not fetched yet.
import type { MoRef, VimArgs } from '../../vsphere/port.ts';
import { isObjectOf } from '../../vsphere/vim25/schema.ts';
import type { Timeline } from '../timeline.ts';
import { vimFault } from './fault-answers.ts';
import { notFound } from './objects.ts';
import { Retrieval, type World } from './retrieval.ts';
import { Collector, Filter } from './updates.ts';

interface View {
  readonly ref: MoRef;
  readonly container: MoRef;
  readonly type: readonly string[];
  readonly recursive: boolean;
}

export interface SessionWorld extends World {
  /** Every object below a container. */
  below(container: MoRef, recursive: boolean): MoRef[];
}

const DEFAULT_COLLECTOR: MoRef = { type: 'PropertyCollector', value: 'propertyCollector' };

export class SessionObjects {
  readonly #key: string;
  readonly #world: SessionWorld;
  readonly #timeline: Timeline;
  readonly #collectors = new Map<string, Collector>();
  readonly #views = new Map<string, View>();
  readonly #retrieval: Retrieval;
  #count = 0;

  constructor(key: string, world: SessionWorld, timeline: Timeline) {
    this.#key = key;
    this.#timeline = timeline;
    this.#world = {
      ...world,
      exists: (on) => this.has(on) || world.exists(on),
      read: (on, property) => this.#read(on, property) ?? world.read(on, property),
    };
    this.#collectors.set(DEFAULT_COLLECTOR.value, new Collector(DEFAULT_COLLECTOR, timeline));
    this.#retrieval = new Retrieval(this.#world);
  }

  has(on: MoRef): boolean {
    if (on.type === 'PropertyCollector') return this.#collectors.has(on.value);
    if (on.type === 'ContainerView') return this.#views.has(on.value);
    return on.type === 'PropertyFilter' && [...this.#collectors.values()].some(({ filters }) => filters.has(on.value));
  }

  touch(changed: MoRef | undefined): void {
    for (const collector of this.#collectors.values()) collector.touch(changed);
  }

  /** The session is over. */
  end(reason: Error): void {
    for (const collector of this.#collectors.values()) collector.cancel(reason);
  }

  get views(): MoRef[] {
    return [...this.#views.values()].map(({ ref }) => ref);
  }

  get retrieval(): Retrieval {
    return this.#retrieval;
  }

  collector(on: MoRef): Collector {
    return this.#collectors.get(on.value) ?? notFound(on);
  }

  createCollector(): MoRef {
    const ref = this.#newRef('PropertyCollector');
    this.#collectors.set(ref.value, new Collector(ref, this.#timeline));
    return ref;
  }

  destroyCollector(on: MoRef): void {
    if (on.value === DEFAULT_COLLECTOR.value) throw vimFault('NotSupported');
    this.collector(on).cancel();
    this.#collectors.delete(on.value);
  }

  createFilter(on: MoRef, { spec, partialUpdates }: VimArgs<'CreateFilter'>): MoRef {
    const filter = new Filter(this.#newRef('PropertyFilter'), spec, { world: this.#world, partialUpdates });
    const collector = this.collector(on);
    collector.filters.set(filter.ref.value, filter);
    // Whoever waits on the collector sees what the new filter selects.
    collector.touch(filter.ref);
    return filter.ref;
  }

  destroyFilter(on: MoRef): void {
    for (const { filters } of this.#collectors.values()) if (filters.delete(on.value)) return;
    notFound(on);
  }

  createView({ container, type = [], recursive }: VimArgs<'CreateContainerView'>): MoRef {
    if (!this.#world.exists(container)) notFound(container);
    const ref = this.#newRef('ContainerView');
    this.#views.set(ref.value, { ref, container, type, recursive });
    return ref;
  }

  destroyView(on: MoRef): void {
    if (!this.#views.delete(on.value)) notFound(on);
  }

  #newRef(type: string): MoRef {
    return { type, value: `session[${this.#key}]${type.charAt(0).toLowerCase()}${type.slice(1)}-${++this.#count}` };
  }

  #read(on: MoRef, property: string): unknown {
    if (on.type === 'ContainerView') return this.#readView(on, property);
    if (on.type === 'ViewManager' && property === 'viewList') return this.views;
    if (on.type === 'PropertyCollector' && property === 'filter') return [...this.collector(on).filters.values()].map(({ ref }) => ref);
    if (on.type !== 'PropertyFilter') return undefined;
    const filter = [...this.#collectors.values()].map(({ filters }) => filters.get(on.value)).find((one) => one !== undefined);
    return { self: on, spec: filter?.spec, partialUpdates: filter?.partialUpdates }[property];
  }

  #readView(on: MoRef, property: string): unknown {
    const view = this.#views.get(on.value);
    if (!view || property !== 'view')
      return { self: on, container: view?.container, type: view?.type, recursive: view?.recursive }[property];
    const all = this.#world.below(view.container, view.recursive);
    return view.type.length === 0 ? all : all.filter(({ type }) => view.type.some((wanted) => isObjectOf(type, wanted)));
  }
}
