// Where the cards of a test machine go: Hyper-V makes it itself, and takes the names of the switches from the replica's cards.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type MachineId, type NicId, type PlaceId } from '../../core/contract/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { networkPlace, nicIdOf } from './machine.ts';
import { switches } from './places.ts';
import { text } from './rows.ts';

interface TestCards {
  readonly id: MachineId;
  readonly host: string;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
}

/** A card that is not named reaches nothing. */
export const placeTestCards = async (fabric: Fabric, { id, host, nics }: TestCards, call: Call): Promise<void> => {
  const cards: Step = { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } }, select: ['Id'] };
  const [, there] = await fabric.run(host, [vmById(id), cards], call);
  const names = (await switches(fabric, host, call)).map(({ name }) => name);
  for (const row of there?.rows ?? []) {
    const to = nics.get(nicIdOf(id, row)) ?? 'disconnected';
    const name = to === 'disconnected' ? '' : names.find((one) => networkPlace(one) === to);
    if (name === undefined)
      throw new DrError('NOT_FOUND', `host ${host} has no switch for the network ${to}`, {
        context: { kind: 'network', place: to, name: host },
      });
    const VMNetworkAdapter = { $step: 1, $where: { property: 'Id', is: text(row, 'Id') } };
    await fabric.run(
      host,
      [vmById(id), cards, { cmdlet: 'Set-VMNetworkAdapter', params: { VMNetworkAdapter, TestReplicaSwitchName: name } }],
      call,
    );
  }
};
