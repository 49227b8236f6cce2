// Which properties are the model's, and how they get into an answer of the simulator.

import { findSnapshot } from '../../../adapters/lab/vsphere/vms.ts';
import type { MoRef, PropertyFilterSpec } from '../../../adapters/vsphere/port.ts';
import { childrenOf, type Element, textOf, toElement, writeElement } from './elements.ts';
import { networksOf } from './networks.ts';
import type { Twin } from './twin.ts';

const OF_THE_MODEL: Readonly<Record<string, readonly string[]>> = {
  VirtualMachine: [
    // No uuid, capacity in bytes or change id there; a snapshot's devices are those of the live machine, a revert brings nothing back.
    'config.hardware.device',
    // Appended there, never replaced or removed.
    'config.extraConfig',
    'config.annotation',
    'config.changeVersion',
    'config.changeTrackingEnabled',
    'capability.changeTrackingSupported',
    'runtime.powerState',
    'runtime.bootTime',
    'runtime.consolidationNeeded',
    'guest',
  ],
  VirtualMachineSnapshot: ['config'],
  // Always empty there.
  Network: ['host'],
  Task: ['info'],
};

const isOfTheModel = (type: string, path: string): boolean =>
  (OF_THE_MODEL[type] ?? []).some(
    (own) => path === own || own.startsWith(`${path}.`) || path.startsWith(`${own}.`) || path.startsWith(`${own}[`),
  );

/** The value as an element `val`; undefined: the object has none. False: ask the simulator. */
const ownValue = (twin: Twin, on: MoRef, path: string): Element | undefined | false => {
  if (!isOfTheModel(on.type, path)) return false;
  if (on.type === 'Network') return networksOf(twin, on);
  if (!twin.owner(on) && !twin.task(on)) return false;
  const property = twin.property(on, path);
  return property && toElement(property.val);
};

/** `objects` of a RetrieveResult: each property of the model is had from there, asked for or answered. */
export const patchObject = (twin: Twin, object: Element, specSet: readonly PropertyFilterSpec[]): void => {
  const on = referenceIn(object, 'obj');
  const answered = childrenOf(object, 'propSet').map((one) => textOf(one, 'name'));
  const asked = specSet.flatMap(({ propSet }) => propSet.filter(({ type }) => type === on.type).flatMap(({ pathSet = [] }) => pathSet));
  const own = new Map(
    [...answered, ...asked].map((path) => [path, ownValue(twin, on, path)] as const).filter(([, value]) => value !== false),
  );
  const kept = object.children.filter((child) => !own.has(textOf(child, child.name === 'propSet' ? 'name' : 'path')));
  const added = [...own].flatMap(([path, value]) =>
    value ? [toElement(`<propSet><name>${escapePath(path)}</name>${writeElement(value)}</propSet>`)] : [],
  );
  for (const property of kept) if (/^snapshot\b/.test(textOf(property, 'name'))) setTimes(twin, property);
  object.children.splice(0, object.children.length, ...kept, ...added);
};

/** Times of snapshots are the estate's: it has a clock of its own. */
const setTimes = (twin: Twin, tree: Element): void => {
  const { value } = referenceIn(tree, 'snapshot');
  const found = findSnapshot(twin, { type: 'VirtualMachineSnapshot', value });
  for (const time of found ? childrenOf(tree, 'createTime') : []) time.text = found!.snapshot.createTime;
  for (const child of tree.children) if (child.children.length > 0) setTimes(twin, child);
};

/** `objectSet` of an update. */
export const patchUpdate = (twin: Twin, update: Element): void => {
  const on = referenceIn(update, 'obj');
  for (const change of childrenOf(update, 'changeSet')) {
    const value = ownValue(twin, on, textOf(change, 'name'));
    if (value === false) setTimes(twin, change);
    if (value === false) continue;
    const rest = change.children.filter((child) => child.name !== 'val');
    change.children.splice(0, change.children.length, ...rest, ...(value ? [value] : []));
  }
};

const referenceIn = (element: Element, name: string): MoRef => {
  const [reference] = childrenOf(element, name);
  return { type: reference?.refType ?? '', value: reference?.text ?? '' };
};

const escapePath = (path: string): string => path.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
