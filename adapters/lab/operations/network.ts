import { DrError, type NicId, type PlaceId } from '../../../core/contract/index.ts';
import { missing } from '../estate.ts';
import { setGuestAddresses } from '../guest.ts';
import type { MachineRecord } from '../records.ts';
import { type Handlers, nothing } from './handlers.ts';
import { describePlace } from './inventory.ts';

export const network: Handlers<'network'> = {
  'network.connectNic': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    estate.assertFence(machine, args.fence);
    const id = nicIdOf(machine, args.nic);
    const place = args.to === 'disconnected' ? undefined : estate.place(estate.endpoint(args.endpoint), args.to, 'network');
    const nics = machine.spec.nics.map(({ network: before, ...nic }) => {
      if (nic.id !== id) return before === undefined ? nic : { ...nic, network: before };
      return place ? { ...nic, network: place.id } : nic;
    });
    machine.spec = { ...machine.spec, nics };
    estate.touch(machine);
    estate.checkTwoLive();
    return nothing;
  },

  'network.createTest': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    if (estate.profileOf(args).capabilities.testNetwork === 'none') {
      throw new DrError('CAPABILITY_MISSING', `endpoint ${endpoint.name} has no test networks`, { context: { endpoint: endpoint.name } });
    }
    const like = estate.place(endpoint, args.like, 'network');
    const made = endpoint.places.find((place) => place.isolated?.owner === args.owner && place.isolated.operationId === args.operationId);
    if (made) return { place: describePlace(estate, endpoint, made) };
    const place = {
      id: estate.nextId('network') as PlaceId,
      kind: 'network' as const,
      name: `${like.name} (test)`,
      isolated: { owner: args.owner, operationId: args.operationId },
    };
    endpoint.places.push(place);
    estate.revision++;
    return { place: describePlace(estate, endpoint, place) };
  },

  'network.deleteTest': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    const place = endpoint.places.find((other) => other.id === args.place);
    if (!place) return nothing;
    if (place.isolated?.owner !== args.owner) {
      throw new DrError('PERMISSION_DENIED', `network ${place.id} is no test network of this installation`, {
        context: { place: place.id },
      });
    }
    const user = [...estate.machines.values()].find((machine) => machine.spec.nics.some((nic) => nic.network === place.id));
    if (user) {
      throw new DrError('STATE_CONFLICT', `network ${place.id} is used by machine ${user.id}`, {
        context: { place: place.id, machine: user.id },
      });
    }
    endpoint.places = endpoint.places.filter((other) => other !== place);
    estate.revision++;
    return nothing;
  },

  'network.setAddresses': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    estate.assertFence(machine, args.fence);
    for (const nic of Object.keys(args.addresses)) nicIdOf(machine, nic as NicId);
    const addresses = Object.values(args.addresses).flat();
    const guest = estate.guests.get(machine.id);
    const [boot] = estate.guestDisks(machine);
    const kept = boot !== undefined && setGuestAddresses(boot, addresses);
    if (guest) guest.addresses = addresses;
    estate.touch(machine);
    if (kept) return { findings: [] };
    const message = 'the guest does not let its addresses be set from outside';
    return {
      findings: [{ code: 'ADDRESSES_NOT_KEPT', level: 'warning', message, hint: 'set the addresses in the guest after its start' }],
    };
  },
};

const nicIdOf = (machine: MachineRecord, nic: NicId): NicId =>
  machine.spec.nics.find((other) => other.id === nic)?.id ?? missing('nic', nic);
