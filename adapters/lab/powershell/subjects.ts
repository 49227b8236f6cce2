// Which machines a step is about, for rules that name one.
import type { MachineId } from '../../../core/contract/index.ts';
import type { Value } from './arguments.ts';
import { PsObject } from './cells.ts';
import { isHv } from './fabric.ts';
import type { At } from './model.ts';
import { chainOf, keyOf } from './paths.ts';

const IDS = new Set(['Id', 'ID', 'VMId']);
const PATHS = new Set(['Path', 'ParentPath', 'DestinationPath', 'LiteralPath']);

/** Those that it names by themselves, by what is theirs, by an id, or by a file of theirs. */
export const machinesIn = (at: At, given: ReadonlyMap<string, Value>): MachineId[] => {
  const found = new Set<string>();
  for (const [name, value] of given) look(at, name, value, found);
  return [...found] as MachineId[];
};

const look = (at: At, name: string, value: Value, found: Set<string>): void => {
  if (value instanceof PsObject) {
    if (value.machine !== undefined) found.add(value.machine);
  } else if (Array.isArray(value)) for (const one of value) look(at, name, one, found);
  else if (value instanceof Map) for (const [key, one] of value) look(at, key, one, found);
  else if (typeof value === 'string' && IDS.has(name)) found.add(value.toLowerCase());
  else if (typeof value === 'string' && PATHS.has(name)) for (const id of ownersOf(at, keyOf(value))) found.add(id);
};

const ownersOf = (at: At, key: string): string[] =>
  [...at.estate.machines.values()].flatMap((machine) => {
    if (machine.endpoint !== at.endpoint.name || !isHv(machine)) return [];
    const isTheirs = machine.hv.drives.some(({ path }) => chainOf(at, keyOf(path)).includes(key));
    return isTheirs ? [machine.id] : [];
  });
