import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Fork, MachineId, Session } from '../../../../core/contract/index.ts';
import { epochsAt } from '../../../../plugins/vmware/fence.ts';
import { forksOf } from '../../../../plugins/vmware/forks.ts';
import { choosePaths } from '../../../../plugins/vmware/movers/choose.ts';
import { Https } from '../../../../plugins/vmware/movers/https.ts';
import { callOf, epoch, errorOf, forkOf, Ground, type Made, MIB, made, madeUp, WEB } from './ground.ts';

const forks = ({ target }: Session) => target!.forks!;
const files = (ground: Ground) => Object.keys(ground.estate.estate.endpoint('endpoint').vsphere!.files);
const generation = (ground: Ground, id: MachineId) => ground.estate.estate.machines.get(id)!.generation;
const nameOf = (ground: Ground, id: MachineId) => ground.estate.estate.machines.get(id)!.name;
const fill = async (session: Session, { id, machine }: Fork, byte: number): Promise<void> => {
  const handle = await forks(session).openDisk(id, machine.spec.disks[0]!.id, callOf());
  await handle.write(0, new Uint8Array(4096).fill(byte), callOf());
  await handle.flush(callOf());
  await handle[Symbol.asyncDispose]();
};
const firstByte = async (ground: Ground, id: MachineId, of: string) => (await ground.read(id, of, 0, 1))[0];

/** Runs the work with the n-th call of the server lost, until one run makes so few calls that none is lost. */
const cutAtEach = async (
  start: () => Promise<Made>,
  work: (made: Made) => Promise<void>,
  check: (made: Made) => Promise<void>,
): Promise<number> => {
  for (let nth = 1; ; nth++) {
    await using one = await start();
    let count = 0;
    let isCut = false;
    let isOver = false;
    using _ = one.ground.before(({ method }) => {
      if (isOver || method === 'RetrievePropertiesEx' || ++count !== nth) return;
      isCut = true;
      throw Object.assign(new Error('the process is gone'), { gone: true });
    });
    await work(one).catch((error: unknown) => {
      if (!isCut) throw error;
    });
    isOver = true;
    if (!isCut) {
      await check(one);
      return nth - 1;
    }
    await work(one);
    await check(one);
  }
};

describe('a fork that is an overlay', () => {
  it('is discarded with all that it held, and the replica has its name and its bytes again', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;
    const [first] = placed.machine.spec.disks;
    const fork = await forkOf(session, placed, { name: 'running' });
    await fill(session, fork, 9);
    expect(nameOf(ground, replica)).to.equal('running');

    await forks(session).discard(fork.id, callOf());

    expect(nameOf(ground, replica)).to.equal('copy');
    expect(await firstByte(ground, replica, first!.id)).to.equal(0);
    expect(await Array.fromAsync(forks(session).list(callOf()))).to.deep.equal([]);
  });

  it('keeps the epoch that was set while it ran, through its discard', async () => {
    await using one = await made();
    const { session, placed, replica } = one;
    await session.fence!.advance(replica, undefined, epoch(1), callOf());
    const fork = await forkOf(session, placed, { call: { fence: epoch(1) } });
    await session.fence!.advance(replica, epoch(1), epoch(2, 'site-b'), callOf());

    await forks(session).discard(fork.id, callOf({ fence: epoch(2, 'site-b') }));

    expect(await session.fence!.read(replica, callOf())).to.deep.equal(epoch(2, 'site-b'));
    expect((await errorOf(session.power!.set(replica, 'on', callOf({ fence: epoch(1) })))).code).to.equal('FENCED');
  });

  it('keeps that epoch also when the process dies right after the revert, and another one goes on', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;
    await session.fence!.advance(replica, undefined, epoch(1), callOf());
    const fork = await forkOf(session, placed, { call: { fence: epoch(1) } });
    await session.fence!.advance(replica, epoch(1), epoch(2, 'site-b'), callOf());
    let reverted = false;
    {
      using _ = ground.before(({ method }) => {
        if (method === 'RevertToSnapshot_Task') reverted = true;
        else if (reverted && method === 'ReconfigVM_Task') throw new Error('the process is gone');
      });
      await forks(session)
        .discard(fork.id, callOf({ fence: epoch(2, 'site-b') }))
        .catch(() => undefined);
    }
    expect(await session.fence!.read(replica, callOf())).to.deep.equal(epoch(1));

    const next = await ground.connect();
    await forks(next).discard(fork.id, callOf({ fence: epoch(2, 'site-b') }));

    expect(await next.fence!.read(replica, callOf())).to.deep.equal(epoch(2, 'site-b'));
  });

  it('takes along what others have put on it when it is discarded', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;
    const fork = await forkOf(session, placed);
    const vim = await ground.vim();
    await vim.task(
      'CreateSnapshot_Task',
      { type: 'VirtualMachine', value: replica },
      { name: 'nightly backup', memory: false, quiesce: false },
    );

    await forks(session).discard(fork.id, callOf());

    expect(ground.record(replica).snapshots).to.deep.equal([]);
    await vim.client[Symbol.asyncDispose]();
  });

  it('is promoted, once and again, into a machine without tags and without a snapshot', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;
    const fork = await forkOf(session, placed);
    await fill(session, fork, 9);

    const machine = await forks(session).promote(fork.id, callOf());
    const again = await forks(session).promote(fork.id, callOf());

    expect(machine.id).to.equal(replica);
    expect(again.id).to.equal(replica);
    expect(await firstByte(ground, replica, placed.machine.spec.disks[0]!.id)).to.equal(9);
    expect(ground.record(replica).snapshots).to.deep.equal([]);
    expect(Object.keys(ground.extra(replica)).filter((key) => /warmsite\.(replica|fork|drop|disk|nic)/.test(key))).to.deep.equal([]);
  });

  it('whose promotion has begun is not discarded any more', async () => {
    await using one = await made();
    const { ground, session, placed } = one;
    const fork = await forkOf(session, placed);
    {
      using _ = ground.before(({ method }) => {
        if (method === 'RemoveSnapshot_Task') throw new Error('the process is gone');
      });
      await forks(session)
        .promote(fork.id, callOf())
        .catch(() => undefined);
    }

    const error = await errorOf(forks(session).discard(fork.id, callOf()));

    expect(error.code).to.equal('STATE_CONFLICT');
    expect(error.message).to.include('is being promoted');
    await forks(session).promote(fork.id, callOf());
    expect(ground.record(fork.machine.id).snapshots).to.deep.equal([]);
  });

  it('without a disk of the replica leaves no file of it behind when it is promoted', async () => {
    await using one = await made();
    const { ground, session, source, placed, replica } = one;
    const [kept, dropped] = placed.machine.spec.disks;
    const fileOf = (id: string) =>
      files(ground).filter((name) => ground.estate.estate.endpoint('endpoint').vsphere!.files[name]!.uuid === id);
    expect(fileOf(dropped!.id)).to.have.length(1);
    const fork = await forkOf(session, placed, { spec: { ...source.spec, disks: source.spec.disks.slice(0, 1) } });
    expect(fork.machine.spec.disks.map(({ id }) => id)).to.deep.equal([kept!.id]);

    const [base] = fileOf(dropped!.id);
    await forks(session).promote(fork.id, callOf());

    expect(fileOf(dropped!.id)).to.deep.equal([]);
    // Not only where the server drops it by itself.
    const deleted = ground.seen
      .filter(({ method }) => method === 'DeleteVirtualDisk_Task')
      .map(({ args }) => (args as { name: string }).name);
    expect(deleted).to.include(base);
    expect(ground.estate.estate.machines.get(replica)!.spec.disks).to.have.length(1);
  });

  it('of an adopted machine deletes no disk that was never a copy of ours', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB[0]!, name: 'old', power: 'off' }] });
    const session = await ground.connect();
    const old = await ground.machine(session, 'old');
    const [own, theirs] = old.spec.disks;
    await ground.write(old.id, theirs!.id, 0, new Uint8Array(512).fill(5));
    const spec = { ...old.spec, disks: [own!] };
    const placed = await session.target!.adoptReplica(old.id, spec, callOf());
    const fork = await forkOf(session, placed, { spec });
    expect(fork.findings.map(({ code }) => code)).to.deep.equal(['DISK_IS_NO_COPY']);

    await forks(session).promote(fork.id, callOf());

    expect(await firstByte(ground, old.id, theirs!.id)).to.equal(5);
  });

  it('deletes no disk of an adopted machine that somebody has detached from it meanwhile', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB[0]!, name: 'old', power: 'off' }] });
    const session = await ground.connect();
    const old = await ground.machine(session, 'old');
    const spec = { ...old.spec, disks: old.spec.disks.slice(0, 1) };
    const placed = await session.target!.adoptReplica(old.id, spec, callOf());
    const fork = await forkOf(session, placed, { spec });
    const vim = await ground.vim();
    const [, theirs] = await vim.disks({ type: 'VirtualMachine', value: old.id });
    await vim.change({ type: 'VirtualMachine', value: old.id }, { operation: 'remove', device: theirs! });

    await forks(session).promote(fork.id, callOf());

    expect(ground.count('DeleteVirtualDisk_Task')).to.equal(0);
    await vim.client[Symbol.asyncDispose]();
  });

  it('is refused before anything has changed where the replica lacks a disk of the recovery point', async () => {
    await using one = await made();
    const { ground, session, source, placed, replica } = one;
    const spec = { ...source.spec, disks: [...source.spec.disks, { ...source.spec.disks[0]!, id: 'of-another' as never }] };

    for (const mode of ['overlay', 'clone'] as const) {
      const error = await errorOf(forkOf(session, placed, { mode, spec }));

      expect(error.code).to.equal('NOT_FOUND');
      expect(error.message).to.include('has no copy of disk of-another');
    }
    expect(ground.record(replica).snapshots).to.deep.equal([]);
  });

  it('is not made twice, is refused beside another, and on a replica that runs', async () => {
    await using one = await made();
    const { session, placed, replica } = one;
    const first = await forkOf(session, placed, { call: { operationId: 'same' } });
    const again = await forkOf(session, placed, { call: { operationId: 'same' } });

    expect(again.id).to.equal(first.id);
    const error = await errorOf(forkOf(session, placed));
    expect(error.code).to.equal('STATE_CONFLICT');
    expect(error.hint).to.equal('discard or promote the fork first');
    await forks(session).discard(first.id, callOf());
    await session.power!.set(replica, 'on', callOf());
    expect((await errorOf(forkOf(session, placed))).message).to.include('is running');
  });

  it('gets a suffix where another machine of the folder has its name', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;

    await forkOf(session, placed, { name: 'web' });

    expect(nameOf(ground, replica)).to.equal(`web (${replica})`);
  });

  for (const newGenerationId of [true, false]) {
    it(`has ${newGenerationId ? 'a new' : 'the same'} generation id where ${newGenerationId ? 'that' : 'none'} is asked for`, async () => {
      await using one = await made();
      const { ground, session, placed, replica } = one;
      const vim = await ground.vim();
      await vim.reconfigure({ type: 'VirtualMachine', value: replica }, { extraConfig: [{ key: 'vm.genid', value: '12345' }] });
      const before = generation(ground, replica);

      await forkOf(session, placed, { newGenerationId });

      expect(generation(ground, replica) !== before).to.equal(newGenerationId);
      await vim.client[Symbol.asyncDispose]();
    });
  }

  it('has the size of its recovery point, and says where a disk is larger', async () => {
    await using one = await made();
    const { session, source, placed } = one;
    const spec = {
      ...source.spec,
      cpuCount: 3,
      memoryBytes: 1026 * MIB,
      disks: source.spec.disks.map((row) => ({ ...row, sizeBytes: row.sizeBytes / 2 })),
    };

    const fork = await forkOf(session, placed, { spec });

    expect(fork.machine.spec.cpuCount).to.equal(3);
    expect(fork.machine.spec.memoryBytes).to.equal(1028 * MIB);
    expect(fork.findings.map(({ code }) => code)).to.deep.equal(['DISK_IS_LARGER', 'DISK_IS_LARGER']);
  });

  it('is not said to be discarded when a file of it was missing', async () => {
    await using one = await made();
    const { ground, session, placed } = one;
    const fork = await forkOf(session, placed);
    await ground.fault({
      method: 'vim.RevertToSnapshot_Task',
      act: { vimFault: 'FileNotFound', detail: { file: '[store] x.vmdk' }, inTask: true },
    });

    const error = await errorOf(forks(session).discard(fork.id, callOf()));

    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.include('[store] x.vmdk');
  });

  it('is made whole, whichever call of its making is the last of a process', async () => {
    const work = async ({ session, placed }: Made) => {
      await forkOf(session, placed, { name: 'running', call: { operationId: 'make' } });
    };
    const lost = await cutAtEach(made, work, async ({ ground, session, replica, source }) => {
      const [only, ...more] = await Array.fromAsync(forks(session).list(callOf()));
      expect(more).to.deep.equal([]);
      expect(ground.record(replica).snapshots).to.have.length(1);
      expect(nameOf(ground, replica)).to.equal('running');
      expect(only!.machine.spec.nics).to.have.length(source.spec.nics.length);
    });

    expect(lost).to.be.at.least(3);
  }).timeout(20_000);

  for (const [verb, end] of [
    ['discarded', (session: Session, fork: Fork) => forks(session).discard(fork.id, callOf())],
    ['promoted', (session: Session, fork: Fork) => forks(session).promote(fork.id, callOf())],
  ] as const) {
    it(`is ${verb} whole, whichever call of it is the last of a process`, async () => {
      const forked = new WeakMap<Made, Fork>();
      const start = async (): Promise<Made> => {
        const one = await made();
        const { session, source, placed } = one;
        const fork = await forkOf(session, placed, { spec: { ...source.spec, disks: source.spec.disks.slice(0, 1) } });
        await fill(session, fork, 9);
        forked.set(one, fork);
        return one;
      };
      const work = async (one: Made) => void (await end(one.session, forked.get(one)!));

      const lost = await cutAtEach(start, work, async ({ ground, session, placed, replica }) => {
        const [first, second] = placed.machine.spec.disks;
        expect(ground.record(replica).snapshots).to.deep.equal([]);
        expect(await Array.fromAsync(forks(session).list(callOf()))).to.deep.equal([]);
        expect(await firstByte(ground, replica, first!.id)).to.equal(verb === 'promoted' ? 9 : 0);
        expect(files(ground).filter((name) => name.includes('-00000'))).to.deep.equal([]);
        const { spec } = ground.estate.estate.machines.get(replica)!;
        expect(spec.disks.map(({ id }) => id)).to.deep.equal(verb === 'promoted' ? [first!.id] : [first!.id, second!.id]);
      });

      expect(lost).to.be.at.least(2);
    }).timeout(20_000);
  }
});

describe('the ways to fork', () => {
  it('are overlays alone on a lone host, which does not clone', async () => {
    await using one = await made();
    expect(forks(one.session).modes).to.deep.equal(['overlay', 'clone']);
    const lone = madeUp({});
    Object.assign(lone.client.about, { apiType: 'HostAgent' });

    expect(forksOf(lone, choosePaths([new Https(lone)], undefined), epochsAt(lone)).modes).to.deep.equal(['overlay']);
  });
});

describe('a fork that is a clone', () => {
  const cloned = (one: Made, more: object = {}): Promise<Fork> =>
    forkOf(one.session, one.placed, { mode: 'clone', purpose: 'test', name: 'trial', spec: one.source.spec, ...more });

  it('is a machine of its own, found again, and discarded without a trace', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    const before = files(ground);
    const fork = await cloned(one, { call: { operationId: 'same' } });
    const again = await cloned(one, { call: { operationId: 'same' } });

    expect(fork.machine.id).not.to.equal(replica);
    expect(again.id).to.equal(fork.id);
    expect((await Array.fromAsync(forks(session).list(callOf()))).map(({ id }) => id)).to.deep.equal([fork.id]);
    expect(fork.machine.spec.disks).to.have.length(2);
    expect([...fork.disks.values()]).to.deep.equal(fork.machine.spec.disks.map(({ id }) => id));
    await forks(session).discard(fork.id, callOf());
    await forks(session).discard(fork.id, callOf());
    expect(files(ground)).to.deep.equal(before);
  });

  it('that is promoted takes the place of the replica, also when it is promoted twice', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    const fork = await cloned(one);

    await forks(session).promote(fork.id, callOf());
    const machine = await forks(session).promote(fork.id, callOf());

    expect(machine.id).to.equal(fork.machine.id);
    expect(ground.estate.estate.machines.has(replica)).to.equal(false);
    expect(await Array.fromAsync(forks(session).list(callOf()))).to.deep.equal([]);
  });

  it('is not begun a second time while the attempt before is still at it', async () => {
    await using one = await made();
    const { ground, session } = one;
    const giveUp = new AbortController();
    let isBegun = false;
    {
      using _ = ground.before(({ method }) => {
        if (isBegun) giveUp.abort(new Error('the call took too long'));
        isBegun = method === 'CloneVM_Task';
      });
      await cloned(one, { call: { operationId: 'same', signal: giveUp.signal } }).catch(() => undefined);
    }

    const fork = await cloned(one, { call: { operationId: 'same' } });

    expect(ground.count('CloneVM_Task')).to.equal(1);
    expect((await Array.fromAsync(forks(session).list(callOf()))).map(({ id }) => id)).to.deep.equal([fork.id]);
  });

  it('is not promoted over a replica on which another fork stands', async () => {
    await using one = await made();
    const { ground, session, placed, replica } = one;
    const fork = await cloned(one);
    await forkOf(session, placed);

    expect((await errorOf(forks(session).promote(fork.id, callOf()))).code).to.equal('STATE_CONFLICT');
    expect(ground.estate.estate.machines.has(replica)).to.equal(true);
  });

  it('gets a suffix where another machine of the folder has its name', async () => {
    await using one = await made();

    const fork = await cloned(one, { name: 'web' });

    expect(fork.machine.name).to.match(/^web \([0-9a-f]{8}\)$/);
  });

  it('of which somebody has spoilt the tag does not keep the others from being listed', async () => {
    await using one = await made();
    const { ground, session, source } = one;
    const fork = await cloned(one);
    const vim = await ground.vim();
    await vim.reconfigure({ type: 'VirtualMachine', value: source.id }, { extraConfig: [{ key: 'warmsite.fork', value: '{broken' }] });

    expect((await Array.fromAsync(forks(session).list(callOf()))).map(({ id }) => id)).to.deep.equal([fork.id]);
    await vim.client[Symbol.asyncDispose]();
  });
});
