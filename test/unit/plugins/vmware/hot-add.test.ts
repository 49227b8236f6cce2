import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { BlockDevices } from '../../../../adapters/block/port.ts';
import { typed } from '../../../../adapters/vsphere/port.ts';
import { type Call, type DiskReader, DrError, type Machine, type Session, type Snapshot } from '../../../../core/contract/index.ts';
import { callOf, disk, epoch, errorOf, forkOf, Ground, MIB, OWNER, replicaOf, snapshotSource } from './ground.ts';

const frozen = async (session: Session, machine: Machine): Promise<Snapshot> =>
  snapshotSource(session).createSnapshot([machine.id], { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());
const open = (session: Session, { id }: Snapshot, machine: Machine, index = 0, more: Partial<Call> = {}): Promise<DiskReader> =>
  snapshotSource(session).openReader(id, machine.spec.disks[index]!.id, callOf(more));
const applianceRef = (ground: Ground) => ({ type: 'VirtualMachine', value: ground.appliance });
const sample = async (reader: DiskReader): Promise<Uint8Array> => {
  const into = new Uint8Array(65_536);
  await reader.read(0, into, callOf());
  return into;
};

describe('disks attached to the appliance', () => {
  it('share one attachment when they are opened several times at once, and are detached with the last', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    const before = ground.count('ReconfigVM_Task');

    const readers = await Promise.all([0, 1, 2].map(() => open(session, snapshot, machine)));

    expect(ground.count('ReconfigVM_Task') - before).to.equal(1);
    await readers[0]![Symbol.asyncDispose]();
    await readers[0]![Symbol.asyncDispose]();
    await readers[1]![Symbol.asyncDispose]();
    expect(ground.attached()).to.deep.equal([machine.spec.disks[0]!.id]);
    expect(await sample(readers[2]!)).to.have.length(65_536);
    await readers[2]![Symbol.asyncDispose]();
    expect(ground.attached()).to.deep.equal([]);
    expect(Object.keys(ground.extra(ground.appliance)).filter((key) => key.startsWith('warmsite.attach'))).to.deep.equal([]);
  });

  it('share one attachment between sessions', async () => {
    await using ground = await Ground.create();
    const [one, two] = [await ground.connect(), await ground.connect()];
    const machine = await ground.machine(one, 'web');
    const snapshot = await frozen(one, machine);
    const [first, second] = await Promise.all([open(one, snapshot, machine), open(two, snapshot, machine)]);

    await one[Symbol.asyncDispose]();

    expect(ground.attached()).to.have.length(1);
    expect(await errorOfRead(first)).not.to.equal('none');
    await sample(second);
  });

  it('are opened for the second caller although the first gives up in the middle', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    const giveUp = new AbortController();
    using _ = ground.before(({ method, on }) => {
      if (method === 'ReconfigVM_Task' && on.value === ground.appliance) giveUp.abort(new DrError('ABORTED', 'given up'));
    });

    const [first, second] = await Promise.allSettled([
      open(session, snapshot, machine, 0, { signal: giveUp.signal }),
      open(session, snapshot, machine),
    ]);

    expect(first.status).to.equal('rejected');
    expect(second.status).to.equal('fulfilled');
    if (second.status === 'fulfilled') await sample(second.value);
  });

  it('are not left attached by a caller who has given up while the server was still at it', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    const giveUp = new AbortController();
    using _ = ground.before(({ method, on }) => {
      if (method === 'ReconfigVM_Task' && on.value === ground.appliance) giveUp.abort(new DrError('ABORTED', 'given up'));
    });

    expect((await errorOf(open(session, snapshot, machine, 0, { signal: giveUp.signal }))).code).to.equal('ABORTED');
    await snapshotSource(session).releaseSnapshot(snapshot.id, 'abandoned', callOf());

    expect(ground.attached()).to.deep.equal([]);
    expect(await ground.leftovers()).to.deep.equal([]);
  });

  it('are detached and attached again in turn, however quickly one follows the other', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    let reader = await open(session, snapshot, machine);
    for (let round = 0; round < 5; round++) {
      const [, next] = await Promise.all([reader[Symbol.asyncDispose](), open(session, snapshot, machine)]);
      reader = next;
      await sample(reader);
    }
    await reader[Symbol.asyncDispose]();

    expect(ground.attached()).to.deep.equal([]);
  });

  it('are HOST_BUSY where the appliance has no place for one more', async () => {
    const wide = {
      name: 'wide',
      disks: Array.from({ length: 60 }, () => ({ sizeBytes: 1024 })),
      workload: 'none' as const,
      power: 'off' as const,
    };
    await using ground = await Ground.create({ machines: [wide] });
    const session = await ground.connect();
    const machine = await ground.machine(session, 'wide');
    const snapshot = await frozen(session, machine);
    expect(machine.spec.disks).to.have.length(60);
    const readers: DiskReader[] = [];
    let refused: DrError | undefined;
    for (let index = 0; index < 60 && !refused; index++) {
      try {
        readers.push(await open(session, snapshot, machine, index));
      } catch (error) {
        refused = error as DrError;
      }
    }

    // Its own disk takes one of the sixty places.
    expect(readers).to.have.length(59);
    expect(refused!.code).to.equal('HOST_BUSY');
    expect(refused!.message).to.include('no free place for another disk on its 4 SCSI controllers');
    await snapshotSource(session).releaseSnapshot(snapshot.id, 'abandoned', callOf());
    expect(ground.attached()).to.deep.equal([]);
  }).timeout(30_000);

  it('whose detaching and release went wrong do not keep the next cycle from merging what they held', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    const reader = await open(session, snapshot, machine);
    const trouble = ground.before(({ method, on }) => {
      if (method === 'ReconfigVM_Task' && on.value === ground.appliance) throw new DrError('INTERNAL', 'not now');
    });
    await errorOf(Promise.resolve(reader[Symbol.asyncDispose]()));
    const error = await errorOf(snapshotSource(session).releaseSnapshot(snapshot.id, 'abandoned', callOf()));
    expect(error.code).to.equal('FILE_LOCKED');
    expect(ground.attached()).to.have.length(1);
    trouble[Symbol.dispose]();

    const want = { consistency: 'crash', orElse: 'crash', since: new Map() } as const;
    const next = await snapshotSource(session).createSnapshot([machine.id], want, callOf({ operationId: 'next' }));

    expect(ground.attached()).to.deep.equal([]);
    await sample(await open(session, next, machine));
  });

  it('that a process which is gone has left are detached by the next, and only those', async () => {
    await using ground = await Ground.create();
    const machine = await ground.machine(await ground.connect(), 'web');
    const [mine, theirs] = machine.spec.disks;
    const vim = await ground.vim();
    const vm = { type: 'VirtualMachine', value: machine.id };
    await vim.task('CreateSnapshot_Task', vm, { name: 'x', memory: false, quiesce: false });
    const deviceChange = (await vim.disks(vm)).map(({ backing }, index) => ({
      operation: 'add' as const,
      device: typed('VirtualDisk', {
        key: -1 - index,
        controllerKey: 1003,
        unitNumber: index,
        capacityInKB: 1024,
        backing: typed('VirtualDiskFlatVer2BackingInfo', {
          fileName: (backing as { parent: { fileName: string } }).parent.fileName,
          diskMode: 'independent_nonpersistent',
        }),
      }),
    }));
    const extraConfig = [
      { key: 'warmsite.owner', value: OWNER },
      { key: `warmsite.attach.${mine!.id}`, value: 'independent_nonpersistent' },
    ];
    await vim.reconfigure(applianceRef(ground), { deviceChange, extraConfig });
    expect(ground.attached()).to.have.members([mine!.id, theirs!.id]);

    await ground.connect();

    expect(ground.attached()).to.deep.equal([theirs!.id]);
    expect(ground.extra(ground.appliance)).not.to.have.property(`warmsite.attach.${mine!.id}`);
    await vim.client[Symbol.asyncDispose]();
  });

  it('are LOCKED_BY the other installation whose appliance it is', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    const theirs = await ground.connect({}, 'installation-2');
    const reader = await open(session, snapshot, machine);

    const error = await errorOf(open(theirs, await frozen(theirs, machine), machine, 1));

    expect(error.code).to.equal('LOCKED_BY');
    expect(error.context.holder).to.equal('installation-1');
    await reader[Symbol.asyncDispose]();
  });

  it('that never appear are TIMED_OUT, and nothing is left attached', async () => {
    const never: BlockDevices = {
      open: async ({ uuid }, { deadlineMs }) => {
        throw new DrError('TIMED_OUT', `the disk ${uuid} has not appeared in ${deadlineMs} ms`);
      },
    };
    await using ground = await Ground.create({ devices: never });
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);

    expect((await errorOf(open(session, snapshot, machine))).code).to.equal('TIMED_OUT');
    expect(ground.attached()).to.deep.equal([]);
  });

  it('with the identity of another disk are not mixed up with it', async () => {
    const machines = ['a', 'b'].map((name) => ({ name, disks: [disk()], power: 'off' as const, writesPerSecond: 0 }));
    await using ground = await Ground.create({ machines });
    const session = await ground.connect();
    const [a, b] = [await ground.machine(session, 'a'), await ground.machine(session, 'b')];
    const [inA, inB] = [await frozen(session, a), await frozen(session, b)];
    const first = await open(session, inA, a);
    // As after a copy of the file by an array: the same identity, another content.
    const twin = a.spec.disks[0]!.id;
    for (const one of ground.record(b.id).snapshots[0]!.config.devices) {
      if (one.$type === 'VirtualDisk') Object.assign(one.backing as object, { uuid: twin });
    }

    const error = await errorOf(snapshotSource(session).openReader(inB.id, twin, callOf()));

    expect(error.code).to.equal('HOST_BUSY');
    expect(error.message).to.include(`has the identity of a disk of ${a.id}`);
    await first[Symbol.asyncDispose]();
  });

  it('are released before the machine starts, before its snapshot goes and before a fork is made', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const snapshot = await frozen(session, machine);
    await open(session, snapshot, machine);
    const placed = await replicaOf(session, machine, { fence: epoch(1) });
    const target = session.target!;
    const handle = await target.openReplicaDisk(placed.machine.id, placed.machine.spec.disks[0]!.id, callOf({ fence: epoch(1) }));
    expect(ground.attached()).to.have.length(2);

    await snapshotSource(session).releaseSnapshot(snapshot.id, 'sealed', callOf());
    expect(ground.attached()).to.deep.equal([placed.machine.spec.disks[0]!.id]);

    const fork = await forkOf(session, placed, { call: { fence: epoch(1) } });
    expect(ground.attached()).to.deep.equal([]);
    await handle[Symbol.asyncDispose]();

    const inFork = await target.forks!.openDisk(fork.id, fork.machine.spec.disks[0]!.id, callOf({ fence: epoch(1) }));
    expect(ground.attached()).to.have.length(1);
    await session.power!.set(fork.machine.id, 'on', callOf({ fence: epoch(1) }));
    expect(ground.attached()).to.deep.equal([]);
    await inFork[Symbol.asyncDispose]();
  });

  it('do not keep a machine from starting when the appliance is gone', async () => {
    await using ground = await Ground.create({ machines: [{ name: 'web', disks: [disk()], power: 'off', writesPerSecond: 0 }] });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    await ground.estate.control.call('lab.power', { machine: ground.appliance, to: 'off' });
    const vim = await ground.vim();
    await vim.task('Destroy_Task', applianceRef(ground), {});

    await session.power!.set(id, 'on', callOf());

    expect((await session.inventory.getMachine(id, callOf())).power).to.equal('on');
    await vim.client[Symbol.asyncDispose]();
  });

  it('are read only where they are only read, and written persistently where they are written', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');
    const placed = await replicaOf(session, machine);
    await open(session, await frozen(session, machine), machine);
    await session.target!.openReplicaDisk(placed.machine.id, placed.machine.spec.disks[0]!.id, callOf());

    const modes = ground
      .record(ground.appliance)
      .devices.filter(({ $type }) => $type === 'VirtualDisk')
      .slice(1)
      .map(({ backing }) => (backing as { diskMode: string }).diskMode);

    expect(modes.sort()).to.deep.equal(['independent_nonpersistent', 'independent_persistent']);
  });

  it('have a size that is no multiple of a kilobyte and are attached all the same', async () => {
    await using ground = await Ground.create({
      machines: [{ name: 'odd', disks: [{ sizeBytes: MIB + 512 }], workload: 'none', power: 'off' }],
    });
    const session = await ground.connect();
    const machine = await ground.machine(session, 'odd');
    const reader = await open(session, await frozen(session, machine), machine);

    expect(reader.sizeBytes).to.equal(MIB + 512);
    await reader.read(MIB, new Uint8Array(512), callOf());
  });
});

const errorOfRead = (reader: DiskReader): Promise<string> =>
  reader.read(0, new Uint8Array(512), callOf()).then(
    () => 'none',
    (error: DrError) => error.code,
  );
