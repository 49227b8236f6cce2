import { expect } from 'chai';
import { describe, it } from 'mocha';
import { connectLab } from '../../../../adapters/lab/client.ts';
import { isDrError, type Machine, type Session } from '../../../../core/contract/index.ts';
import { createMemoryPlugin } from '../../../../plugins/memory/index.ts';
import { LabProcess, temporary } from '../../adapters/lab/lab-process.ts';
import { callOf, collect, createReplica, forkOf, replicate } from './replicate.ts';

const connect = (address: string, endpoint: string, profile: 'hyperv' | 'kvm'): Promise<Session> =>
  createMemoryPlugin(profile, connectLab).connect({ address, endpoint }, { ownerId: 'owner-1', scratchDir: '/nowhere' }, callOf());

const machineNamed = async (session: Session, name: string): Promise<Machine> =>
  (await collect(session.inventory.listMachines({}, callOf()))).find((machine) => machine.name === name)!;

describe('the memory plugin over the socket', () => {
  it('replicates a machine that keeps writing, boots a fork of it, and cleans up', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, '--disk-bytes', String(2 << 20));
    await using source = await connect(lab.socketPath, 'vmm-a', 'hyperv');
    await using target = await connect(lab.socketPath, 'kvm-b', 'kvm');
    const control = await lab.connect();
    const machine = await machineNamed(source, 'erp-db');
    await source.source!.enableTracking(machine.id, callOf());
    const placed = await createReplica(target, machine);

    const first = await replicate(source, machine.id, target, placed);
    const second = await replicate(source, machine.id, target, placed, first.baselines);
    const { truths } = await control.call('lab.truth', { snapshot: second.snapshot.id });
    const { digests } = await control.call('lab.inspect', { of: { replica: placed.machine.id } });
    expect(digests.map((row) => row.digest)).to.deep.equal(truths[0]!.digests.map((row) => row.digest));

    const fork = await forkOf(target, placed);
    await target.power!.set(fork.machine.id, 'on', callOf());
    while ((await target.inventory.getMachine(fork.machine.id, callOf())).guestName === undefined);
    await target.power!.set(fork.machine.id, 'shutdown', callOf());
    await target.target!.forks!.discard(fork.id, callOf());
    await target.target!.deleteReplica!(placed.machine.id, callOf());
    if (source.source?.kind !== 'snapshot') throw new Error('no snapshots');
    for (const { snapshot } of [first, second]) await source.source.releaseSnapshot(snapshot.id, 'sealed', callOf());

    expect(await control.call('lab.status', {})).to.deep.include({ leftovers: [], violations: [] });
  });

  it('loses its session with the lab, and gets a new one from the lab that comes after', async () => {
    using home = temporary();
    const get = async (session: Session, machine: Machine) => session.inventory.getMachine(machine.id, callOf());
    await using before = await LabProcess.start(home.path, '--disk-bytes', String(1 << 20));
    await using session = await connect(before.socketPath, 'vmm-a', 'hyperv');
    const machine = await machineNamed(session, 'erp-web');
    await before.end('SIGTERM');

    await using lab = await LabProcess.start(home.path);
    const outcome = await get(session, machine).catch((error: unknown) => error);
    await using again = await connect(lab.socketPath, 'vmm-a', 'hyperv');

    expect(isDrError(outcome, 'CONNECTION_LOST')).to.equal(true);
    expect((await get(again, machine)).guestName).to.equal('erp-web');
  });
});
