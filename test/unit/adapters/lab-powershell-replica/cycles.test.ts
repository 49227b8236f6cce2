import { once } from 'node:events';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, HOUR, MIB, MINUTE, Pair, step } from './pair.ts';

describe('a machine that its host replicates', () => {
  it('gets a replica of the same id that is off, empty and without a cable, and a first copy once it is told', async () => {
    await using pair = await Pair.open();

    await pair.enable();
    const made = pair.machine('hv-b');
    const [row] = (
      await pair.run('hv-b', step('Get-VM', { Id: pair.id }, ['Id', 'Name', 'State', 'ReplicationMode', 'ReplicationState']))
    ).at(-1)!.rows;
    const [adapter] = (await pair.on('hv-b', 'Get-VMNetworkAdapter', {}, ['Id', 'SwitchName'])).rows;
    const [source] = (await pair.on('hv-a', 'Get-VMNetworkAdapter', {}, ['Id'])).rows;
    const before = pair.states();
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await pair.pass(300);
    const during = pair.states();
    await pair.pass(MINUTE);

    expect(row).to.deep.include({ Id: pair.id, Name: 'shop-db', State: { name: 'Off', value: 3 } });
    expect(row!['ReplicationMode']).to.deep.equal({ name: 'Replica', value: 2 });
    expect(adapter).to.deep.equal({ Id: source!['Id'], SwitchName: null });
    expect(made.power).to.equal('off');
    expect([before, during, pair.states()]).to.deep.equal([
      ['ReadyForInitialReplication', 'WaitingForInitialReplication'],
      ['InitialReplicationInProgress', 'InitialReplicationInProgress'],
      ['Replicating', 'Replicating'],
    ]);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  for (const seconds of [30, 300, 900]) {
    it(`sends what was written, and nothing else, every ${seconds} s`, async () => {
      await using pair = await Pair.open();
      await pair.replicating({ ReplicationFrequencySec: seconds });
      const first = pair.end('hv-b')!.replicatedMs!;

      await pair.write('hv-a', 7);
      await pair.write('hv-a', 8, { offset: 65_536, length: 8192, disk: 1 });
      const early = pair.byte('hv-b');
      await pair.pass(seconds * 1000 + 500);

      const { replicatedMs, statistics } = pair.end('hv-b')!;
      expect(early).not.to.equal(7);
      expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
      expect(replicatedMs! - first).to.be.at.least(seconds * 1000 - MINUTE);
      expect(pair.truthAt(replicatedMs!)).to.deep.equal(pair.digests('hv-b'));
      expect(statistics.successful).to.equal(0);
      expect(pair.end('hv-a')!.statistics.largestBytes).to.equal(12_288);
    });
  }

  it('is at the replica as it was at one instant, with a guest that writes all the time', async () => {
    const busy = { name: 'shop-db', writesPerSecond: 300, disks: [{ sizeBytes: MIB }, { sizeBytes: MIB }] };
    await using pair = await Pair.open({ machines: [busy] });
    await pair.replicating({ ReplicationFrequencySec: 30 });

    for (let cycle = 0; cycle < 5; cycle++) {
      await pair.pass(31_000);
      const { replicatedMs } = pair.end('hv-b')!;
      const { verdict } = await pair.lab.control.call('lab.inspect', { of: { machine: pair.machine('hv-b').id } });
      expect(pair.digests('hv-b'), String(cycle)).to.deep.equal(pair.truthAt(replicatedMs!));
      expect(verdict.consistent, String(cycle)).to.equal(true);
    }
    expect(pair.digests('hv-b')).not.to.deep.equal(pair.digests('hv-a'));
  });

  it('keeps what it could not send while the link is cut, counts what it missed, and catches up', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    const held = pair.digests('hv-b');

    await pair.setLink(false);
    await pair.write('hv-a', 9);
    await pair.pass(2 * HOUR);
    const cut = await pair.read('hv-a', 'Measure-VMReplication', 'MissedReplicationCount', 'PendingReplicationSize', 'ReplicationErrors');
    const health = await pair.health('hv-a');
    const during = pair.digests('hv-b');
    await pair.setLink(true);
    await pair.pass(MINUTE);

    expect(Number(cut['MissedReplicationCount'])).to.be.within(238, 241);
    expect(cut['ReplicationErrors']).to.equal(cut['MissedReplicationCount']);
    expect(cut['PendingReplicationSize']).to.equal(4096);
    expect(health).to.equal('Warning');
    expect(during).to.deep.equal(held);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
  });

  it('applies a cycle whole or not at all when the link is cut on the way', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    const held = pair.digests('hv-b');
    await pair.write('hv-a', 5);
    await pair.write('hv-a', 6, { disk: 1 });

    const { nextMs } = pair.end('hv-a')!;
    await pair.pass(nextMs! - pair.lab.clock.now() + 10);
    await pair.setLink(false);
    await pair.pass(5000);
    const during = pair.digests('hv-b');
    await pair.setLink(true);
    await pair.pass(MINUTE);

    expect(during).to.deep.equal(held);
    expect([pair.byte('hv-b'), pair.byte('hv-b', 8192, 1)]).to.deep.equal([5, 6]);
  });

  it('does not replicate while the management service of either host is stopped', async () => {
    for (const endpoint of ['hv-a', 'hv-b'] as const) {
      await using pair = await Pair.open();
      await pair.replicating({ ReplicationFrequencySec: 30 });
      await pair.write('hv-a', 3);

      await pair.lab.control.call('lab.setHost', { endpoint, host: endpoint, service: 'stopped' });
      await pair.pass(5 * MINUTE);
      const during = pair.byte('hv-b');
      await pair.lab.control.call('lab.setHost', { endpoint, host: endpoint, service: 'running' });
      await pair.pass(MINUTE);

      expect([during === 3, pair.byte('hv-b')], endpoint).to.deep.equal([false, 3]);
    }
  });

  it('is in error once the replica has no room, and goes on when it is told after there is some', async () => {
    const target = { storage: [{ name: 'small', capacityBytes: 21 * MIB }] };
    const machines = [{ name: 'shop-db', writesPerSecond: 0, workload: 'none' as const, disks: [{ sizeBytes: 64 * MIB }] }];
    await using pair = await Pair.open({ machines, target });
    await pair.replicating({ ReplicationFrequencySec: 30 });

    await pair.write('hv-a', 1, { length: 20 * MIB, offset: 0 });
    await pair.pass(MINUTE);
    await pair.write('hv-a', 2, { length: 4 * MIB, offset: 40 * MIB });
    await pair.pass(MINUTE);
    const full = pair.states();
    const held = [pair.byte('hv-b', 0), pair.byte('hv-b', 40 * MIB)];
    pair.lab.estate.usedBytes.clear();
    await pair.on('hv-a', 'Resume-VMReplication');
    await pair.pass(MINUTE);

    expect(full).to.deep.equal(['Error', 'Replicating']);
    expect(await pair.health('hv-a')).to.equal('Normal');
    expect(held).to.deep.equal([1, 0]);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('is in error once somebody has removed the replica end, and stays so', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });

    await pair.on('hv-b', 'Remove-VMReplication');
    await pair.pass(MINUTE);

    expect(pair.states()).to.deep.equal(['Error', 'none']);
    expect(await pair.health('hv-a')).to.equal('Critical');
    expect(pair.machine('hv-b').power).to.equal('off');
    expect(await codeOf(pair.on('hv-b', 'Get-VMReplication'))).to.equal('STATE_CONFLICT');
  });

  it('falls behind at the replica when its primary is removed, without a word', async () => {
    await using pair = await Pair.open();
    await pair.replicating();

    await pair.on('hv-a', 'Remove-VMReplication');
    await pair.pass(2 * HOUR);
    const behind = await pair.health('hv-b');
    await pair.pass(12 * HOUR);

    expect(pair.states()).to.deep.equal(['none', 'Replicating']);
    expect([behind, await pair.health('hv-b')]).to.deep.equal(['Warning', 'Critical']);
  });

  it('carries a disk that has grown', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    const disk = pair.machine('hv-a').spec.disks[1]!.id;

    await pair.lab.control.call('lab.growDisk', { machine: pair.id, disk, sizeBytes: 2 * MIB });
    await pair.write('hv-a', 4, { offset: MIB + 4096, disk: 1 });
    await pair.pass(MINUTE);

    expect(pair.machine('hv-b').spec.disks[1]!.sizeBytes).to.equal(2 * MIB);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('costs nothing between cycles, however many there are', async () => {
    const machines = Array.from({ length: 400 }, (_, n) => ({
      name: n === 0 ? 'shop-db' : `m-${n}`,
      power: 'off' as const,
      workload: 'none' as const,
      disks: [{ sizeBytes: MIB }],
    }));
    await using pair = await Pair.open({ machines });
    const settings = { ReplicaServerName: 'hv-b', ReplicaServerPort: 80, AuthenticationType: 'Kerberos' };
    await pair.run('hv-a', step('Get-VM'), step('Enable-VMReplication', { VM: { $step: 0 }, ...settings }));
    await pair.run('hv-a', step('Get-VM'), step('Start-VMInitialReplication', { VM: { $step: 0 } }));
    await pair.pass(MINUTE);

    const began = process.cpuUsage();
    await pair.pass(HOUR);
    const { user } = process.cpuUsage(began);

    // 4800 cycles.
    expect(pair.end('hv-a')!.statistics.successful).to.be.within(12, 13);
    expect(user / 1000).to.be.below(3000);
  });
});

describe('replication by the system’s own clock', () => {
  it('copies and sends as by any other', async () => {
    await using pair = await Pair.open({ clock: 'real' });
    const until = async (is: () => boolean) => {
      while (!is()) await once(pair.lab.estate.changed, 'any');
    };
    await pair.enable({ ReplicationFrequencySec: 30 });
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await until(() => pair.end('hv-a')!.statistics.successful === 1);

    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect(pair.end('hv-a')!.nextMs! - Date.now()).to.be.within(28_000, 30_000);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });
});
