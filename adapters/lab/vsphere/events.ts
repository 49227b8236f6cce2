// Power events of one endpoint's machines, for as long as the vCenter runs; what began before it is told as one start each.
import type { MachineId } from '../../../core/contract/index.ts';
import type { Event, EventFilterSpec, MoRef } from '../../vsphere/port.ts';
import type { MachineRecord } from '../records.ts';
import { descendants } from './inventory.ts';
import { escapeName } from './objects.ts';
import { type At, machineRef, machinesOf } from './placement.ts';

/** The oldest go first. */
const MOST_EVENTS = 10_000;
const MOST_ANSWERED = 1000;

type PowerEvent = Event & { readonly $type: string };

export class Events {
  readonly #at: At;
  readonly #events: PowerEvent[] = [];
  readonly #power = new Map<MachineId, 'on' | 'off'>();
  #key = 0;

  constructor(at: At) {
    this.#at = at;
    const running = machinesOf(at).filter(({ power }) => power === 'on');
    for (const machine of running.sort((a, b) => (a.bootedAtMs ?? 0) - (b.bootedAtMs ?? 0))) this.#add(machine, machine.bootedAtMs);
    for (const { id, power } of machinesOf(at)) this.#power.set(id, power);
  }

  note(machine: MachineRecord): void {
    const before = this.#power.get(machine.id) ?? 'off';
    this.#power.set(machine.id, machine.power);
    if (before !== machine.power) this.#add(machine, this.#at.estate.timeline.now());
  }

  query(filter: EventFilterSpec): PowerEvent[] {
    const { entity, time, type = [], eventTypeId = [], maxCount = MOST_ANSWERED } = filter;
    const begin = time?.beginTime === undefined ? Number.NEGATIVE_INFINITY : Date.parse(time.beginTime);
    const end = time?.endTime === undefined ? Number.POSITIVE_INFINITY : Date.parse(time.endTime);
    const of = entity ? this.#entities(entity.entity, entity.recursion) : undefined;
    const types = [...type, ...eventTypeId.map((id) => id.slice(id.lastIndexOf('.') + 1))];
    const matching = this.#events.filter(({ $type, createdTime, vm }) => {
      const at = Date.parse(createdTime);
      if (at < begin || at > end || (of && !of.has(vm?.vm.value ?? ''))) return false;
      return types.length === 0 || types.includes($type) || types.includes('VmEvent') || types.includes('Event');
    });
    return matching.slice(-maxCount);
  }

  #entities(on: MoRef, recursion: 'self' | 'children' | 'all'): ReadonlySet<string> {
    const below = recursion === 'self' ? [] : descendants(this.#at, on, recursion === 'all');
    return new Set([...(recursion === 'children' ? [] : [on]), ...below].map(({ value }) => value));
  }

  #add(machine: MachineRecord, atMs: number | undefined): void {
    const isOn = machine.power === 'on';
    const key = ++this.#key;
    this.#events.push({
      $type: isOn ? 'VmPoweredOnEvent' : 'VmPoweredOffEvent',
      key,
      chainId: key,
      createdTime: new Date(atMs ?? this.#at.estate.timeline.now()).toISOString(),
      userName: '',
      vm: { name: escapeName(machine.name), vm: machineRef(machine) },
      fullFormattedMessage: `${machine.name} is powered ${isOn ? 'on' : 'off'}`,
      template: false,
    } as PowerEvent);
    if (this.#events.length > MOST_EVENTS) this.#events.shift();
  }
}
