import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { InventoryChange, Machine, MachineId, Session } from '../../../../core/contract/index.ts';
import { callOf, disk, Ground } from './ground.ts';

const seed = (name: string, more: object = {}) => ({
  name,
  disks: [{ sizeBytes: 512 }],
  workload: 'none' as const,
  power: 'off' as const,
  writesPerSecond: 0,
  ...more,
});
const machinesOf = (session: Session, labels?: Readonly<Record<string, string>>): Promise<Machine[]> =>
  Array.fromAsync(session.inventory.listMachines(labels ? { labels } : {}, callOf()));

describe('an inventory of 1,000 machines', () => {
  it('is listed once each, in pages, without the appliance', async () => {
    await using ground = await Ground.create({ machines: Array.from({ length: 1000 }, (_, index) => seed(`machine-${index}`)) });
    const session = await ground.connect();
    const from = ground.seen.length;

    const machines = await machinesOf(session);

    expect(machines).to.have.length(1000);
    expect(new Set(machines.map(({ id }) => id)).size).to.equal(1000);
    expect(machines.map(({ id }) => id)).not.to.include(ground.appliance);
    expect(new Set(machines.map(({ name }) => name)).size).to.equal(1000);
    // Ten pages of a hundred, and what says where they lie: not a call for each.
    expect(ground.seen.length - from).to.be.below(40);
  }).timeout(20_000);

  it('is watched: a change is heard within a second, and nothing else is read for it', async () => {
    await using ground = await Ground.create({ machines: Array.from({ length: 1000 }, (_, index) => seed(`machine-${index}`)) });
    const session = await ground.connect();
    const target = await ground.machine(session, 'machine-500');
    const giveUp = new AbortController();
    const changes = session.inventory.watch!(undefined, callOf({ signal: giveUp.signal, deadlineMs: 600_000 }))[Symbol.asyncIterator]();
    const next = async () => (await changes.next()).value as InventoryChange;
    const first = next();
    while (ground.count('WaitForUpdatesEx') < 6) await new Promise((resolve) => setImmediate(resolve));
    const from = ground.seen.length;
    const atMs = ground.estate.clock.now();

    await ground.estate.control.call('lab.rename', { machine: target.id, name: 'renamed' });
    const heard = await first;

    expect(heard).to.deep.include({ changed: [target.id], gone: [] });
    expect(ground.estate.clock.now() - atMs).to.be.below(1_000);
    expect(new Set(ground.methods().slice(from))).to.deep.equal(new Set(ground.seen.length > from ? ['WaitForUpdatesEx'] : []));
    const second = next();
    await ground.estate.control.call('lab.power', { machine: target.id, to: 'on' });
    expect((await second).changed).to.deep.equal([target.id]);
    giveUp.abort(new Error('enough'));
    await changes.next().catch(() => undefined);
  }).timeout(20_000);
});

describe('machines of an inventory', () => {
  it('carry the folder, the cluster, the datacenter and their custom attributes as labels, and are found by them', async () => {
    await using ground = await Ground.create({
      endpoint: { folders: ['dc-a/vm/shop', 'dc-a/vm/office'] },
      machines: [
        seed('web', { labels: { folder: 'shop', tier: '1' } }),
        seed('mail', { labels: { folder: 'office', tier: '2' } }),
        seed('bare'),
      ],
    });
    const session = await ground.connect();

    expect((await machinesOf(session)).find(({ name }) => name === 'web')!.labels).to.include({
      folder: 'shop',
      tier: '1',
      datacenter: 'dc-a',
    });
    expect((await machinesOf(session, { tier: '2' })).map(({ name }) => name)).to.deep.equal(['mail']);
    expect((await machinesOf(session, { tier: '2', folder: 'shop' })).map(({ name }) => name)).to.deep.equal([]);
  });

  it('of one name are told apart by their ids', async () => {
    await using ground = await Ground.create({
      endpoint: { folders: ['dc-a/vm/one', 'dc-a/vm/two'] },
      machines: [seed('web', { labels: { folder: 'one' } }), seed('web', { labels: { folder: 'two' } })],
    });
    const session = await ground.connect();

    const found = await machinesOf(session);

    expect(found.map(({ name, labels }) => `${name} ${labels['folder']}`)).to.have.members(['web one', 'web two']);
    expect(new Set(found.map(({ id }) => id)).size).to.equal(2);
  });

  it('are read for another caller although the one who began to read their places has given up', async () => {
    await using ground = await Ground.create({ machines: [{ name: 'web', disks: [disk()], writesPerSecond: 0 }] });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const next = await ground.connect();
    const giveUp = new AbortController();
    using _ = ground.before(({ method }) => {
      if (method === 'CreateContainerView') giveUp.abort(new Error('given up'));
    });

    const [first, second] = await Promise.allSettled([
      next.inventory.getMachine(id, callOf({ signal: giveUp.signal })),
      next.inventory.getMachine(id, callOf()),
    ]);

    expect(first.status).to.equal('rejected');
    expect(second.status, String((second as PromiseRejectedResult).reason)).to.equal('fulfilled');
  });

  it('that are removed while the list is read are left out, and the others are not', async () => {
    await using ground = await Ground.create({ machines: Array.from({ length: 30 }, (_, index) => seed(`machine-${index}`)) });
    const session = await ground.connect();
    const all = await machinesOf(session);
    const gone = all[7]!.id;
    const vim = await ground.vim();
    let armed = true;
    using _ = ground.before(async ({ method, args }) => {
      const set = (args as { specSet?: readonly { objectSet: readonly { obj: { value: string } }[] }[] }).specSet?.[0]?.objectSet ?? [];
      if (!armed || method !== 'RetrievePropertiesEx' || !set.some(({ obj }) => obj.value === gone)) return;
      armed = false;
      await vim.task('Destroy_Task', { type: 'VirtualMachine', value: gone }, {});
    });

    const left = await machinesOf(session);

    expect(left.map(({ id }) => id)).to.deep.equal(all.map(({ id }) => id).filter((id) => id !== gone));
    await vim.client[Symbol.asyncDispose]();
  });

  it('include the appliance where it is asked for by its id, and no machine that is not there', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();

    expect((await session.inventory.getMachine(ground.appliance, callOf())).id).to.equal(ground.appliance);
    for (const id of ['vm-99999', '', 'vm-1 or 1=1', '<x/>', 'ü'])
      expect(await session.inventory.getMachine(id as MachineId, callOf()).catch((error: { code: string }) => error.code)).to.equal(
        'NOT_FOUND',
      );
  });
});
