import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DrError, MachineId, Session } from '../../../../core/contract/index.ts';
import { callOf, disk, epoch, errorOf, Ground } from './ground.ts';

const machineOf = async (ground: Ground, session: Session): Promise<MachineId> => (await ground.machine(session, 'web')).id;
const cards = (ground: Ground, id: MachineId) => ground.record(id).devices.filter(({ $type }) => $type === 'VirtualVmxnet3');
const WEB = [{ name: 'web', disks: [disk()], nics: 2, autostart: true, writesPerSecond: 0 }];

describe('the fencing epoch of a machine', () => {
  it('is set once for each expectation, however many try at once', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const sessions = await Promise.all([0, 1, 2, 3].map(() => ground.connect()));
    const id = await machineOf(ground, sessions[0]!);

    const outcomes = await Promise.allSettled(
      sessions.map(({ fence }, index) => fence!.advance(id, undefined, epoch(1, `holder-${index}`), callOf())),
    );

    const lost = outcomes.flatMap((one) => (one.status === 'rejected' ? [(one.reason as DrError).code] : []));
    expect(lost).to.deep.equal(['FENCED', 'FENCED', 'FENCED']);
    const held = await sessions[0]!.fence!.read(id, callOf());
    expect(outcomes[Number(held!.holder.slice(-1))]!.status).to.equal('fulfilled');
  });

  it('is compared and set in one: what another has set between the two is not overwritten', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    const vim = await ground.vim();
    let armed = true;
    using _ = ground.before(async ({ method }) => {
      if (!armed || method !== 'ReconfigVM_Task') return;
      armed = false;
      const value = JSON.stringify(epoch(5, 'site-b'));
      await vim.reconfigure({ type: 'VirtualMachine', value: id }, { extraConfig: [{ key: 'warmsite.epoch', value }] });
    });

    const error = await errorOf(session.fence!.advance(id, undefined, epoch(1), callOf()));

    expect(error.code).to.equal('FENCED');
    expect(await session.fence!.read(id, callOf())).to.deep.equal(epoch(5, 'site-b'));
    await vim.client[Symbol.asyncDispose]();
  });

  it('is set once more by the same call after a lost answer, and never goes back', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const { fence, ...session } = await ground.connect();
    const id = await machineOf(ground, session as Session);
    await fence!.advance(id, undefined, epoch(3), callOf());
    await fence!.advance(id, undefined, epoch(3), callOf());

    expect((await errorOf(fence!.advance(id, epoch(3), epoch(2), callOf()))).code).to.equal('FENCED');
    expect((await errorOf(fence!.advance(id, epoch(3), epoch(3, 'other'), callOf()))).code).to.equal('FENCED');
    expect(await fence!.read(id, callOf())).to.deep.equal(epoch(3));
  });

  it('waits for another task of the machine, but not for ever', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    await ground.fault({ id: 'twice', method: 'vim.ReconfigVM_Task', act: { vimFault: 'TaskInProgress' }, times: 2 });
    await session.fence!.advance(id, undefined, epoch(1), callOf());
    await ground.fault({ method: 'vim.ReconfigVM_Task', act: { vimFault: 'TaskInProgress' } });
    const before = ground.count('ReconfigVM_Task');

    const error = await errorOf(session.fence!.advance(id, epoch(1), epoch(2), callOf({ deadlineMs: 10_000 })));

    expect(error.code).to.equal('TASK_IN_PROGRESS');
    // Ever less often: a busy server is not asked fifty times a second.
    expect(ground.count('ReconfigVM_Task') - before).to.be.within(5, 20);
  });

  it('that somebody has spoilt is said to be so, and nothing goes by it', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    ground.record(id).extraConfig['warmsite.epoch'] = '{half';

    const error = await errorOf(session.power!.set(id, 'off', callOf({ fence: epoch(9) })));

    expect(error.code).to.equal('PROTOCOL_ERROR');
    expect(error.hint).to.include('remove the entries that begin with warmsite');
  });
});

describe('a machine that is isolated', () => {
  const isolated = (ground: Ground, id: MachineId) => {
    const { power, autostart } = ground.estate.estate.machines.get(id)!;
    const plugged = cards(ground, id).filter(({ connectable }) => connectable!.startConnected || connectable!.connected);
    return { power, autostart, plugged: plugged.length };
  };

  it('is off the network first, then out of the autostart, then off', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    const from = ground.seen.length;

    await session.fence!.isolate(id, callOf({ fence: epoch(1) }));

    const order = ground
      .methods()
      .slice(from)
      .filter((method) => /Reconfig|PowerOff/.test(method));
    expect(order).to.deep.equal(['ReconfigVM_Task', 'ReconfigureAutostart', 'PowerOffVM_Task']);
    expect(isolated(ground, id)).to.deep.equal({ power: 'off', autostart: false, plugged: 0 });
  });

  it('is powered off although its cables cannot be pulled while it runs, and they are pulled then', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    await ground.fault({ method: 'vim.ReconfigVM_Task', act: { vimFault: 'InvalidPowerState', inTask: true }, times: 1 });

    await session.fence!.isolate(id, callOf({ fence: epoch(1) }));

    expect(isolated(ground, id)).to.deep.equal({ power: 'off', autostart: false, plugged: 0 });
  });

  it('is powered off although the account may not touch the autostart, which is then the error', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    await ground.vcenter({ missingPrivileges: ['Host.Config.AutoStart'] });

    const error = await errorOf(session.fence!.isolate(id, callOf({ fence: epoch(1) })));

    expect(error.code).to.equal('PERMISSION_DENIED');
    expect(error.message).to.include('Host.Config.AutoStart');
    expect(isolated(ground, id)).to.include({ power: 'off', plugged: 0 });
  });

  it('is not heard on a network that has no place here either', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    ground.toOpaque(id);
    const pulled: unknown[] = [];
    using _ = ground.before(({ method, args }) => {
      if (method === 'ReconfigVM_Task') pulled.push(...((args as { spec: { deviceChange?: unknown[] } }).spec.deviceChange ?? []));
    });

    await session.fence!.isolate(id, callOf({ fence: epoch(1) })).catch(() => undefined);

    expect(pulled.length).to.be.at.least(2);
    expect(ground.estate.estate.machines.get(id)!.power).to.equal('off');
  });

  it('is not touched by whoever was fenced off', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const id = await machineOf(ground, session);
    await session.fence!.advance(id, undefined, epoch(5, 'site-b'), callOf());

    expect((await errorOf(session.fence!.isolate(id, callOf({ fence: epoch(4) })))).code).to.equal('FENCED');
    expect(isolated(ground, id)).to.include({ power: 'on', plugged: 2 });
  });
});
