import { expect } from 'chai';
import { describe, it } from 'mocha';
import { callOf, crash, errorOf, forkOf, Ground, type Made, MIB, made, snapshotSource } from './ground.ts';

const open = ({ session, replica, placed }: Made, at = 0) =>
  session.target!.openReplicaDisk(replica, placed.machine.spec.disks[at]!.id, callOf());
const attach = (ground: Ground, Path: string) => ground.byHand([{ cmdlet: 'Mount-VHD', params: { Path } }]);

describe('a disk of a replica', () => {
  it('is attached while it is open, by however many, and not after', async () => {
    await using one = await made();
    const [a, b] = await Promise.all([open(one), open(one)]);
    expect(one.ground.mounts()).to.have.length(1);
    await a[Symbol.asyncDispose]();
    await b.write(0, new Uint8Array(512).fill(3), callOf());
    await b.flush(callOf());
    await b[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();

    expect(one.ground.mounts()).to.deep.equal([]);
    expect(await one.ground.firstByte(one.replica, one.placed.machine.spec.disks[0]!.id)).to.equal(3);
  });

  it('is written although a process that is gone has left it attached', async () => {
    await using one = await made();
    await attach(one.ground, one.ground.hv(one.replica).drives[0]!.path);

    await using disk = await open(one);
    await disk.write(0, new Uint8Array(512).fill(4), callOf());

    expect(one.ground.mounts()).to.have.length(1);
  });

  it('is never another one that has its number since the host restarted', async () => {
    await using one = await made();
    const { ground, replica, placed } = one;
    const [first, second] = placed.machine.spec.disks;
    const before = await open(one);
    await ground.estate.control.call('lab.powerCut', { endpoint: 'endpoint' });
    await attach(ground, ground.hv(replica).drives.find(({ disk }) => disk === second!.id)!.path);
    const next = { ...one, session: await ground.connect() };

    const after = await open(next);
    await after.write(0, new Uint8Array(512).fill(9), callOf());
    await after.flush(callOf());
    await before[Symbol.asyncDispose]();
    await after.write(512, new Uint8Array(512).fill(9), callOf());
    await after[Symbol.asyncDispose]();

    expect(await ground.firstByte(replica, first!.id)).to.equal(9);
    expect(await ground.firstByte(replica, second!.id)).to.equal(0);
  });

  it('is detached when its session ends', async () => {
    await using one = await made();
    const next = { ...one, session: await one.ground.connect() };
    const disk = await open(next);

    await next.session[Symbol.asyncDispose]();
    await disk[Symbol.asyncDispose]();

    expect(one.ground.mounts()).to.deep.equal([]);
  });

  it('whose agent goes away is lost, and opened again by the next who asks', async () => {
    await using one = await made();
    const { ground } = one;
    const disk = await open(one);
    await ground.fault({ method: 'agent.write', nth: 1, act: { cut: 'before' } });
    expect((await errorOf(disk.write(0, new Uint8Array(512), callOf()))).code).to.equal('CONNECTION_LOST');

    const again = await open(one);
    await again.write(0, new Uint8Array(512).fill(5), callOf());
    await disk[Symbol.asyncDispose]();
    await again.flush(callOf());
    await again[Symbol.asyncDispose]();

    expect(ground.mounts()).to.deep.equal([]);
    expect(await ground.firstByte(one.replica, one.placed.machine.spec.disks[0]!.id)).to.equal(5);
  });

  it('is written within its bounds, and only with room on the storage', async () => {
    await using one = await made({ endpoint: { storage: [{ name: 'store', capacityBytes: 3 * MIB }] } });
    await using disk = await open(one);

    await disk.write(MIB - 512, new Uint8Array(512), callOf());
    const beyond = await disk.write(MIB, new Uint8Array(512), callOf()).catch((error: unknown) => error);
    expect(beyond).to.be.instanceOf(Error);
    await one.ground.fault({ method: 'agent.write', nth: 1, act: { error: 'TARGET_FULL' } as never });
    expect((await errorOf(disk.write(0, new Uint8Array(512).fill(1), callOf()))).code).to.equal('TARGET_FULL');
    await disk.write(0, new Uint8Array(512).fill(1), callOf());
  });

  it('is waited for while its machine, which was just turned off, still has it open', async () => {
    await using one = await made();
    const vm = { cmdlet: 'Get-VM', params: { Id: one.replica } } as const;
    await one.ground.byHand([
      vm,
      { cmdlet: 'Start-VM', params: { VM: { $step: 0 } } },
      { cmdlet: 'Stop-VM', params: { VM: { $step: 0 }, TurnOff: true, Force: true } },
    ]);

    await using disk = await open(one);

    expect(disk.sizeBytes).to.equal(MIB);
  });

  it('is not written while a fork stands on it', async () => {
    for (const purpose of ['failover', 'test'] as const) {
      await using one = await made();
      await forkOf(one, { purpose });

      expect((await errorOf(open(one))).code).to.equal('FILE_LOCKED');
      expect(one.ground.mounts()).to.deep.equal([]);
    }
  });

  it('is not written below a checkpoint of somebody else', async () => {
    await using one = await made();
    await one.ground.byHand([
      { cmdlet: 'Get-VM', params: { Id: one.replica } },
      { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'of somebody' } },
    ]);

    expect((await errorOf(open(one))).code).to.equal('STATE_CONFLICT');
  });
});

describe('a disk of a checkpoint', () => {
  it('is read by several at once, and detached with the last of them', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const { id: of, disks } = await snapshotSource(session).createSnapshot([id], crash(), callOf());
    const readers = await Promise.all([1, 2, 3].map(() => snapshotSource(session).openReader(of, disks[0]!.disk, callOf())));
    await Promise.all(readers.map((reader, at) => reader.read(at * 4096, new Uint8Array(4096), callOf())));
    expect(ground.mounts()).to.have.length(1);

    for (const reader of readers) await reader[Symbol.asyncDispose]();

    expect(ground.mounts()).to.deep.equal([]);
    await snapshotSource(session).releaseSnapshot(of, 'sealed', callOf());
  });

  it('that a process has left attached does not keep its checkpoint from being merged', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const { id: of } = await snapshotSource(session).createSnapshot([id], crash(), callOf());
    await ground.byHand([{ cmdlet: 'Mount-VHD', params: { Path: ground.hv(id).checkpoints[0]!.disks[0]!.file, ReadOnly: true } }]);

    await snapshotSource(session).releaseSnapshot(of, 'abandoned', callOf());

    expect(ground.mounts()).to.deep.equal([]);
    expect(ground.files().every((path) => path.endsWith('.vhdx'))).to.equal(true);
  });
});

describe('whoever calls off', () => {
  it('takes a session or an agent from nobody who waits for it too', async () => {
    await using ground = await Ground.create({ kind: 'cluster' });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const next = await ground.connect();
    await ground.fault({ method: 'ps.Connect', times: 10, act: { delayMs: 500 } });
    const abort = new AbortController();
    const startedMs = ground.estate.clock.now();

    const first = next.inventory.getMachine(id, callOf({ signal: abort.signal }));
    const second = next.inventory.getMachine(id, callOf());
    await ground.estate.clock.sleep(100);
    abort.abort(new Error('called off'));

    expect(await first.catch((error: unknown) => error)).to.equal(abort.signal.reason);
    expect((await second).id).to.equal(id);
    expect(ground.estate.clock.now()).to.be.at.least(startedMs + 500);
  });
});
