import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Call, Session } from '../../../../core/contract/index.ts';
import { callOf, crash, forkOf, forks, type Made, made, snapshotSource } from './ground.ts';

const works: readonly (readonly [string, (one: Made, call: Call) => Promise<unknown>])[] = [
  ['check', ({ session }, call) => session.check(call)],
  ['listMachines', ({ session }, call) => Array.fromAsync(session.inventory.listMachines({}, call))],
  ['getMachine', ({ session, replica }, call) => session.inventory.getMachine(replica, call)],
  ['listPlaces', ({ session }, call) => Array.fromAsync(session.inventory.listPlaces('storage', call))],
  ['checkProtectable', ({ session, replica }, call) => session.inventory.checkProtectable(replica, 'source', call)],
  ['power', ({ session, replica }, call) => session.power!.set(replica, 'on', call)],
  ['createSnapshot', ({ session, source }, call) => snapshotSource(session).createSnapshot([source.id], crash(), call)],
  [
    'a whole cycle',
    async ({ session, source }, call) => {
      const of = snapshotSource(session);
      const { id, disks } = await of.createSnapshot([source.id], crash(), call);
      await Array.fromAsync(of.allocatedExtents(id, disks[0]!.disk, 0, call));
      await using reader = await of.openReader(id, disks[0]!.disk, call);
      await reader.read(0, new Uint8Array(4096), call);
      await reader[Symbol.asyncDispose]();
      await of.releaseSnapshot(id, 'sealed', call);
      await of.keepBaselines(source.id, new Map(), call);
    },
  ],
  ['createReplica', ({ session, source }, call) => session.target!.createReplica!(source.spec, { name: 'second', nics: new Map() }, call)],
  ['adoptReplica', ({ session, replica, source }, call) => session.target!.adoptReplica(replica, source.spec, call)],
  ['reshapeReplica', ({ session, replica, source }, call) => session.target!.reshapeReplica(replica, source.spec, call)],
  ['deleteReplica', ({ session, replica }, call) => session.target!.deleteReplica!(replica, call)],
  [
    'a disk that is written',
    async ({ session, replica, placed }, call) => {
      await using disk = await session.target!.openReplicaDisk(replica, placed.machine.spec.disks[0]!.id, call);
      await disk.write(0, new Uint8Array(512), call);
      await disk.flush(call);
    },
  ],
  [
    'a fork, made and discarded',
    async (one, call) => {
      const fork = await forkOf(one, { call });
      await forks(one.session).discard(fork.id, call);
    },
  ],
  [
    'a fork, made and promoted',
    async (one, call) => {
      const fork = await forkOf(one, { mode: 'clone', call });
      await forks(one.session).promote(fork.id, call);
    },
  ],
  [
    'a test network',
    async ({ session }, call) => {
      const [like] = await Array.fromAsync(session.inventory.listPlaces('network', call));
      const place = await session.network!.createTestNetwork(like!.id, call);
      await session.network!.deleteTestNetwork(place.id, call);
    },
  ],
  ['isolate', ({ session, replica }, call) => session.fence!.isolate(replica, call)],
];

describe('a call that is called off', () => {
  for (const [name, work] of works) {
    it(`rejects ${name} with the reason, whichever request it waits for, and leaves nothing attached`, async () => {
      let requests = 0;
      for (let nth = 1; ; nth++) {
        await using one = await made();
        const abort = new AbortController();
        const reason = new Error(`called off at ${nth}`);
        let count = 0;
        using _ = one.ground.before(({ step, steps }) => {
          // What was done is cleaned up after all the same.
          if (step === steps[0] && step.cmdlet !== 'Dismount-VHD' && ++count === nth) abort.abort(reason);
        });

        const result: unknown = await work(one, callOf({ signal: abort.signal })).then(
          () => undefined,
          (error: unknown) => error,
        );

        if (!abort.signal.aborted) break;
        requests = nth;
        expect(result, `request ${nth}`).to.equal(reason);
        expect(one.ground.mounts(), `request ${nth}`).to.deep.equal([]);
      }
      expect(requests).to.be.at.least(1);
    }).timeout(60_000);
  }

  it('closes nothing for others', async () => {
    await using one = await made();
    const abort = new AbortController();
    const alive = (session: Session) => session.inventory.getMachine(one.replica, callOf());
    const first = one.session.inventory.getMachine(one.replica, callOf({ signal: abort.signal }));
    abort.abort(new Error('called off'));

    expect(await first.catch((error: unknown) => error)).to.equal(abort.signal.reason);
    expect((await alive(one.session)).id).to.equal(one.replica);
  });
});
