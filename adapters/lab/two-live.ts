import type { Estate } from './estate.ts';
import type { Violation } from './port.ts';
import type { MachineRecord } from './records.ts';

/** Guests of one identity that are up in several machines with a way into production. */
export const findTwoLive = (estate: Estate): Violation[] => {
  const live = new Map<string, MachineRecord[]>();
  for (const [id, { identity }] of estate.guests) {
    const machine = estate.machines.get(id);
    if (!machine || identity === undefined || !reachesProduction(estate, machine)) continue;
    live.set(identity, [...(live.get(identity) ?? []), machine]);
  }
  return [...live]
    .filter(([, machines]) => machines.length > 1)
    .map(([identity, machines]) => ({
      kind: 'twoLive',
      at: estate.now(),
      identity,
      machines: machines.map(({ id, endpoint, name }) => ({ machine: id, endpoint, name })),
    }));
};

/** The machine of a vCenter in which data is moved: no machine that anybody protects. */
export const isAppliance = (machine: MachineRecord): boolean => machine.labels['warmsite'] === 'appliance';

export const reachesProduction = (estate: Estate, machine: MachineRecord): boolean => {
  const { places } = estate.endpoint(machine.endpoint);
  return machine.spec.nics.some((nic) => places.some((place) => place.id === nic.network && !place.isolated));
};
