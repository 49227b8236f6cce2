import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, HOUR, MINUTE, Pair, step } from './pair.ts';

const HISTORY = { RecoveryHistory: 4, ReplicationFrequencySec: 300 };

/** Replicating for some hours, with one byte that tells the hour. */
const withHours = async (pair: Pair, hours: number, settings: Readonly<Record<string, number>> = HISTORY): Promise<void> => {
  await pair.replicating(settings);
  for (let hour = 1; hour <= hours; hour++) {
    await pair.write('hv-a', hour);
    await pair.pass(HOUR);
  }
};

describe('recovery points of a replica', () => {
  it('are kept hourly, so many as asked, each as the source was at its instant, beside the newest state', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 7);
    await pair.write('hv-a', 99);
    await pair.pass(6 * MINUTE);

    const points = await pair.points();
    const made = [];
    for (const [index, point] of points.entries()) {
      const test = await pair.onPoint('hv-b', index, { AsTest: true });
      const id = test.rows[0]!['Id'] as string;
      made.push({ is: pair.digests('hv-b', id), was: pair.truthAt(Date.parse(point['CreationTime'] as string)) });
      await pair.on('hv-b', 'Stop-VMFailover');
    }

    expect(points).to.have.lengthOf(4);
    expect(points.map(({ SnapshotType }) => SnapshotType)).to.deep.equal(Array(4).fill({ name: 'Replica', value: 6 }));
    for (const { is, was } of made) expect(is).to.deep.equal(was);
    expect(new Set(made.map(({ is }) => is.join())).size).to.equal(4);
    expect(pair.byte('hv-b')).to.equal(99);
  });

  it('go up to 24, then the oldest goes with its room', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 30, { RecoveryHistory: 24, ReplicationFrequencySec: 900 });
    const layers = pair.lab.estate.layers.size;
    await pair.pass(3 * HOUR);

    expect(await pair.points()).to.have.lengthOf(24);
    expect(pair.lab.estate.layers.size).to.equal(layers);
    await pair.on('hv-b', 'Remove-VMReplication');
    expect([...pair.lab.estate.layers.values()].filter(({ snapshot }) => snapshot)).to.have.lengthOf(0);
  });

  it('ask the guest every so many hours, and say which of them did', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 5, { RecoveryHistory: 12, VSSSnapshotFrequencyHour: 2, ReplicationFrequencySec: 300 });

    const kinds = (await pair.points()).map(({ SnapshotType }) => (SnapshotType as { name: string }).name);

    expect(kinds.filter((kind) => kind === 'AppConsistentReplica')).to.have.lengthOf(3);
    expect(kinds).to.include('Replica');
    expect((await pair.read('hv-a', 'Measure-VMReplication', 'LastVSSSnapshotTime'))['LastVSSSnapshotTime']).to.be.a('string');
  });

  it('are none when none are asked for, and fewer once fewer are', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 5);
    await pair.on('hv-a', 'Set-VMReplication', { RecoveryHistory: 1 });
    const one = await pair.points();
    await pair.on('hv-a', 'Set-VMReplication', { RecoveryHistory: 0 });

    expect(one).to.have.lengthOf(1);
    expect(await pair.points()).to.have.lengthOf(0);
    expect(pair.end('hv-b')!.settings.recoveryHistory).to.equal(0);
  });
});

describe('a test failover', () => {
  it('makes a machine of its own on the test switch, while the replica goes on, and leaves nothing', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    const files = Object.keys(pair.lab.estate.endpoint('hv-b').hyperv!.files);
    const layers = pair.lab.estate.layers.size;
    await pair.run('hv-b', step('New-VMSwitch', { Name: 'test', SwitchType: 'Private' }));
    await pair.run(
      'hv-b',
      step('Get-VM', { Id: pair.id }),
      step('Get-VMNetworkAdapter', { VM: { $step: 0 } }),
      step('Set-VMNetworkAdapter', { VMNetworkAdapter: { $step: 1 }, TestReplicaSwitchName: 'test' }),
    );
    await pair.write('hv-a', 1);
    await pair.pass(31_000);

    const { rows } = await pair.on('hv-b', 'Start-VMFailover', { AsTest: true }, ['Id', 'Name', 'ReplicationMode', 'State']);
    const id = rows[0]!['Id'] as string;
    const held = pair.digests('hv-b', id);
    const [card] = (await pair.on('hv-b', 'Get-VMNetworkAdapter', {}, ['SwitchName'], id)).rows;
    const named = await pair.read('hv-b', 'Get-VMReplication', 'TestVirtualMachine.Id', 'ReplicationState');
    const twice = await codeOf(pair.on('hv-b', 'Start-VMFailover', { AsTest: true }));
    const inEarnest = await codeOf(pair.on('hv-b', 'Start-VMFailover'));
    await pair.write('hv-a', 2);
    await pair.pass(MINUTE);
    await pair.on('hv-b', 'Start-VM', {}, undefined, id);
    await pair.pass(5000);
    const live = pair.lab.estate.guests.has(pair.machine('hv-b', id).id);
    const running = await codeOf(pair.on('hv-b', 'Stop-VMFailover'));
    await pair.on('hv-b', 'Stop-VM', { TurnOff: true, Force: true }, undefined, id);
    await pair.pass(1000);
    await pair.on('hv-b', 'Stop-VMFailover');

    expect(rows[0]).to.deep.include({ Name: 'shop-db - Test', ReplicationMode: { name: 'TestReplica', value: 3 } });
    expect(held).to.deep.equal(pair.truthAt(pair.end('hv-b')!.testedMs!));
    expect(card).to.deep.equal({ SwitchName: 'test' });
    expect(named).to.deep.equal({ 'TestVirtualMachine.Id': id, ReplicationState: { name: 'Replicating', value: 4 } });
    expect([twice, inEarnest, live, running]).to.deep.equal(['STATE_CONFLICT', 'STATE_CONFLICT', true, 'STATE_CONFLICT']);
    expect(pair.byte('hv-b')).to.equal(2);
    expect(pair.find('hv-b', id)).to.equal(undefined);
    expect(Object.keys(pair.lab.estate.endpoint('hv-b').hyperv!.files)).to.deep.equal(files);
    expect(pair.lab.estate.layers.size).to.equal(layers);
    expect(pair.lab.estate.violations).to.deep.equal([]);
  });

  it('keeps its point while retention goes on', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 3);
    const [oldest] = await pair.points();
    const truth = pair.truthAt(Date.parse(oldest!['CreationTime'] as string));
    const { rows } = await pair.onPoint('hv-b', 0, { AsTest: true });
    const id = rows[0]!['Id'] as string;

    for (let hour = 1; hour <= 6; hour++) {
      await pair.write('hv-a', 100 + hour);
      await pair.pass(HOUR);
    }

    expect((await pair.points()).map(({ Id }) => Id)).not.to.include(oldest!['Id']);
    expect(pair.digests('hv-b', id)).to.deep.equal(truth);
    await pair.on('hv-b', 'Stop-VMFailover');
    await pair.on('hv-b', 'Remove-VMReplication');
    expect([...pair.lab.estate.layers.values()].filter(({ snapshot }) => snapshot)).to.have.lengthOf(0);
  });
});

describe('a planned failover', () => {
  it('loses nothing: what was written last is there, and comes back as a delta when it is reversed', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.write('hv-a', 21);
    const written = pair.digests('hv-a');

    await pair.planned();
    const failedOver = pair.states();
    const atFailover = pair.digests('hv-b');
    const type = await pair.read('hv-b', 'Measure-VMReplication', 'FailedOverReplicationType', 'LastReplicationType');
    await pair.on('hv-b', 'Start-VM');
    await pair.write('hv-b', 22, { offset: 500_000 });
    await pair.on('hv-b', 'Set-VMReplication', { Reverse: true, ReplicaServerName: 'hv-a', ReplicaServerPort: 80 });
    const reversed = pair.states();
    await pair.pass(MINUTE);

    expect(failedOver).to.deep.equal(['PreparedForFailover', 'FailedOverWaitingCompletion']);
    expect(atFailover).to.deep.equal(written);
    expect(type).to.deep.equal({
      FailedOverReplicationType: { name: 'Planned', value: 3 },
      LastReplicationType: { name: 'Planned', value: 3 },
    });
    expect(reversed).to.deep.equal(['Replicating', 'Replicating']);
    expect([pair.end('hv-a')!.mode, pair.end('hv-b')!.mode]).to.deep.equal(['Replica', 'Primary']);
    expect([pair.byte('hv-a'), pair.byte('hv-a', 500_000)]).to.deep.equal([21, 22]);
    expect(pair.end('hv-b')!.statistics.sentBytes).to.be.below(600_000);
    expect(pair.lab.estate.violations).to.deep.equal([]);
  });

  it('is refused before anything happens where the other step is missing', async () => {
    await using pair = await Pair.open();
    await pair.replicating();

    const running = await codeOf(pair.on('hv-a', 'Start-VMFailover', { Prepare: true }));
    const unplanned = await codeOf(pair.on('hv-b', 'Start-VMFailover'));
    const atReplica = await codeOf(pair.on('hv-b', 'Start-VMFailover', { Prepare: true }));
    const atPrimary = await codeOf(pair.on('hv-a', 'Start-VMFailover'));
    const early = await codeOf(pair.on('hv-b', 'Complete-VMFailover'));
    const nothing = await codeOf(pair.on('hv-b', 'Stop-VMFailover'));

    expect([running, unplanned, atReplica, atPrimary, early, nothing]).to.deep.equal(Array(6).fill('STATE_CONFLICT'));
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
  });

  it('starts neither side out of turn', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    const replica = await codeOf(pair.on('hv-b', 'Start-VM'));
    await pair.shutDown('hv-a');
    await pair.on('hv-a', 'Start-VMFailover', { Prepare: true });
    const prepared = await codeOf(pair.on('hv-a', 'Start-VM'));
    await pair.on('hv-a', 'Stop-VMFailover');
    await pair.on('hv-a', 'Start-VM');
    await pair.pass(10_000);

    expect([replica, prepared]).to.deep.equal(['STATE_CONFLICT', 'STATE_CONFLICT']);
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect(pair.machine('hv-a').power).to.equal('on');
  });

  it('can be called off on both sides, and replicates on as if it had not been', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.planned();
    const held = pair.digests('hv-b');
    await pair.on('hv-b', 'Start-VM');
    await pair.pass(2000);
    await pair.write('hv-b', 77);
    const running = await codeOf(pair.on('hv-b', 'Stop-VMFailover'));
    await pair.shutDown('hv-b');
    await pair.on('hv-b', 'Stop-VMFailover');
    await pair.on('hv-a', 'Stop-VMFailover');
    const back = pair.digests('hv-b');
    await pair.on('hv-a', 'Start-VM');
    await pair.write('hv-a', 78);
    await pair.pass(10 * MINUTE);

    expect(running).to.equal('STATE_CONFLICT');
    expect(back).to.deep.equal(held);
    expect(pair.byte('hv-b')).to.equal(78);
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
  });

  it('stays a planned one when the replica alone is called off and fails over again: it is reversed with what differs', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.planned();
    await pair.on('hv-b', 'Stop-VMFailover');
    const called = pair.states();
    await pair.on('hv-b', 'Start-VMFailover');
    const { FailedOverReplicationType: type } = await pair.read('hv-b', 'Measure-VMReplication', 'FailedOverReplicationType');
    await pair.on('hv-b', 'Start-VM');
    await pair.write('hv-b', 41);
    await pair.on('hv-b', 'Set-VMReplication', { Reverse: true });
    await pair.pass(10 * MINUTE);

    expect(called).to.deep.equal(['PreparedForFailover', 'Replicating']);
    expect(type).to.deep.equal({ name: 'Planned', value: 3 });
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect([pair.byte('hv-a'), pair.digests('hv-a')]).to.deep.equal([41, pair.digests('hv-b')]);
  });

  it('is a planned one no more once the source has sent something since', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.planned();
    for (const side of ['hv-b', 'hv-a'] as const) await pair.on(side, 'Stop-VMFailover');
    await pair.on('hv-a', 'Start-VM');
    await pair.write('hv-a', 42);
    await pair.pass(10 * MINUTE);
    await pair.shutDown('hv-a');
    await pair.on('hv-b', 'Start-VMFailover');

    const { FailedOverReplicationType: type } = await pair.read('hv-b', 'Measure-VMReplication', 'FailedOverReplicationType');
    expect(type).to.deep.equal({ name: 'Regular', value: 1 });
    expect(await codeOf(pair.on('hv-b', 'Set-VMReplication', { Reverse: true }))).to.equal('STATE_CONFLICT');
  });

  it('is not prepared when the link is cut, and prepares once it is back', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.write('hv-a', 31);
    await pair.shutDown('hv-a');
    await pair.setLink(false);

    const refused = await codeOf(pair.on('hv-a', 'Start-VMFailover', { Prepare: true }));
    const after = pair.states();
    await pair.setLink(true);
    await pair.on('hv-a', 'Start-VMFailover', { Prepare: true });

    expect([refused, after[0]]).to.deep.equal(['HOST_BUSY', 'Replicating']);
    expect(pair.byte('hv-b')).to.equal(31);
    expect(pair.states()[0]).to.equal('PreparedForFailover');
  });
});

describe('an unplanned failover', () => {
  it('gives exactly the point that was chosen, also after another, and drops the others when it is completed', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 5);
    const points = await pair.points();
    const truths = points.map((point) => pair.truthAt(Date.parse(point['CreationTime'] as string)));
    await pair.lab.control.call('lab.burnSite', { site: 'site-a' });

    await pair.onPoint('hv-b', 1);
    const first = pair.digests('hv-b');
    await pair.on('hv-b', 'Stop-VMFailover');
    await pair.onPoint('hv-b', 2);
    const second = pair.digests('hv-b');
    await pair.on('hv-b', 'Start-VM');
    await pair.pass(2000);
    await pair.write('hv-b', 55);
    const reversed = await codeOf(pair.on('hv-b', 'Set-VMReplication', { Reverse: true }));
    await pair.on('hv-b', 'Complete-VMFailover');

    expect(first).to.deep.equal(truths[1]);
    expect(second).to.deep.equal(truths[2]);
    expect(reversed).to.equal('STATE_CONFLICT');
    expect(pair.states()[1]).to.equal('FailedOver');
    expect(await pair.points()).to.have.lengthOf(0);
    expect(pair.machine('hv-b').power).to.equal('on');
    expect(pair.byte('hv-b')).to.equal(55);
    expect(await codeOf(pair.on('hv-b', 'Stop-VMFailover'))).to.equal('STATE_CONFLICT');
    expect([...pair.lab.estate.layers.values()].filter(({ snapshot }) => snapshot)).to.have.lengthOf(0);
  });

  it('takes the newest state without a point', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 2);
    const held = pair.digests('hv-b');
    await pair.write('hv-a', 200);
    await pair.lab.control.call('lab.burnSite', { site: 'site-a' });
    await pair.on('hv-b', 'Start-VMFailover');

    expect(pair.digests('hv-b')).to.deep.equal(held);
    expect(pair.digests('hv-b')).to.deep.equal(pair.truthAt(pair.end('hv-b')!.replicatedMs!));
  });

  it('is replicated back by a comparison, once the old primary is off', async () => {
    await using pair = await Pair.open();
    await withHours(pair, 2);
    await pair.lab.control.call('lab.burnSite', { site: 'site-a' });
    await pair.on('hv-b', 'Start-VMFailover');
    await pair.on('hv-b', 'Start-VM');
    await pair.pass(2000);
    await pair.write('hv-b', 66);
    await pair.on('hv-b', 'Complete-VMFailover');
    const away = await codeOf(pair.on('hv-b', 'Set-VMReplication', { Reverse: true }));
    await pair.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: false });
    await pair.reconnect('hv-a');
    await pair.on('hv-b', 'Set-VMReplication', { Reverse: true });
    const reversed = pair.states();
    await pair.on('hv-b', 'Start-VMInitialReplication', { UseBackup: true });
    await pair.pass(250);
    const during = pair.states();
    await pair.pass(2 * MINUTE);

    expect(away).to.equal('HOST_BUSY');
    expect(reversed).to.deep.equal(['WaitingForInitialReplication', 'ReadyForInitialReplication']);
    expect(during[1]).to.equal('Resynchronizing');
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect(pair.digests('hv-a')).to.deep.equal(pair.digests('hv-b'));
    expect(pair.byte('hv-a')).to.equal(66);
  });

  it('is not reversed onto a machine that runs', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.lab.control.call('lab.burnSite', { site: 'site-a' });
    await pair.on('hv-b', 'Start-VMFailover');
    await pair.on('hv-b', 'Complete-VMFailover');
    await pair.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: false });
    await pair.reconnect('hv-a');
    await pair.on('hv-a', 'Start-VM');

    expect(await codeOf(pair.on('hv-b', 'Set-VMReplication', { Reverse: true }))).to.equal('STATE_CONFLICT');
    expect(pair.states()[1]).to.equal('FailedOver');
  });
});
