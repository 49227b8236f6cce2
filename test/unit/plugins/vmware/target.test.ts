import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DrError } from '../../../../core/contract/index.ts';
import { callOf, errorOf, Ground, made, replicaOf, WEB } from './ground.ts';

describe('a replica', () => {
  it('boots from the boot disk of its source, also where that is not its first', async () => {
    await using ground = await Ground.create({ machines: WEB });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const vim = await ground.vim();
    const [, second] = await vim.disks({ type: 'VirtualMachine', value: id });
    const bootOrder = [{ $type: 'VirtualMachineBootOptionsBootableDiskDevice', deviceKey: second!.key }];
    await vim.reconfigure({ type: 'VirtualMachine', value: id }, { bootOptions: { bootOrder } });
    const source = await ground.machine(session, 'web');
    expect(source.spec.disks.map(({ boot }) => boot)).to.deep.equal([false, true]);

    const { machine, disks } = await replicaOf(session, source);

    expect(machine.spec.disks.find(({ boot }) => boot)!.id).to.equal(disks.get(source.spec.disks[1]!.id));
    await vim.client[Symbol.asyncDispose]();
  });

  it('says that a guest with sectors of 4,096 bytes will not find its partitions', async () => {
    await using one = await made();
    const spec = { ...one.source.spec, disks: one.source.spec.disks.map((row) => ({ ...row, logicalSectorBytes: 4096 as const })) };

    const { findings } = await one.session.target!.createReplica!(spec, { name: 'four', nics: new Map() }, callOf());

    expect(findings.map(({ code }) => code)).to.include('SECTOR_SIZE');
  });

  it('gets a disk that is added later as a new file, never on a disk of an adopted machine that is no copy', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB[0]!, name: 'old', power: 'off' }] });
    const session = await ground.connect();
    const old = await ground.machine(session, 'old');
    const [own, theirs] = old.spec.disks;
    await session.target!.adoptReplica(old.id, { ...old.spec, disks: [own!] }, callOf());
    const added = { ...own!, id: 'added-later' as never, slot: 'scsi0:9', boot: false };

    const { disks } = await session.target!.reshapeReplica(old.id, { ...old.spec, disks: [own!, added] }, callOf());

    expect(disks.get(own!.id)).to.equal(own!.id);
    expect(disks.get(added.id)).not.to.be.oneOf([undefined, own!.id, theirs!.id]);
  });

  it('is not made of a machine whose changes would have to be tracked under snapshots', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB[0]!, name: 'old', power: 'off' }] });
    const session = await ground.connect();
    const old = await ground.machine(session, 'old');
    const vim = await ground.vim();
    await vim.task('CreateSnapshot_Task', { type: 'VirtualMachine', value: old.id }, { name: 'mine', memory: false, quiesce: false });

    const error = await errorOf(session.target!.adoptReplica(old.id, old.spec, callOf()));

    expect(error.code).to.equal('STATE_CONFLICT');
    expect(ground.record(old.id).changeTrackingEnabled).to.equal(false);
    await vim.client[Symbol.asyncDispose]();
  });

  it('is not said to be deleted by a server that has forgotten the task', async () => {
    await using one = await made();
    const { ground, session, replica } = one;
    await ground.fault({ method: 'vim.Destroy_Task', act: { stall: true }, times: 1 });
    let started = false;
    using _ = ground.before(async ({ method }) => {
      if (method === 'Destroy_Task') started = true;
      else if (started) {
        started = false;
        await ground.vcenter({ restart: true });
      }
    });

    const error: DrError = await errorOf(session.target!.deleteReplica!(replica, callOf()));

    expect(error.code).to.equal('CONNECTION_LOST');
    expect(ground.estate.estate.machines.has(replica)).to.equal(true);
  });
});
