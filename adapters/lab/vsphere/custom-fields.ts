// Labels of the estate's machines as custom attributes: the one way in which a vCenter keeps names and values of its users' own.
import { typed } from '../../vsphere/vim25/encode.ts';
import type { MachineRecord } from '../records.ts';
import type { PropertySource } from './model.ts';

type At = Parameters<PropertySource>[0];

const FIRST_KEY = 101;
/** Where a machine lies is said by its parent. */
const NOT_AN_ATTRIBUTE = new Set(['folder']);

/** Asked for with each machine of a listing. */
const known = new WeakMap<object, { readonly revision: number; readonly names: readonly string[] }>();

/** In the order of their first use, so that a key stays when another machine gets another label. */
const namesAt = ({ estate, endpoint }: At): readonly string[] => {
  const before = known.get(endpoint);
  if (before?.revision === estate.revision) return before.names;
  const names = new Set<string>();
  for (const machine of estate.machines.values()) {
    if (machine.endpoint === endpoint.name)
      for (const name of Object.keys(machine.labels)) if (!NOT_AN_ATTRIBUTE.has(name)) names.add(name);
  }
  known.set(endpoint, { revision: estate.revision, names: [...names] });
  return [...names];
};

/** `CustomFieldsManager.field`. */
export const fieldDefinitions = (at: At): unknown[] =>
  Object.assign(
    namesAt(at).map((name, index) =>
      typed('CustomFieldDef', { key: FIRST_KEY + index, name, type: 'string', managedObjectType: 'VirtualMachine' }),
    ),
    { $element: 'CustomFieldDef' },
  );

/** `ManagedEntity.customValue` of a machine. */
export const fieldValues = (at: At, { labels }: MachineRecord): unknown[] =>
  Object.assign(
    namesAt(at).flatMap((name, index) => {
      const value = labels[name];
      return value === undefined ? [] : [typed('CustomFieldStringValue', { key: FIRST_KEY + index, value })];
    }),
    { $element: 'CustomFieldValue' },
  );
