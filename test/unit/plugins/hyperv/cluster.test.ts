import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MachineId, Placed, Session } from '../../../../core/contract/index.ts';
import { callOf, crash, cutAtEach, epoch, errorOf, forkOf, forks, Ground, made, snapshotSource } from './ground.ts';

const cluster = async () => {
  const ground = await Ground.create({ kind: 'cluster' });
  const session = await ground.connect();
  const { id, spec } = await ground.machine(session, 'web');
  return { ground, session, id, spec };
};
const migrate = (ground: Ground, machine: MachineId) => ground.estate.control.call('lab.migrate', { machine });
const setHost = (ground: Ground, host: string, up: boolean) =>
  ground.estate.control.call('lab.setHost', { endpoint: 'endpoint', host, up });
const advance = (ground: Ground, ms: number) => ground.estate.control.call('lab.advance', { ms });
const take = (session: Session, id: MachineId) => snapshotSource(session).createSnapshot([id], crash(), callOf());

const nodeOf = ({ machine }: Placed): string => (machine.host ?? '').replace('host/', '');
/** So many replicas of one machine, one after the other. */
const replicas = async ({ session, spec }: Pick<Awaited<ReturnType<typeof cluster>>, 'session' | 'spec'>, count: number) => {
  const nodes: string[] = [];
  for (let nth = 1; nth <= count; nth++) {
    const request = { name: `copy-${nth}`, nics: new Map() };
    nodes.push(nodeOf(await session.target!.createReplica!(spec, request, callOf({ operationId: `make-${nth}` }))));
  }
  return nodes;
};

describe('replicas at a cluster', () => {
  it('go where the machines that are there need least, for a failover starts all of them', async () => {
    const { ground, ...made } = await cluster();
    await using _ = ground;

    // The first node has the source already.
    expect(await replicas(made, 4)).to.deep.equal(['hv-2', 'hv-1', 'hv-2', 'hv-1']);
  });

  it('keep off a node that is paused', async () => {
    const { ground, ...made } = await cluster();
    await using _ = ground;
    using _paused = ground.rewrite((row, { cmdlet }) =>
      cmdlet === 'Get-ClusterNode' && row['Name'] === 'hv-2' ? { ...row, State: { name: 'Paused', value: 2 } } : row,
    );

    expect(await replicas(made, 2)).to.deep.equal(['hv-1', 'hv-1']);
  });
});

describe('a machine of a cluster', () => {
  it('that moves before a step or after it has its cycle all the same, or says that it has moved', async () => {
    for (const moves of ['before', 'after'] as const) {
      for (let nth = 1; nth <= 40; nth++) {
        const { ground, session, id } = await cluster();
        await using _ = ground;
        await ground.fault({ method: 'ps.*', machine: id, nth, act: { moves } });
        const cycle = async () => {
          const snapshot = await take(session, id);
          await using reader = await snapshotSource(session).openReader(snapshot.id, snapshot.disks[0]!.disk, callOf());
          await reader.read(0, new Uint8Array(4096), callOf());
          await reader[Symbol.asyncDispose]();
          await snapshotSource(session).releaseSnapshot(snapshot.id, 'sealed', callOf());
        };

        await cycle().catch(async (error: unknown) => {
          expect((error as { code?: string }).code, `${moves} ${nth}: ${String(error)}`).to.be.oneOf([
            'MACHINE_MOVED',
            'SNAPSHOT_GONE',
            'STATE_CONFLICT',
            'TASK_IN_PROGRESS',
          ]);
          for await (const left of snapshotSource(session).listSnapshots(callOf()))
            await snapshotSource(session).releaseSnapshot(left.id, 'abandoned', callOf());
          await cycle();
        });

        expect(ground.hv(id).checkpoints, `${moves} ${nth}`).to.deep.equal([]);
        expect(ground.mounts(), `${moves} ${nth}`).to.deep.equal([]);
        expect(ground.hv(id).referencePoints.length, `${moves} ${nth}`).to.be.at.most(1);
      }
    }
  }).timeout(60_000);

  it('that has moved since a process that is gone attached its disk is merged all the same', async () => {
    const { ground, session, id } = await cluster();
    await using _ = ground;
    const snapshot = await take(session, id);
    const frozen = ground.hv(id).checkpoints[0]!.disks[0]!.file;
    await ground.byHand([{ cmdlet: 'Mount-VHD', params: { Path: frozen, ReadOnly: true, NoDriveLetter: true } }], 'hv-1');
    await migrate(ground, id);

    await snapshotSource(session).releaseSnapshot(snapshot.id, 'sealed', callOf());

    expect(ground.mounts()).to.deep.equal([]);
    expect(ground.hv(id).merging).to.equal(undefined);
  });

  it('is not gone because its node is down: nobody deletes, discards or forgets it', async () => {
    await using one = await made({ kind: 'cluster' });
    const { ground, session, replica, placed } = one;
    const node = nodeOf(placed);
    const fork = await forkOf(one);
    await setHost(ground, node, false);
    await advance(ground, 60_000);

    for (const work of [
      () => session.inventory.getMachine(replica, callOf()),
      () => session.target!.deleteReplica!(replica, callOf()),
      () => forks(session).discard(fork.id, callOf()),
      () => snapshotSource(session).releaseSnapshot(`${replica}/none` as never, 'abandoned', callOf()),
    ]) {
      const error = await errorOf(work());
      expect(error.code).to.equal('CONNECTION_REFUSED');
      expect(error.message).to.include(node);
    }
    await setHost(ground, node, true);
    await advance(ground, 60_000);
    await forks(session).discard(fork.id, callOf());
    expect((await session.inventory.getMachine(replica, callOf())).name).to.equal('copy');
  });

  it('that the cluster has started on another node after a failure is found there', async () => {
    const { ground, session, id } = await cluster();
    await using _ = ground;
    await setHost(ground, 'hv-1', false);
    await advance(ground, 5_000);

    const machine = await session.inventory.getMachine(id, callOf());

    expect(machine.host).to.equal('host/hv-2');
    expect(machine.power).to.equal('on');
  });

  it('is listed again as soon as its node is known to be down, without the machines of that node', async () => {
    const { ground, session, id } = await cluster();
    await using _ = ground;
    await setHost(ground, 'hv-1', false);
    const list = () => Array.fromAsync(session.inventory.listMachines({}, callOf()));
    expect((await errorOf(list())).code).to.equal('CONNECTION_REFUSED');

    expect(await list()).to.deep.equal([]);
    await advance(ground, 5_000);
    expect((await list()).map((one) => one.id)).to.deep.equal([id]);
  });

  it('that two nodes show at once is listed once', async () => {
    const { ground, session } = await cluster();
    await using _ = ground;
    const elsewhere = await ground.connect();
    const [first] = await Array.fromAsync(elsewhere.inventory.listMachines({}, callOf()));
    await migrate(ground, first!.id);

    const all = await Array.fromAsync(session.inventory.listMachines({}, callOf()));

    expect(all.filter(({ id }) => id === first!.id)).to.have.length(1);
  });

  it('is taken out of the cluster when it becomes a replica, and is of it again when its fork is promoted', async () => {
    const { ground, session, id, spec } = await cluster();
    await using _ = ground;
    await session.power!.set(id, 'off', callOf());
    await session.target!.adoptReplica(id, spec, callOf());
    expect(ground.hv(id).clustered).to.equal(false);
    const fork = await forkOf({ session, source: { spec } as never, replica: id });

    await forks(session).promote(fork.id, callOf());

    expect(ground.hv(id).clustered).to.equal(true);
  });

  it('is isolated whole, whichever step of it is the last of a process', async () => {
    await cutAtEach({
      start: async () => ({
        ...(await cluster().then(({ ground, session, id }) => ({
          ground,
          session,
          id,
          [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose](),
        }))),
      }),
      work: ({ id }, session, more) => session.fence!.isolate(id, callOf({ ...more, fence: epoch(1) })),
      check: async ({ ground, id }, session, cut) => {
        const machine = await session.inventory.getMachine(id, callOf());
        expect(machine.power, cut).to.equal('off');
        expect(
          machine.spec.nics.some(({ network }) => network !== undefined),
          cut,
        ).to.equal(false);
        expect(ground.hv(id), cut).to.include({ clustered: false, startAction: 'Nothing' });
      },
    });
  });
});
