import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { VirtualMachineSnapshotInfo } from '../../../../adapters/vsphere/port.ts';
import { callOf, Ground, OWNER, snapshotSource } from './ground.ts';

const OPERATION = 'cycle-1/0';
const WANTED = { consistency: 'crash', orElse: 'crash', since: new Map() } as const;
const DESCRIPTION = JSON.stringify({ warmsite: 1, owner: OWNER, operationId: OPERATION, kind: 'cycle' });
const ARGS = { name: 'warmsite cycle', description: DESCRIPTION, memory: false, quiesce: false };

const snapshotsAt = async (ground: Ground, id: string): Promise<string[]> => {
  const vim = await ground.vim();
  const { snapshot } = await vim.get({ type: 'VirtualMachine', value: id }, 'snapshot');
  const names: string[] = [];
  for (let trees = (snapshot as VirtualMachineSnapshotInfo | undefined)?.rootSnapshotList; trees?.[0]; trees = trees[0].childSnapshotList)
    names.push(trees[0].snapshot.value);
  return names;
};

describe('a snapshot that a killed call had asked for', () => {
  it('is waited for and taken over, not taken again', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const vim = await ground.vim();
    await vim.client.call('CreateSnapshot_Task', { type: 'VirtualMachine', value: id }, ARGS);

    const snapshot = await snapshotSource(session).createSnapshot([id], WANTED, callOf({ operationId: OPERATION }));

    expect(await snapshotsAt(ground, id)).to.deep.equal([snapshot.id]);
    expect(ground.count('CreateSnapshot_Task')).to.equal(0);
  });

  it('goes again when the server begins it only after it was looked for', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const vim = await ground.vim();
    let late: string | undefined;
    using _ = ground.before(async ({ method, on }) => {
      if (method !== 'CreateSnapshot_Task' || late !== undefined) return;
      late = '';
      late = ((await vim.task('CreateSnapshot_Task', on, ARGS)) as { value: string }).value;
    });

    const snapshot = await snapshotSource(session).createSnapshot([id], WANTED, callOf({ operationId: OPERATION }));

    expect(late).to.match(/^snapshot-/);
    expect(snapshot.id).to.not.equal(late);
    expect(await snapshotsAt(ground, id)).to.deep.equal([snapshot.id]);
  });
});
