// Networks: cables, isolated test networks, and addresses in the guest.
import { isFault, type MoRef, type VirtualDevice } from '../../adapters/vsphere/port.ts';
import {
  type Call,
  DrError,
  type Finding,
  type GuestAddress,
  isDrError,
  type MachineId,
  type Network,
  type NicId,
  type Place,
  type PlaceId,
} from '../../core/contract/index.ts';
import { customization } from './customize.ts';
import { cableTo, cardChange, pullCable } from './devices.ts';
import type { Epochs } from './fence.ts';
import { cardsOf, familyOf, networkOf, nicId, placeId, placeRef, powerOf } from './machine.ts';
import { fromVcenter } from './names.ts';
import { testNetworkName, testNetworkPrefix } from './tags.ts';
import { type Vcenter, vmRef } from './vcenter.ts';

const PORTS = 128;

export const networkFacet = (vcenter: Vcenter, epochs: Epochs): Network => ({
  connectNic: (id, nic, to, call) => connectNic({ vcenter, epochs }, { id, nic, to }, call),
  createTestNetwork: (like, call) => createTestNetwork(vcenter, like, call),
  deleteTestNetwork: (id, call) => deleteTestNetwork(vcenter, id, call),
  setGuestAddresses: (id, nics, call) => setGuestAddresses({ vcenter, epochs }, id, nics, call),
});

interface Ground {
  readonly vcenter: Vcenter;
  readonly epochs: Epochs;
}

const connectNic = async (
  { vcenter, epochs }: Ground,
  { id, nic, to }: { readonly id: MachineId; readonly nic: NicId; readonly to: PlaceId | 'disconnected' },
  call: Call,
): Promise<void> => {
  await epochs.check(vcenter, id, call);
  const props = await vcenter.props(vmRef(id), ['config.hardware.device', 'runtime.powerState', 'runtime.connectionState'], call);
  const card = cardsOf((props['config.hardware.device'] ?? []) as readonly VirtualDevice[]).find((own) => nicId(id, own) === nic);
  if (!card)
    throw new DrError('NOT_FOUND', `machine ${id} has no network card ${nic}`, { context: { kind: 'nic', machine: id, name: nic } });
  const now = networkOf(card);
  if (to === 'disconnected' ? now === undefined : now !== undefined && placeId(now) === to) return;
  const running = powerOf(props) === 'on';
  const change = to === 'disconnected' ? pullCable(card, running) : cardChange(card, await cableTo(vcenter, to, undefined, call), running);
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec: { deviceChange: [change] } }, call);
};

// ---- test networks -----------------------------------------------------------------------------------------------------

/**
 * A switch without uplinks on every host that has the network it stands for: nothing on it leaves its host, so that it reaches as far as one
 * host. Each step finds what an earlier attempt has made.
 */
const createTestNetwork = async (vcenter: Vcenter, like: PlaceId, call: Call): Promise<Place> => {
  const hosts = await hostsOf(vcenter, placeRef(like), call);
  if (hosts.length === 0) throw new DrError('NOT_FOUND', `no host has the network ${like}`, { context: { kind: 'host', place: like } });
  const name = testNetworkName(vcenter.ownerId, call.operationId);
  for (const host of hosts) {
    const system = await networkSystemOf(vcenter, host, call);
    await ignoring(['AlreadyExists', 'DuplicateName'], () =>
      vcenter.call('AddVirtualSwitch', system, { vswitchName: name, spec: { numPorts: PORTS } }, call),
    );
    const portgrp = { name, vlanId: 0, vswitchName: name, policy: {} };
    await ignoring(['AlreadyExists', 'DuplicateName'], () => vcenter.call('AddPortGroup', system, { portgrp }, call));
  }
  const made = await networkNamed(vcenter, name, call);
  if (made) return { id: placeId(made), kind: 'network', name };
  throw new DrError('STATE_CONFLICT', `the test network ${name} is not in the inventory yet`, { hint: 'try again', context: { name } });
};

const hostsOf = async (vcenter: Vcenter, network: MoRef, call: Call): Promise<readonly MoRef[]> => {
  const { host = [] } = await vcenter.props(network, ['host'], call);
  if ((host as readonly MoRef[]).length > 0) return host as readonly MoRef[];
  // A simulator may not say it from this side.
  const found: MoRef[] = [];
  for await (const { ref, props } of vcenter.list('HostSystem', ['network'], call)) {
    if (((props['network'] ?? []) as readonly MoRef[]).some(({ value }) => value === network.value)) found.push(ref);
  }
  return found;
};

const networkSystemOf = async (vcenter: Vcenter, host: MoRef, call: Call): Promise<MoRef> =>
  (await vcenter.props(host, ['configManager.networkSystem'], call))['configManager.networkSystem'] as MoRef;

const networkNamed = async (vcenter: Vcenter, name: string, call: Call): Promise<MoRef | undefined> => {
  let found: MoRef | undefined;
  for await (const { ref, props } of vcenter.list('Network', ['name'], call)) if (fromVcenter(String(props['name'])) === name) found = ref;
  return found;
};

const ignoring = async (faults: readonly string[], work: () => Promise<unknown>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    if (!isFault(error, ...faults)) throw error;
  }
};

const deleteTestNetwork = async (vcenter: Vcenter, id: PlaceId, call: Call): Promise<void> => {
  let name: string;
  try {
    name = fromVcenter(String((await vcenter.props(placeRef(id), ['name'], call))['name']));
  } catch (error) {
    if (isDrError(error, 'NOT_FOUND')) return;
    throw error;
  }
  if (!name.startsWith(testNetworkPrefix(vcenter.ownerId))) {
    throw new DrError('PERMISSION_DENIED', `network ${id} is no test network of this installation`, { context: { place: id } });
  }
  for (const host of await hostsOf(vcenter, placeRef(id), call)) {
    const system = await networkSystemOf(vcenter, host, call);
    await ignoring(['NotFound'], () => vcenter.call('RemovePortGroup', system, { pgName: name }, call));
    await ignoring(['NotFound'], () => vcenter.call('RemoveVirtualSwitch', system, { vswitchName: name }, call));
  }
};

// ---- addresses -----------------------------------------------------------------------------------------------------------

const notKept = (message: string): Finding => ({
  code: 'ADDRESSES_NOT_KEPT',
  level: 'warning',
  message,
  hint: 'set the addresses in the guest after its start',
});

/** By guest customisation, which takes effect at the next power-on; vSphere takes it for a machine that is off only. */
const setGuestAddresses = async (
  { vcenter, epochs }: Ground,
  id: MachineId,
  nics: ReadonlyMap<NicId, GuestAddress>,
  call: Call,
): Promise<readonly Finding[]> => {
  await epochs.check(vcenter, id, call);
  const paths = ['name', 'config.hardware.device', 'config.guestId', 'guest.hostName', 'runtime.powerState', 'runtime.connectionState'];
  const props = await vcenter.props(vmRef(id), paths, call);
  const cards = cardsOf((props['config.hardware.device'] ?? []) as readonly VirtualDevice[]);
  for (const nic of nics.keys()) {
    if (!cards.some((card) => nicId(id, card) === nic))
      throw new DrError('NOT_FOUND', `machine ${id} has no network card ${nic}`, { context: { kind: 'nic', machine: id, name: nic } });
  }
  if (powerOf(props) !== 'off') return [notKept('the machine is not off: vSphere changes addresses in a guest at its start only')];
  const family = familyOf(String(props['config.guestId'] ?? ''));
  if (family === 'other') return [notKept('vSphere cannot change addresses in a guest of this kind')];
  const hostName = String(props['guest.hostName'] ?? '') || fromVcenter(String(props['name']));
  const spec = customization({ family, hostName, addresses: cards.map((card) => nics.get(nicId(id, card))) });
  try {
    await vcenter.task('CustomizeVM_Task', vmRef(id), { spec }, call);
  } catch (error) {
    if (!isFault(error, 'CustomizationFault', 'NotSupported')) throw error;
    return [notKept(`vSphere does not change addresses in this guest (${isDrError(error) ? error.message : ''})`)];
  }
  return cards.every((card) => nics.has(nicId(id, card)))
    ? []
    : [
        {
          code: 'NIC_USES_DHCP',
          level: 'warning',
          message: 'network cards without an address of their own are set to DHCP: vSphere asks for all of them',
          hint: 'give every card of the machine an address',
        },
      ];
};
