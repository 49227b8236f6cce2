import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Dispatcher } from '../../../../adapters/lab/dispatch.ts';
import { LabHome } from '../../../../adapters/lab/home.ts';
import { serveInProcess } from '../../../../adapters/lab/in-process.ts';
import type { PsEnum } from '../../../../adapters/powershell/port.ts';
import { codeOf, HOUR, hostSpec, MIB, MINUTE, Pair, step } from './pair.ts';

describe('a host that loses its power', () => {
  it('demands a resynchronisation of what was written and not sent, and of nothing else', async () => {
    for (const wrote of [true, false]) {
      await using pair = await Pair.open();
      await pair.replicating();
      if (wrote) await pair.write('hv-a', 1);

      await pair.lab.control.call('lab.powerCut', { endpoint: 'hv-a' });
      await pair.reconnect('hv-a');
      await pair.pass(MINUTE);

      expect(pair.states()[0], String(wrote)).to.equal(wrote ? 'WaitingForStartResynchronize' : 'Replicating');
    }
  });

  it('starts a first copy that was on its way over as a comparison', async () => {
    await using pair = await Pair.open({
      machines: [{ name: 'shop-db', writesPerSecond: 0, workload: 'none', disks: [{ sizeBytes: 64 * MIB }] }],
    });
    await pair.enable();
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await pair.pass(500);
    await pair.lab.control.call('lab.powerCut', { endpoint: 'hv-a' });
    await pair.reconnect('hv-a');
    const after = pair.states()[0];
    await pair.on('hv-a', 'Resume-VMReplication', { Resynchronize: true });
    await pair.pass(MINUTE);

    expect(after).to.equal('WaitingForStartResynchronize');
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('at the replica loses nothing that was applied', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    await pair.write('hv-a', 1);
    await pair.pass(MINUTE);
    const held = pair.digests('hv-b');
    await pair.lab.control.call('lab.powerCut', { endpoint: 'hv-b' });
    await pair.reconnect('hv-b');

    expect(pair.digests('hv-b')).to.deep.equal(held);
    await pair.write('hv-a', 2);
    await pair.pass(MINUTE);
    expect(pair.byte('hv-b')).to.equal(2);
  });

  it('after a planned failover lets nobody take a delta for whole', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.planned();
    await pair.on('hv-b', 'Start-VM');
    await pair.pass(2000);
    await pair.write('hv-b', 9);
    await pair.lab.control.call('lab.powerCut', { endpoint: 'hv-b' });
    await pair.reconnect('hv-b');
    await pair.on('hv-b', 'Set-VMReplication', { Reverse: true });

    expect(pair.states()).to.deep.equal(['WaitingForInitialReplication', 'ReadyForInitialReplication']);
  });

  it('in the middle of a failover leaves a replica that can fail over', async () => {
    for (const cmdlet of ['Start-VMFailover', 'Stop-VMFailover', 'Set-VMReplication'] as const) {
      await using pair = await Pair.open();
      await pair.replicating();
      if (cmdlet === 'Start-VMFailover') await pair.shutDown('hv-a');
      else await pair.planned();
      const held = pair.digests('hv-b');
      const call = codeOf(pair.on('hv-b', cmdlet, cmdlet === 'Set-VMReplication' ? { Reverse: true } : {}));
      await new Promise(setImmediate);
      await pair.lab.control.call('lab.powerCut', { endpoint: 'hv-b' });
      const code = await call;
      await pair.reconnect('hv-b');
      await pair.pass(MINUTE);
      const state = pair.states()[1];
      if (state === 'FailedOverWaitingCompletion') await pair.on('hv-b', 'Stop-VMFailover');
      if (pair.states()[0] === 'PreparedForFailover') await pair.on('hv-a', 'Stop-VMFailover');

      expect([code, state], cmdlet).to.deep.equal([
        'CONNECTION_LOST',
        cmdlet === 'Start-VMFailover' ? 'Replicating' : 'FailedOverWaitingCompletion',
      ]);
      expect(pair.digests('hv-b'), cmdlet).to.deep.equal(held);
      expect(pair.states(), cmdlet).to.deep.equal(['Replicating', 'Replicating']);
    }
  });
});

describe('calls about replication', () => {
  it('take effect or not, and cut the session, as a rule says', async () => {
    for (const cut of ['before', 'after'] as const) {
      await using pair = await Pair.open();
      await pair.replicating();
      await pair.shutDown('hv-a');
      await pair.on('hv-a', 'Start-VMFailover', { Prepare: true });
      await pair.lab.control.call('lab.addFault', { rule: { method: 'ps.Start-VMFailover', act: { cut }, nth: 1 } });

      const code = await codeOf(pair.on('hv-b', 'Start-VMFailover'));

      expect([code, pair.states()[1]]).to.deep.equal(['CONNECTION_LOST', cut === 'before' ? 'Replicating' : 'FailedOverWaitingCompletion']);
    }
  });

  it('refuse what is done already, and only warn where hosts only warn', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    const again = await codeOf(pair.enable());
    const seeded = await codeOf(pair.on('hv-a', 'Start-VMInitialReplication'));
    const resumed = await pair.on('hv-a', 'Resume-VMReplication');
    await pair.on('hv-a', 'Suspend-VMReplication');
    const paused = await pair.on('hv-a', 'Suspend-VMReplication');

    expect([again, seeded]).to.deep.equal(['STATE_CONFLICT', 'STATE_CONFLICT']);
    expect([resumed.warnings.length, paused.warnings.length]).to.deep.equal([1, 1]);
    expect(pair.states()).to.deep.equal(['Suspended', 'Replicating']);
  });

  it('refuse what would change a replica, or take a machine away that replicates', async () => {
    await using pair = await Pair.open();
    await pair.replicating();

    expect(await codeOf(pair.on('hv-b', 'Checkpoint-VM', { SnapshotName: 'x' }))).to.equal('STATE_CONFLICT');
    expect(await codeOf(pair.on('hv-b', 'Remove-VM', { Force: true }))).to.equal('STATE_CONFLICT');
    expect(await codeOf(pair.on('hv-b', 'Set-VMReplication', { RecoveryHistory: 2 }))).to.equal('STATE_CONFLICT');
    expect(await codeOf(pair.on('hv-b', 'Resume-VMReplication', { Resynchronize: true }))).to.equal('STATE_CONFLICT');
    await pair.on('hv-b', 'Remove-VMReplication');
    await pair.on('hv-b', 'Remove-VM', { Force: true });
    expect(pair.find('hv-b')).to.equal(undefined);
  });

  it('demand a resynchronisation when the disk was written while it was mounted', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.shutDown('hv-a');
    const [drive] = pair.machine('hv-a').hv.drives;
    const [mounted] = (
      await pair.run('hv-a', step('Mount-VHD', { Path: drive!.path, NoDriveLetter: true, Passthru: true }, ['DiskNumber']))
    )[0]!.rows;
    const number = Number(mounted!['DiskNumber']);
    await pair.run('hv-a', step('Set-Disk', { Number: { $type: 'uint32', value: number }, IsOffline: true }));
    const port = pair.lab.open();
    const { handle } = await port.call('agent.open', { host: 'hv-a', path: `\\\\.\\PhysicalDrive${number}`, forWriting: true });
    await port.call('agent.write', { host: 'hv-a', handle, offset: 0, data: Buffer.alloc(512, 1) });
    await port[Symbol.asyncDispose]();

    expect(pair.states()[0]).to.equal('WaitingForStartResynchronize');
  });
});

describe('people who do things by hand', () => {
  it('pause one end, fail the other over and remove a relationship, and each end shows its own part only', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    await pair.on('hv-b', 'Suspend-VMReplication');
    await pair.write('hv-a', 1);
    await pair.pass(MINUTE);
    const paused = pair.states();
    await pair.on('hv-b', 'Resume-VMReplication');
    await pair.pass(MINUTE);
    const caughtUp = pair.byte('hv-b');
    await pair.shutDown('hv-a');
    await pair.on('hv-b', 'Start-VMFailover');
    await pair.on('hv-a', 'Start-VM');
    await pair.pass(MINUTE);
    const both = pair.states();
    await pair.on('hv-b', 'Remove-VMReplication');
    await pair.pass(MINUTE);

    expect(paused).to.deep.equal(['Replicating', 'Suspended']);
    expect(caughtUp).to.equal(1);
    expect(both).to.deep.equal(['Replicating', 'FailedOverWaitingCompletion']);
    expect(pair.states()).to.deep.equal(['Error', 'none']);
  });
});

describe('a lab that is started again', () => {
  const SPEC = {
    sites: [
      { name: 'site-a', endpoints: [hostSpec(undefined, { name: 'hv-a' })] },
      { name: 'site-b', endpoints: [hostSpec([], { name: 'hv-b' })] },
    ],
  };

  const openHome = async (directory: string): Promise<{ home: LabHome; pair: Pair }> => {
    const home = LabHome.open({ directory, seed: 3, spec: () => SPEC, clock: 'manual', say: () => undefined });
    return { home, pair: await Pair.over(serveInProcess(new Dispatcher(home.estate, 1))) };
  };

  it('goes on with points, log and cycles after an orderly end, and demands a comparison after another', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'warmsite-hvr-'));
    try {
      const first = await openHome(directory);
      await first.pair.replicating({ RecoveryHistory: 3, ReplicationFrequencySec: 300 });
      for (let hour = 1; hour <= 3; hour++) {
        await first.pair.write('hv-a', hour);
        await first.pair.pass(HOUR);
      }
      await first.pair.write('hv-a', 50);
      const points = await first.pair.points();
      first.home.close();

      const second = await openHome(directory);
      const kept = await second.pair.points();
      await second.pair.pass(10 * MINUTE);
      const sent = second.pair.byte('hv-b');
      await second.pair.onPoint('hv-b', 0, { AsTest: true });
      const test = second.pair.machine('hv-b', second.pair.end('hv-b')!.test!.machine);
      const truth = second.pair.truthAt(Date.parse(points[0]!['CreationTime'] as string));
      const held = second.pair.digests('hv-b', test.id);
      await second.pair.write('hv-a', 51);
      second.home.save(false);

      const third = await openHome(directory);

      expect(kept).to.deep.equal(points);
      expect(sent).to.equal(50);
      expect(held).to.deep.equal(truth);
      expect(third.pair.states()).to.deep.equal(['WaitingForStartResynchronize', 'Replicating']);
      third.home.close();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe('a cluster', () => {
  it('takes replicas by the name of its broker, and goes on receiving on another node', async () => {
    await using pair = await Pair.open({ target: { hosts: ['node-1', 'node-2'] } });
    const broker = 'hv-b-broker';
    await pair.replicating({ ReplicaServerName: broker, ReplicationFrequencySec: 30 });
    const [group] = (await pair.run('hv-b', step('Get-ClusterGroup', {}, ['Name', 'GroupType'])))[0]!.rows.filter(
      (row) => (row['GroupType'] as PsEnum).name === 'VMReplicaBroker',
    );
    const moved = pair.lab.control.call('lab.migrate', { machine: pair.machine('hv-b').id, to: 'node-2' });
    await pair.pass(MINUTE);
    await moved;
    await pair.write('hv-a', 33);
    await pair.pass(MINUTE);

    expect(group!['Name']).to.equal(broker);
    expect(pair.end('hv-a')!.replicaServer).to.equal(broker);
    expect(pair.machine('hv-b').hv.clustered).to.equal(true);
    expect(pair.byte('hv-b')).to.equal(33);
  });
});
