// Which machines a call is about, for rules that name one.
import type { MachineId } from '../../../core/contract/index.ts';
import type { MoRef } from '../../vsphere/port.ts';
import { type At, machinesOf } from './placement.ts';
import type { Call } from './strict.ts';

/** Those that it names anywhere, by themselves, by a snapshot of theirs or by a lease on them. */
export const machinesIn = (at: At, { on, args }: Call): MachineId[] => {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { type, value: id } = value as Partial<MoRef>;
    if (type !== undefined && typeof id === 'string') noteMachine(at, { type, value: id }, found);
    for (const child of Object.values(value)) look(child);
  };
  look(on);
  look(args);
  return [...found] as MachineId[];
};

const noteMachine = (at: At, on: MoRef, found: Set<string>): void => {
  if (on.type === 'VirtualMachine') found.add(on.value);
  if (on.type === 'VirtualMachineSnapshot') {
    const owner = machinesOf(at).find(({ vm }) => vm?.snapshots.some(({ id }) => id === on.value));
    if (owner) found.add(owner.id);
  }
  const lease = on.type === 'HttpNfcLease' ? at.endpoint.vsphere?.leases.find(({ id }) => id === on.value) : undefined;
  if (lease) noteMachine(at, lease.entity, found);
};
