// A target without forks: the replica itself is rolled back.
import type { ItemId } from '../../contract/index.ts';
import { noteFailover } from '../../domain/decide.ts';
import type { Flow } from '../../flow/flow.ts';
import { deletePoints, listPoints } from '../../state/points.ts';
import { commitChange, itemNow } from '../changes.ts';
import type { Core } from '../core.ts';
import { openReplicaDisks } from '../replica.ts';
import type { Chosen } from '../replicator.ts';
import { choosePoint, settlePoint } from './points.ts';

/** A target without forks: the replica itself is rolled back; power-on is the point of no return (V1). */
export const bringUpInPlace = async (core: Core, flow: Flow, id: ItemId, selector: string): Promise<Chosen> => {
  const chosen = await choosePoint(core, flow, id, selector, 'in place');
  await settlePoint(core, flow, id, chosen, 'in place');
  await flow.step(
    `roll back ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (journal.head()?.point === chosen.point) return null;
      const disks = openReplicaDisks(core, item, { signal, operationId });
      try {
        await journal.rollBack(chosen.point, await disks.all());
      } finally {
        await disks.close();
      }
      return null;
    },
    {
      commit: async (tx) => {
        const points = await listPoints(tx, id);
        const seq = points.find((point) => point.id === chosen.point)?.seq ?? Number.MAX_SAFE_INTEGER;
        await deletePoints(
          tx,
          points.filter((point) => point.seq > seq).map((point) => point.id),
        );
        await commitChange(tx, core, flow, id, { change: (item) => noteFailover(item, { point: chosen.point }) });
      },
    },
  );
  return chosen;
};
