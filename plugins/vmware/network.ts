// Networks: cables, isolated test networks, and addresses in the guest.
import { isFault, type MoRef, type VirtualDevice, type VirtualEthernetCard } from '../../adapters/vsphere/port.ts';
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
import { type Epochs, pollTask } from '../../core/plugin-kit/index.ts';
import { customization } from './customize.ts';
import { cableTo, cardChange, pullCable } from './devices.ts';
import { cardsOf, familyOf, isPlugged, networkOf, nicId, placeId, placeRef, powerOf } from './machine.ts';
import { fromVcenter } from './names.ts';
import { testNetworkName, testNetworkPrefix } from './tags.ts';
import { isGone, type Vcenter, vmRef } from './vcenter.ts';

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
  await epochs.check(id, call);
  const props = await vcenter.props(vmRef(id), ['config.hardware.device', 'runtime.powerState', 'runtime.connectionState'], call);
  const card = cardsOf((props['config.hardware.device'] ?? []) as readonly VirtualDevice[]).find((own) => nicId(id, own) === nic);
  if (!card)
    throw new DrError('NOT_FOUND', `machine ${id} has no network card ${nic}`, { context: { kind: 'nic', machine: id, name: nic } });
  const running = powerOf(props) === 'on';
  if (to === 'disconnected' ? !isPlugged(card) : isOn(card, to, running)) return;
  const change = to === 'disconnected' ? pullCable(card, running) : cardChange(card, await cableTo(vcenter, to, undefined, call), running);
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec: { deviceChange: [change] } }, call);
};

/** Now, and at its next start. */
const isOn = (card: VirtualEthernetCard, to: PlaceId, running: boolean): boolean => {
  const { startConnected = true, connected = false } = card.connectable ?? {};
  const now = networkOf(card);
  return startConnected && (connected || !running) && now !== undefined && placeId(now) === to;
};

// ---- test networks -----------------------------------------------------------------------------------------------------

/**
 * A switch without uplinks on every host that has the network it stands for: nothing on it leaves its host, so that it reaches as far as one
 * host. Each step finds what an earlier attempt has made.
 */
const createTestNetwork = async (vcenter: Vcenter, like: PlaceId, call: Call): Promise<Place> => {
  const hosts = await answering(vcenter, await hostsOf(vcenter, placeRef(like), call), call);
  if (hosts.length === 0)
    throw new DrError('NOT_FOUND', `no host that answers has the network ${like}`, { context: { kind: 'host', place: like } });
  const name = testNetworkName(vcenter.ownerId, call.operationId);
  try {
    for (const host of hosts) await addTo(vcenter, host, name, call);
    // The inventory hears of it from the host, a moment later.
    const look = async () => {
      const made = await networkNamed(vcenter, name, call);
      return made ? { done: true as const, value: made } : { done: false as const };
    };
    const made = await pollTask(call, `the test network ${name} in the inventory`, look, { firstPauseMs: 100, time: vcenter.time });
    return { id: placeId(made), kind: 'network', name };
  } catch (error) {
    // On all hosts or on none: nobody knows the id of half a network. What an abort has left is found by its operation.
    if (!call.signal.aborted) for (const host of hosts) await removeFrom(vcenter, host, name, call).catch(() => undefined);
    throw error;
  }
};

const addTo = async (vcenter: Vcenter, host: MoRef, name: string, call: Call): Promise<void> => {
  const system = await networkSystemOf(vcenter, host, call);
  await ignoring(['AlreadyExists', 'DuplicateName'], () =>
    vcenter.call('AddVirtualSwitch', system, { vswitchName: name, spec: { numPorts: PORTS } }, call),
  );
  const portgrp = { name, vlanId: 0, vswitchName: name, policy: {} };
  await ignoring(['AlreadyExists', 'DuplicateName'], () => vcenter.call('AddPortGroup', system, { portgrp }, call));
};

/**
 * The switch first: while the port group is there the network has its id, and a second attempt finds what is left. A server that wants the
 * port group gone before gets that: killed in between it keeps a switch to which nothing is connected.
 */
const removeFrom = async (vcenter: Vcenter, host: MoRef, name: string, call: Call): Promise<void> => {
  const system = await networkSystemOf(vcenter, host, call);
  const removeSwitch = () => ignoring(['NotFound'], () => vcenter.call('RemoveVirtualSwitch', system, { vswitchName: name }, call));
  const removeGroup = () => ignoring(['NotFound'], () => vcenter.call('RemovePortGroup', system, { pgName: name }, call));
  try {
    await removeSwitch();
    await removeGroup();
  } catch (error) {
    if (!isFault(error, 'ResourceInUse', 'HostConfigFault')) throw error;
    await removeGroup();
    await removeSwitch();
  }
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

/** After a disaster some hosts may be dead: no machine can start there, and they must not keep the others from a test. */
const answering = async (vcenter: Vcenter, hosts: readonly MoRef[], call: Call): Promise<MoRef[]> =>
  (await vcenter.propsOf(hosts, ['runtime.connectionState'], call))
    .filter(({ props }) => (props['runtime.connectionState'] ?? 'connected') === 'connected')
    .map(({ ref }) => ref);

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
    if (isGone(error)) return;
    throw error;
  }
  if (!name.startsWith(testNetworkPrefix(vcenter.ownerId))) {
    throw new DrError('PERMISSION_DENIED', `network ${id} is no test network of this installation`, { context: { place: id } });
  }
  for (const host of await hostsOf(vcenter, placeRef(id), call)) await removeFrom(vcenter, host, name, call);
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
  await epochs.check(id, call);
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
  const known = String(props['guest.hostName'] ?? '');
  const hostName = known || fromVcenter(String(props['name']));
  const spec = customization({ family, hostName, addresses: cards.map((card) => nics.get(nicId(id, card))) });
  try {
    await vcenter.task('CustomizeVM_Task', vmRef(id), { spec }, call);
  } catch (error) {
    if (!isFault(error, 'CustomizationFault', 'NotSupported')) throw error;
    return [notKept(`vSphere does not change addresses in this guest (${isDrError(error) ? error.message : ''})`)];
  }
  const findings: Finding[] = known === '' ? [HOST_IS_NAMED] : [];
  return cards.every((card) => nics.has(nicId(id, card))) ? findings : [...findings, NIC_USES_DHCP];
};

const NIC_USES_DHCP: Finding = {
  code: 'NIC_USES_DHCP',
  level: 'warning',
  message: 'network cards without an address of their own are set to DHCP: vSphere asks for all of them',
  hint: 'give every card of the machine an address',
};
const HOST_IS_NAMED: Finding = {
  code: 'HOST_IS_NAMED',
  level: 'warning',
  message: 'the guest gets the name of the machine as its host name: vSphere asks for one, and the guest has not run here to tell its own',
  hint: 'set the host name in the guest after its start where it matters',
};
