import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Fork, Session, Snapshot } from '../../../../core/contract/index.ts';
import { callOf, crash, cutAtEach, forkOf, forks, Ground, type Made, made, snapshotSource } from './ground.ts';

interface Source {
  readonly ground: Ground;
  readonly session: Session;
  readonly id: Snapshot['machines'][number];
}

const source = async (): Promise<Source & AsyncDisposable> => {
  const ground = await Ground.create();
  const session = await ground.connect();
  const { id } = await ground.machine(session, 'web');
  ground.hv(id).notes = 'of people';
  return { ground, session, id, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
};

const take = ({ id }: Source, session: Session, more = {}) => snapshotSource(session).createSnapshot([id], crash(), callOf(more));

/** Files of machines, in the folder that is theirs. */
const copies = (ground: Ground): string[] => ground.files().filter((path) => path.includes('\\Warmsite\\'));

describe('a process that ends between two steps', () => {
  it('of a checkpoint leaves none beside the one that the next attempt gives', async () => {
    const steps = await cutAtEach<Source>({
      start: source,
      work: (one, session, more) => take(one, session, { ...more, operationId: 'cycle' }),
      check: async ({ ground, id }, session, cut) => {
        const all = await Array.fromAsync(snapshotSource(session).listSnapshots(callOf()));
        expect(all, cut).to.have.length(1);
        expect(ground.hv(id).checkpoints, cut).to.have.length(1);
        await snapshotSource(session).releaseSnapshot(all[0]!.id, 'abandoned', callOf());
        expect(ground.hv(id).notes, cut).to.equal('of people');
        expect(await ground.leftovers(), cut).to.deep.equal([]);
      },
    });

    expect(steps).to.equal(3);
  });

  for (const outcome of ['sealed', 'abandoned'] as const) {
    it(`of a release that is ${outcome} leaves ${outcome === 'sealed' ? 'one reference point on record' : 'nothing'}`, async () => {
      const ids = new WeakMap<Source, Snapshot['id']>();
      const steps = await cutAtEach<Source>({
        start: async () => {
          const one = await source();
          ids.set(one, (await take(one, one.session)).id);
          return one;
        },
        work: (one, session, more) => snapshotSource(session).releaseSnapshot(ids.get(one)!, outcome, callOf(more)),
        check: async ({ ground, id }, session, cut) => {
          const { referencePoints, checkpoints, merging } = ground.hv(id);
          expect(checkpoints, cut).to.deep.equal([]);
          expect(merging, cut).to.equal(undefined);
          expect(referencePoints, cut).to.have.length(outcome === 'sealed' ? 1 : 0);
          await snapshotSource(session).keepBaselines(id, new Map(), callOf());
          expect(ground.hv(id).referencePoints, cut).to.deep.equal([]);
          expect(ground.hv(id).notes, cut).to.equal('of people');
        },
      });

      expect(steps).to.be.at.least(2);
    });
  }

  it('of a replica leaves one machine and its disks', async () => {
    const steps = await cutAtEach<Source>({
      start: source,
      work: async ({ ground }, session, more) => {
        const { spec } = await ground.machine(session, 'web');
        await session.target!.createReplica!(spec, { name: 'copy', nics: new Map() }, callOf({ ...more, operationId: 'make' }));
      },
      check: async ({ ground }, session, cut) => {
        const machines = await Array.fromAsync(session.inventory.listMachines({}, callOf()));
        expect(
          machines.map(({ name }) => name),
          cut,
        ).to.have.members(['web', 'copy']);
        expect(copies(ground), cut).to.have.length(2);
        const copy = machines.find(({ name }) => name === 'copy')!;
        await session.target!.deleteReplica!(copy.id, callOf());
        expect(copies(ground), cut).to.deep.equal([]);
      },
    });

    expect(steps).to.be.at.least(10);
  }).timeout(30_000);

  it('of a replica that is deleted leaves no file', async () => {
    await cutAtEach<Made>({
      start: made,
      work: ({ replica }, session, more) => session.target!.deleteReplica!(replica, callOf(more)),
      check: async ({ ground }, session, cut) => {
        expect(copies(ground), cut).to.deep.equal([]);
        expect(await Array.fromAsync(session.inventory.listMachines({}, callOf())), cut).to.have.length(1);
      },
    });
  }).timeout(30_000);

  it('of a replica that gets a disk leaves it with that disk', async () => {
    await cutAtEach<Made>({
      start: made,
      work: ({ replica, source: { spec } }, session, more) => {
        const disks = [...spec.disks, { ...spec.disks[1]!, id: 'third' as never, slot: 'scsi0:7' }];
        return session.target!.reshapeReplica(replica, { ...spec, disks }, callOf({ ...more, operationId: 'reshape' }));
      },
      check: async ({ ground, replica, source: { spec } }, session, cut) => {
        expect(ground.hv(replica).drives, cut).to.have.length(3);
        expect(copies(ground), cut).to.have.length(3);
        const disks = [...spec.disks, { ...spec.disks[1]!, id: 'third' as never, slot: 'scsi0:7' }];
        const placed = await session.target!.reshapeReplica(replica, { ...spec, disks }, callOf());
        expect(placed.disks.size, cut).to.equal(3);
      },
    });
  }).timeout(30_000);

  it('of a disk that is added does not take away what hangs in the machine already', async () => {
    await using one = await made();
    const { ground, replica } = one;
    const { spec } = one.source;
    const wanted = { ...spec, disks: [...spec.disks, { ...spec.disks[1]!, id: 'third' as never, slot: 'scsi0:7' }] };
    const call = { operationId: 'reshape' };
    await ground.cutOff({ after: 3, how: 'killed' }, (more) =>
      one.session.target!.reshapeReplica(replica, wanted, callOf({ ...call, ...more })),
    );
    expect(ground.hv(replica).drives).to.have.length(3);
    const session = await ground.connect();
    const from = ground.seen.length;

    await session.target!.reshapeReplica(replica, wanted, callOf(call));

    expect(ground.cmdlets(from)).not.to.include('Remove-Item');
  });

  it('of a disk that could not be made takes half of its file away', async () => {
    await using one = await made();
    const { ground, replica, session } = one;
    const { spec } = one.source;
    const wanted = { ...spec, disks: [...spec.disks, { ...spec.disks[1]!, id: 'third' as never, slot: 'scsi0:7' }] };

    const isCut = await ground.cutOff({ after: 2, how: 'lost' }, (more) => session.target!.reshapeReplica(replica, wanted, callOf(more)));

    expect(isCut).to.equal(true);
    expect(copies(ground)).to.have.length(2);
  });

  it('of a fork with a card that its replica lacks leaves one such card', async () => {
    const withCard = (one: Made) => ({ ...one.source.spec, nics: [...one.source.spec.nics, { id: 'more' as never }] });
    await cutAtEach<Made>({
      start: made,
      work: (one, session, more) =>
        forkOf({ ...one, session }, { spec: withCard(one), newGenerationId: false, call: { ...more, operationId: 'fork' } }),
      check: async ({ ground, replica, source: { spec } }, _, cut) => {
        expect(ground.hv(replica).adapters, cut).to.have.length(spec.nics.length + 1);
      },
    });
  }).timeout(30_000);

  it('of a disk that is deleted leaves neither file nor drive', async () => {
    await cutAtEach<Made>({
      start: made,
      work: ({ replica, placed }, session, more) =>
        session.target!.deleteReplicaDisk(replica, placed.machine.spec.disks[1]!.id, callOf(more)),
      check: async ({ ground, replica }, _, cut) => {
        expect(ground.hv(replica).drives, cut).to.have.length(1);
        expect(copies(ground), cut).to.have.length(1);
      },
    });
  }).timeout(30_000);

  for (const [mode, purpose] of [
    ['overlay', 'failover'],
    ['overlay', 'test'],
    ['clone', 'failover'],
  ] as const) {
    for (const newGenerationId of [true, false]) {
      it(`of a fork (${mode} for a ${purpose}${newGenerationId ? '' : ', the same generation'}) leaves one, whole`, async () => {
        await cutAtEach<Made>({
          start: made,
          work: (one, session, more) =>
            forkOf({ ...one, session }, { mode, purpose, newGenerationId, call: { ...more, operationId: 'fork' } }),
          check: async ({ ground, source: { spec }, replica }, session, cut) => {
            const [fork, ...more] = await Array.fromAsync(forks(session).list(callOf()));
            expect(more, cut).to.deep.equal([]);
            expect(fork!.machine.name, cut).to.equal('running');
            expect(fork!.disks.size, cut).to.equal(2);
            expect(ground.hv(fork!.machine.id).adapters, cut).to.have.length(spec.nics.length);
            await forks(session).discard(fork!.id, callOf());
            expect(copies(ground), cut).to.have.length(2);
            expect(ground.hv(replica).checkpoints, cut).to.deep.equal([]);
            expect(await Array.fromAsync(forks(session).list(callOf())), cut).to.deep.equal([]);
            expect(await Array.fromAsync(session.inventory.listMachines({}, callOf())), cut).to.have.length(2);
          },
        });
      }).timeout(60_000);
    }

    it(`of the making of a fork (${mode} for a ${purpose}) that nobody makes again leaves what a sweep finds`, async () => {
      for (let after = 1; ; after++) {
        // In the one request that makes the machine and says whose it is: only the next attempt knows it by its name.
        if (mode !== 'overlay' || purpose === 'test') if (after === 2) continue;
        await using one = await made();
        const isCut = await one.ground.cutOff({ after, how: 'killed' }, (more) => forkOf(one, { mode, purpose, call: more }));
        const session = await one.ground.connect();
        for (const fork of await Array.fromAsync(forks(session).list(callOf()))) await forks(session).discard(fork.id, callOf());
        expect(copies(one.ground), `${after}`).to.have.length(2);
        expect(one.ground.hv(one.replica).checkpoints, `${after}`).to.deep.equal([]);
        expect(await Array.fromAsync(session.inventory.listMachines({}, callOf())), `${after}`).to.have.length(2);
        if (!isCut) break;
      }
    }).timeout(60_000);

    for (const end of ['discard', 'promote'] as const) {
      if (end === 'promote' && purpose === 'test') continue;
      it(`of a fork (${mode} for a ${purpose}) that it was to ${end} leaves it so`, async () => {
        const made1 = new WeakMap<Made, Fork>();
        await cutAtEach<Made>({
          start: async () => {
            const one = await made();
            made1.set(one, await forkOf(one, { mode, purpose }));
            return one;
          },
          work: (one, session, more) => forks(session)[end](made1.get(one)!.id, callOf(more)),
          check: async (one, session, cut) => {
            expect(await Array.fromAsync(forks(session).list(callOf())), cut).to.deep.equal([]);
            expect(copies(one.ground), cut).to.have.length(2);
            expect(await Array.fromAsync(session.inventory.listMachines({}, callOf())), cut).to.have.length(2);
            const { id } = end === 'discard' ? { id: one.replica } : made1.get(one)!.machine;
            expect(one.ground.hv(id).checkpoints, cut).to.deep.equal([]);
            expect((await session.inventory.getMachine(id, callOf())).name, cut).to.equal(end === 'discard' ? 'copy' : 'running');
          },
        });
      }).timeout(60_000);
    }
  }

  it('of a fork without a disk of the replica leaves no file of it, discarded or promoted', async () => {
    for (const end of ['discard', 'promote'] as const) {
      const ids = new WeakMap<Made, Fork['id']>();
      await cutAtEach<Made>({
        start: made,
        work: async (one, session, more) => {
          const spec = { ...one.source.spec, disks: one.source.spec.disks.slice(0, 1) };
          const id = ids.get(one) ?? (await forkOf({ ...one, session }, { spec, call: { ...more, operationId: 'fork' } })).id;
          ids.set(one, id);
          await forks(session)[end](id, callOf(more));
        },
        check: async ({ ground }, _, cut) => {
          expect(copies(ground), `${end} ${cut}`).to.have.length(end === 'discard' ? 2 : 1);
        },
      });
    }
  }).timeout(60_000);

  it('of a test network leaves one on each host, and none once it is deleted', async () => {
    for (const kind of ['host', 'cluster'] as const) {
      const switches = (ground: Ground) =>
        ground.estate.estate.endpoint('endpoint').hyperv!.switches.filter(({ type }) => type === 'Private');
      await cutAtEach<Source>({
        start: async () => {
          const ground = await Ground.create({ kind });
          const session = await ground.connect();
          const { id } = await ground.machine(session, 'web');
          return { ground, session, id, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
        },
        work: async (_, session, more) => {
          const [like] = await Array.fromAsync(session.inventory.listPlaces('network', callOf()));
          return session.network!.createTestNetwork(like!.id, callOf({ ...more, operationId: 'net' }));
        },
        check: async ({ ground }, session, cut) => {
          const all = await Array.fromAsync(session.inventory.listPlaces('network', callOf()));
          const test = all.find(({ name }) => name.startsWith('warmsite test'))!;
          expect(switches(ground), cut).to.have.length(kind === 'host' ? 1 : 2);
          await session.network!.deleteTestNetwork(test.id, callOf());
          expect(switches(ground), cut).to.deep.equal([]);
        },
      });
    }
  }).timeout(60_000);
});
