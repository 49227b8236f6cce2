// Networks: cables, isolated test networks, and addresses in the guest.
import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Step } from '../../adapters/powershell/port.ts';
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
import type { Epochs } from '../../core/plugin-kit/index.ts';
import { connectCard } from './cards.ts';
import type { Fabric } from './fabric.ts';
import { lookAt } from './look.ts';
import { networkPlace, nicIdOf } from './machine.ts';
import { switches, type VirtualSwitch } from './places.ts';
import { text } from './rows.ts';
import { callMethod, embedded, instances } from './wmi.ts';

const NOTE = 'warmsite: ';
const PREFIX = networkPlace('');

interface Ground {
  readonly fabric: Fabric;
  readonly epochs: Epochs;
}

export const networkFacet = (ground: Ground): Network => ({
  connectNic: async (id, nic, to, call) => {
    await ground.epochs.check(id, call);
    const { host } = await lookAt(ground.fabric, id, call);
    await connectCard(ground.fabric, { id, host, card: nic, to }, call);
    call.signal.throwIfAborted();
  },
  createTestNetwork: (like, call) => createTestNetwork(ground.fabric, like, call),
  deleteTestNetwork: (id, call) => deleteTestNetwork(ground.fabric, id, call),
  setGuestAddresses: (id, nics, call) => setGuestAddresses(ground, id, nics, call),
});

// ---- test networks -----------------------------------------------------------------------------------------------------

const ownerNote = (fabric: Fabric, operation: string): string => NOTE + JSON.stringify({ owner: fabric.ownerId, operation });

const isOurs = (fabric: Fabric, { notes }: VirtualSwitch): boolean => {
  if (!notes.startsWith(NOTE)) return false;
  try {
    return (JSON.parse(notes.slice(NOTE.length)) as { readonly owner?: unknown }).owner === fabric.ownerId;
  } catch {
    return false;
  }
};

/** A private switch on every host that has the network it stands for: nothing on it leaves its host. Each step finds what an earlier attempt has made. */
const createTestNetwork = async (fabric: Fabric, like: PlaceId, call: Call): Promise<Place> => {
  const name = `warmsite test ${hash('sha256', `${fabric.ownerId}\n${call.operationId}`, 'hex').slice(0, 12)}`;
  const there = await switchesByHost(fabric, call);
  const hosts = [...there].filter(([, all]) => all.some((one) => networkPlace(one.name) === like)).map(([host]) => host);
  if (hosts.length === 0)
    throw new DrError('NOT_FOUND', `no host that answers has the network ${like}`, { context: { kind: 'network', place: like } });
  const made: string[] = [];
  try {
    for (const host of hosts) {
      if (there.get(host)!.some((one) => one.name === name)) continue;
      const params = { Name: name, SwitchType: 'Private', Notes: ownerNote(fabric, call.operationId) };
      made.push(host);
      await fabric.run(host, [{ cmdlet: 'New-VMSwitch', params }], call);
    }
  } catch (error) {
    // On all hosts or on none; what an abort has left is found by its operation.
    if (!call.signal.aborted) for (const host of made) await removeSwitch(fabric, host, name, call).catch(() => undefined);
    throw error;
  }
  call.signal.throwIfAborted();
  return { id: networkPlace(name), kind: 'network', name };
};

const switchesByHost = async (fabric: Fabric, call: Call): Promise<Map<string, VirtualSwitch[]>> => {
  const all = new Map<string, VirtualSwitch[]>();
  for (const host of await fabric.hosts(call)) all.set(host, await switches(fabric, host, call));
  return all;
};

const removeSwitch = async (fabric: Fabric, host: string, name: string, call: Call): Promise<void> => {
  const own = (await switches(fabric, host, call)).find((one) => one.name === name && isOurs(fabric, one));
  if (!own) return;
  const steps: Step[] = [
    { cmdlet: 'Get-VMSwitch', params: { Id: own.id } },
    { cmdlet: 'Remove-VMSwitch', params: { VMSwitch: { $step: 0 }, Force: true } },
  ];
  await fabric.run(host, steps, call);
};

const deleteTestNetwork = async (fabric: Fabric, id: PlaceId, call: Call): Promise<void> => {
  const name = id.startsWith(PREFIX) ? id.slice(PREFIX.length) : '';
  const there = await switchesByHost(fabric, call);
  const found = [...there].flatMap(([host, all]) => all.filter((one) => one.name === name).map((one) => ({ host, one })));
  if (found.some(({ one }) => !isOurs(fabric, one)))
    throw new DrError('PERMISSION_DENIED', `network ${id} is no test network of this installation`, { context: { place: id } });
  for (const { host } of found) {
    const [, cards] = await fabric.run(
      host,
      [
        { cmdlet: 'Get-VM', params: {} },
        { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } }, select: ['VMId', 'SwitchName'] },
      ],
      call,
    );
    const user = (cards?.rows ?? []).find((row) => text(row, 'SwitchName') === name);
    if (user)
      throw new DrError('STATE_CONFLICT', `network ${id} is used by machine ${text(user, 'VMId')}`, {
        hint: 'end the test that uses it first',
        context: { place: id, machine: text(user, 'VMId') },
      });
  }
  for (const { host } of found) await removeSwitch(fabric, host, name, call);
  call.signal.throwIfAborted();
};

// ---- addresses -----------------------------------------------------------------------------------------------------------

const BOTH_FAMILIES = '4098';

const notKept = (message: string): Finding => ({
  code: 'ADDRESSES_NOT_KEPT',
  level: 'warning',
  message,
  hint: 'set the addresses in the guest after its start',
});

/** By the guest's own integration service, as soon as it answers (Msvm_GuestNetworkAdapterConfiguration). */
const setGuestAddresses = async (
  { fabric, epochs }: Ground,
  id: MachineId,
  nics: ReadonlyMap<NicId, GuestAddress>,
  call: Call,
): Promise<readonly Finding[]> => {
  await epochs.check(id, call);
  const { host, adapters } = await lookAt(fabric, id, call);
  for (const nic of nics.keys())
    if (!adapters.some((row) => nicIdOf(id, row) === nic))
      throw new DrError('NOT_FOUND', `machine ${id} has no network card ${nic}`, { context: { kind: 'nic', machine: id, name: nic } });
  const there = (await fabric.rows(host, [instances('Msvm_GuestNetworkAdapterConfiguration', undefined, ['InstanceID'])], call)).map(
    (row) => text(row, 'InstanceID'),
  );
  const findings: Finding[] = [];
  for (const [nic, address] of nics) {
    const card = nic.split('/').at(-1) ?? '';
    const instance = there.find((one) => one.toLowerCase().endsWith(card));
    if (instance === undefined) findings.push(notKept(`network card ${nic} has no guest that could be told its address`));
    else findings.push(...(await setOne(fabric, { id, host, instance, address }, call)));
  }
  call.signal.throwIfAborted();
  return findings;
};

interface Setting {
  readonly id: MachineId;
  readonly host: string;
  readonly instance: string;
  readonly address: GuestAddress;
}

const setOne = async (fabric: Fabric, { id, host, instance, address }: Setting, call: Call): Promise<Finding[]> => {
  const { ipv4, ipv6, gateway, dns = [], dhcp = false } = address;
  const all = [ipv4, ipv6].filter((one) => one !== undefined).map(parseAddress);
  const configuration = embedded('Msvm_GuestNetworkAdapterConfiguration', {
    InstanceID: ['string', instance],
    ProtocolIFType: ['uint16', BOTH_FAMILIES],
    DHCPEnabled: ['boolean', dhcp ? 'TRUE' : 'FALSE'],
    IPAddresses: ['string', all.map((one) => one.address)],
    Subnets: ['string', all.map((one) => one.subnet)],
    DefaultGateways: ['string', gateway === undefined ? [] : [gateway]],
    DNSServers: ['string', dns],
  });
  try {
    await callMethod(
      fabric,
      {
        host,
        steps: [instances('Msvm_ComputerSystem', { property: 'Name', value: id.toUpperCase() })],
        service: 'Msvm_VirtualSystemManagementService',
        method: 'SetGuestNetworkAdapterConfiguration',
        args: { ComputerSystem: { $step: 0 }, NetworkConfiguration: [configuration] },
        what: `the addresses of machine ${id}`,
      },
      call,
    );
    return [];
  } catch (error) {
    if (!isDrError(error, 'INTERNAL', 'STATE_CONFLICT', 'CAPABILITY_MISSING', 'HOST_BUSY', 'NOT_FOUND')) throw error;
    return [notKept(`the guest does not take its addresses (${error.message})`)];
  }
};

/** `192.0.2.10/24` becomes an address and a mask, `2001:db8::1/64` an address and the length of its prefix. */
const parseAddress = (cidr: string): { readonly address: string; readonly subnet: string } => {
  const [address = '', length = ''] = cidr.split('/');
  const family = isIP(address);
  const bits = Number(length === '' ? (family === 6 ? 64 : 24) : length);
  if (family === 0 || !Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32))
    throw new DrError('CONFIG_INVALID', `${JSON.stringify(cidr)} is no address with a prefix`, {
      hint: 'write it as 192.0.2.10/24',
      context: { key: 'ipv4' },
    });
  if (family === 6) return { address, subnet: String(bits) };
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return { address, subnet: [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join('.') };
};
