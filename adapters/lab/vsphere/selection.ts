// What a PropertyFilterSpec selects: the objects that its traversals reach, and the properties that it wants of each.
import type { MoRef, PropertyFilterSpec, SelectionSpec, TraversalSpec } from '../../vsphere/port.ts';
import { isObjectOf, objectProperties } from '../../vsphere/vim25/schema.ts';
import { vimFault } from './fault-answers.ts';
import { notFound } from './objects.ts';
import { allPaths, declaredAt, type ReadProperty, valueAt } from './properties.ts';

export const keyOf = ({ type, value }: MoRef): string => `${type}:${value}`;

export interface Reachable {
  readonly read: ReadProperty;
  exists(on: MoRef): boolean;
}

/** Throws InvalidArgument or InvalidProperty for what no object could ever answer. */
export const assertSpec = (spec: PropertyFilterSpec): void => {
  for (const { type, pathSet = [] } of spec.propSet) {
    if (!objectProperties(type)) throw vimFault('InvalidArgument', { invalidProperty: 'specSet.propSet.type' });
    for (const path of pathSet) declaredAt(type, path);
  }
  for (const traversal of traversalsIn(spec)) declaredAt(traversal.type, traversal.path);
};

const isTraversal = (spec: SelectionSpec): spec is TraversalSpec => spec.$type === 'TraversalSpec';

const traversalsIn = (spec: PropertyFilterSpec): TraversalSpec[] => {
  const all: TraversalSpec[] = [];
  const collect = (specs: readonly SelectionSpec[]): void => {
    for (const one of specs) {
      if (!isTraversal(one)) continue;
      all.push(one);
      collect(one.selectSet ?? []);
    }
  };
  for (const { selectSet = [] } of spec.objectSet) collect(selectSet);
  return all;
};

/** Objects in the order in which they are reached, each once. Throws ManagedObjectNotFound for one that the spec itself names and that is gone. */
export const selectObjects = (spec: PropertyFilterSpec, world: Reachable): MoRef[] => {
  const named = new Map(traversalsIn(spec).flatMap((one) => (one.name === undefined ? [] : [[one.name, one] as const])));
  const wanted = new Map<string, MoRef>();
  for (const { obj, skip, selectSet = [] } of spec.objectSet) {
    if (!world.exists(obj)) notFound(obj);
    walk({ world, named, wanted, done: new Set() }, { on: obj, skip: skip ?? false, selectSet });
  }
  return [...wanted.values()];
};

interface Walk {
  readonly world: Reachable;
  readonly named: ReadonlyMap<string, TraversalSpec>;
  readonly wanted: Map<string, MoRef>;
  /** Pairs of object and traversal: specs name each other in circles. */
  readonly done: Set<string>;
}

const walk = (state: Walk, from: { readonly on: MoRef; readonly skip: boolean; readonly selectSet: readonly SelectionSpec[] }): void => {
  const { on, skip, selectSet } = from;
  if (!skip) state.wanted.set(keyOf(on), on);
  for (const spec of selectSet) {
    const traversal = isTraversal(spec) ? spec : state.named.get(spec.name ?? '');
    if (!traversal) throw vimFault('InvalidArgument', { invalidProperty: 'specSet.objectSet.selectSet' });
    if (!isObjectOf(on.type, traversal.type)) continue;
    const key = `${keyOf(on)} ${traversal.name ?? ''} ${traversal.type}.${traversal.path}`;
    if (state.done.has(key)) continue;
    state.done.add(key);
    const value = valueAt(state.world.read, on, traversal.path);
    const next = (Array.isArray(value) ? value : value === undefined ? [] : [value]) as readonly MoRef[];
    for (const child of next) walk(state, { on: child, skip: traversal.skip ?? false, selectSet: traversal.selectSet ?? [] });
  }
};

/** Paths that the spec wants of an object; undefined: none of its property sets is for such objects. */
export const pathsFor = (spec: PropertyFilterSpec, on: MoRef): string[] | undefined => {
  const sets = spec.propSet.filter(({ type }) => isObjectOf(on.type, type));
  if (sets.length === 0) return undefined;
  return [...new Set(sets.flatMap(({ type, all, pathSet = [] }) => (all ? allPaths(type === 'ManagedEntity' ? type : on.type) : pathSet)))];
};
