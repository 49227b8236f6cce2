// Network cards: made as the definition has them, and connected to the switches of the host that has the machine.
import { hash } from 'node:crypto';
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type MachineId, type MachineSpec, type NicId, type NicSpec, type PlaceId } from '../../core/contract/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { networkPlace, nicIdOf } from './machine.ts';
import { switches } from './places.ts';
import { text } from './rows.ts';
import { vendorOf } from './vendor.ts';

export interface CardPlan {
  readonly id: MachineId;
  readonly host: string;
  readonly spec: MachineSpec;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
}

/** By what it is called in the definition: who makes it again finds it. */
const cardName = (nic: NicId): string => `warmsite ${hash('sha256', nic, 'hex').slice(0, 12)}`;

/** Ids of the definition to ids here. One that an earlier attempt has made is not made again. */
export const addCards = async (
  fabric: Fabric,
  { id, host, spec, nics }: CardPlan,
  call: Call,
  only: readonly NicSpec[] = spec.nics,
): Promise<Record<string, NicId>> => {
  const ids: Record<string, NicId> = {};
  if (only.length === 0) return ids;
  const [, there] = await fabric.run(host, [vmById(id), cardsStep(['Id', 'Name'])], call);
  for (const nic of only) {
    const known = (there?.rows ?? []).find((row) => text(row, 'Name') === cardName(nic.id));
    const made = nicIdOf(id, known ?? (await addCard(fabric, { id, host, nic, vlan: vendorOf(spec).vlans?.[nic.id] }, call)));
    ids[nic.id] = made;
    const to = nics.get(nic.id) ?? 'disconnected';
    if (to !== 'disconnected') await connectCard(fabric, { id, host, card: made, to }, call);
  }
  return ids;
};

const cardsStep = (select?: readonly string[]): Step => ({
  cmdlet: 'Get-VMNetworkAdapter',
  params: { VM: { $step: 0 } },
  ...(select ? { select } : {}),
});

interface NewCard {
  readonly id: MachineId;
  readonly host: string;
  readonly nic: NicSpec;
  readonly vlan: number | undefined;
}

const addCard = async (fabric: Fabric, { id, host, nic, vlan }: NewCard, call: Call): Promise<PsRow> => {
  const mac = nic.mac === undefined ? {} : { StaticMacAddress: nic.mac.replaceAll(/[^0-9A-Fa-f]/g, '') };
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Add-VMNetworkAdapter', params: { VM: { $step: 0 }, Name: cardName(nic.id), Passthru: true, ...mac }, select: ['Id'] },
  ];
  const VlanId = { $type: 'int64', value: vlan ?? 0 } as const;
  if (vlan !== undefined)
    steps.push({ cmdlet: 'Set-VMNetworkAdapterVlan', params: { VMNetworkAdapter: { $step: 1 }, Access: true, VlanId } });
  const [, card] = await fabric.run(host, steps, call);
  return card?.rows[0] ?? {};
};

/** NOT_FOUND when the host has no switch of that name. */
export const connectCard = async (
  fabric: Fabric,
  { id, host, card, to }: { readonly id: MachineId; readonly host: string; readonly card: NicId; readonly to: PlaceId | 'disconnected' },
  call: Call,
): Promise<void> => {
  const [, adapters] = await fabric.run(host, [vmById(id), cardsStep(['Id'])], call);
  const own = (adapters?.rows ?? []).find((row) => nicIdOf(id, row) === card);
  if (!own)
    throw new DrError('NOT_FOUND', `machine ${id} has no network card ${card}`, { context: { kind: 'nic', machine: id, name: card } });
  const steps: Step[] = [vmById(id), cardsStep()];
  const VMNetworkAdapter = { $step: 1, $where: { property: 'Id', is: text(own, 'Id') } };
  if (to === 'disconnected') {
    await fabric.run(host, [...steps, { cmdlet: 'Disconnect-VMNetworkAdapter', params: { VMNetworkAdapter } }], call);
    return;
  }
  const wanted = (await switches(fabric, host, call)).find(({ name }) => networkPlace(name) === to);
  if (!wanted)
    throw new DrError('NOT_FOUND', `host ${host} has no switch for the network ${to}`, {
      context: { kind: 'network', place: to, name: host },
    });
  const connect: Step[] = [
    { cmdlet: 'Get-VMSwitch', params: { Id: wanted.id } },
    { cmdlet: 'Connect-VMNetworkAdapter', params: { VMNetworkAdapter, VMSwitch: { $step: 2 } } },
  ];
  await fabric.run(host, [...steps, ...connect], call);
};
