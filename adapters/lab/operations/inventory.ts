import { DrError, type Finding, type Place } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord, MachineRecord, PlaceRecord } from '../records.ts';
import { isAppliance } from '../two-live.ts';
import { type Context, type Handlers, nothing, pageOf } from './handlers.ts';

export const describePlace = (estate: Estate, endpoint: EndpointRecord, place: PlaceRecord): Place => ({
  id: place.id,
  kind: place.kind,
  name: place.name,
  ...(place.parent === undefined ? {} : { parent: place.parent }),
  ...(place.kind === 'storage' ? { freeBytes: estate.freeBytes(endpoint, place.id) } : {}),
});

export const inventory: Handlers<'inventory' | 'session' | 'power' | 'fence'> = {
  'session.open': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    if (endpoint.password !== undefined && (endpoint.password !== args.password || (endpoint.username ?? '') !== (args.username ?? ''))) {
      throw new DrError('AUTH_REJECTED', `endpoint ${endpoint.name} rejects the credential`, { context: { endpoint: endpoint.name } });
    }
    const { version, capabilities } = estate.profileOf({ endpoint: endpoint.name });
    return { profile: endpoint.profile, version, capabilities, findings: [] };
  },

  'inventory.machines': ({ estate }, args) => {
    const wanted = Object.entries(args.labels ?? {});
    const all = [...estate.machines.values()].filter(
      (machine) =>
        machine.endpoint === args.endpoint && !isAppliance(machine) && wanted.every(([key, value]) => machine.labels[key] === value),
    );
    const { items, next } = pageOf(all, args);
    return { machines: items.map((machine) => estate.describe(machine)), ...(next === undefined ? {} : { next }) };
  },

  'inventory.machine': ({ estate }, args) => ({ machine: estate.describe(estate.machine(args.machine, args.endpoint)) }),

  'inventory.places': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    const { items, next } = pageOf(
      endpoint.places.filter((place) => place.kind === args.kind),
      args,
    );
    return { places: items.map((place) => describePlace(estate, endpoint, place)), ...(next === undefined ? {} : { next }) };
  },

  'inventory.assess': ({ estate }, args) => ({ findings: assess(estate, estate.machine(args.machine, args.endpoint), args.as) }),

  'inventory.changes': async ({ estate, signal }, args) => {
    estate.endpoint(args.endpoint);
    const since = args.cursor === undefined ? estate.revision : Number(args.cursor);
    const look = () => estate.touchedSince(args.endpoint, since);
    let found = look();
    if (found.changed.length + found.gone.length === 0) {
      await nextChange(estate, args.endpoint, args.waitMs, signal);
      found = look();
    }
    return { cursor: String(Math.max(since, estate.revision)), ...found };
  },

  'power.set': async (context, args) => {
    const { estate } = context;
    const machine = estate.machine(args.machine, args.endpoint);
    estate.assertFence(machine, args.fence);
    if (args.to === 'on') switchOn(estate, machine);
    else if (args.to === 'off') estate.powerOff(machine);
    else await shutDown(context, machine, args.timeoutMs);
    return nothing;
  },

  'fence.read': ({ estate }, args) => {
    const epoch = estate.endpoint(args.endpoint).fences[estate.machine(args.machine, args.endpoint).id];
    return epoch ? { epoch } : {};
  },

  'fence.advance': ({ estate }, args) => {
    const { fences } = estate.endpoint(args.endpoint);
    const { id } = estate.machine(args.machine, args.endpoint);
    const held = fences[id];
    const same = held?.epoch === args.expected?.epoch && held?.holder === args.expected?.holder;
    const repeated = held?.epoch === args.next.epoch && held.holder === args.next.holder;
    if (!repeated && (!same || (held && args.next.epoch <= held.epoch))) {
      throw new DrError('FENCED', `machine ${id} is at epoch ${held?.epoch ?? 'none'}, not at the one expected`, {
        context: { machine: id, ...(held ? { epoch: held.epoch, holder: held.holder } : {}) },
      });
    }
    fences[id] = args.next;
    estate.revision++;
    return nothing;
  },

  'fence.isolate': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    estate.assertFence(machine, args.fence);
    machine.spec = { ...machine.spec, nics: machine.spec.nics.map(({ network: _, ...nic }) => nic) };
    machine.autostart = false;
    estate.powerOff(machine);
    estate.touch(machine);
    return nothing;
  },
};

/** Refuses what a hypervisor would: the disks of this machine are the base of others. */
export const switchOn = (estate: Estate, machine: MachineRecord): void => {
  estate.thaw(machine);
  const below = estate.forksOf(machine.id).find((fork) => fork.machine !== machine.id && fork.mode === 'overlay');
  if (below) {
    throw new DrError('STATE_CONFLICT', `machine ${machine.id} cannot start: the fork ${below.id} runs on its disks`, {
      hint: 'discard or promote the fork first',
      context: { machine: machine.id, fork: below.id },
    });
  }
  estate.powerOn(machine);
};

/** Until a machine of the endpoint changes or the time has passed; a watcher never makes time pass by itself. */
const nextChange = (estate: Estate, endpoint: string, waitMs: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const end = () => {
      callOff();
      estate.changed.off('machine', onMachine);
      signal?.removeEventListener('abort', onAbort);
    };
    const onMachine = (id: MachineRecord['id']) => {
      if ((estate.machines.get(id)?.endpoint ?? endpoint) !== endpoint) return;
      end();
      resolve();
    };
    const onAbort = () => {
      end();
      reject(signal?.reason);
    };
    const callOff = estate.timeline.schedule(waitMs, () => {
      end();
      resolve();
    });
    estate.changed.on('machine', onMachine);
    signal?.addEventListener('abort', onAbort, { once: true });
  });

const shutDown = async ({ estate, signal }: Context, machine: MachineRecord, timeoutMs: number): Promise<void> => {
  if (machine.power === 'off') return;
  if (machine.refusesShutdown || !estate.guests.has(machine.id) || machine.shutdownDelayMs > timeoutMs) {
    await estate.timeline.sleep(timeoutMs, signal);
    if (estate.machines.get(machine.id)?.power !== 'on') return;
    throw new DrError('SHUTDOWN_REFUSED', `the guest of machine ${machine.id} did not shut down in ${timeoutMs} ms`, {
      context: { machine: machine.id, deadlineMs: timeoutMs },
    });
  }
  await estate.timeline.sleep(machine.shutdownDelayMs, signal);
  if (estate.guests.has(machine.id)) estate.shutDown(machine);
};

const assess = (estate: Estate, machine: MachineRecord, as: 'source' | 'target'): Finding[] => {
  const findings: Finding[] = [];
  if (machine.spec.disks.length === 0) {
    findings.push({ code: 'NO_DISKS', level: 'blocks', message: 'the machine has no disk', hint: 'add a disk' });
  }
  if (machine.protectedElsewhere !== undefined) {
    const message = `the machine is already protected by ${machine.protectedElsewhere}`;
    findings.push({ code: 'PROTECTED_ELSEWHERE', level: 'blocks', message, hint: 'remove it there first' });
  }
  if (as === 'source' && machine.replica) {
    findings.push({ code: 'IS_REPLICA', level: 'warning', message: 'the machine is a replica', hint: 'protect its source instead' });
  }
  if (as === 'source' && machine.power === 'off') {
    findings.push({ code: 'POWERED_OFF', level: 'info', message: 'the machine is off', hint: 'nothing to do: it is copied as it is' });
  }
  if (as === 'target' && estate.forksOf(machine.id).length > 0) {
    findings.push({ code: 'HAS_FORKS', level: 'blocks', message: 'forks run on the machine', hint: 'discard them first' });
  }
  return findings;
};
