import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ENUMS } from '../../../../adapters/lab/powershell/enums.ts';
import { atOf } from '../../../../adapters/lab/powershell/nodes.ts';
import { healthOf } from '../../../../adapters/lab/powershell/replica/health.ts';
import type { ReplicationState } from '../../../../adapters/lab/powershell/replica/model.ts';
import type { PsEnum } from '../../../../adapters/powershell/port.ts';
import { codeOf, HOUR, MIB, MINUTE, Pair, step } from './pair.ts';

const BIG = [{ name: 'shop-db', writesPerSecond: 0, workload: 'none' as const, disks: [{ sizeBytes: 64 * MIB }] }];

/** States that a call shows while it runs: looked at beside it. */
const during = async (pair: Pair, side: 'hv-a' | 'hv-b', work: Promise<unknown>): Promise<Set<string>> => {
  const seen = new Set<string>();
  const { changed } = pair.lab.estate;
  const look = () => seen.add(pair.end(side)?.state ?? 'none');
  changed.on('any', look);
  await work;
  changed.off('any', look);
  return seen;
};

const PATHS: readonly {
  readonly state: ReplicationState;
  readonly by: string;
  readonly reach: (pair: Pair) => Promise<Iterable<string>>;
}[] = [
  {
    state: 'Disabled',
    by: 'nothing',
    reach: async (pair) => {
      const [vm] = (await pair.run('hv-a', step('Get-VM', { Id: pair.id }, ['ReplicationState']))).at(-1)!.rows;
      return [(vm!['ReplicationState'] as PsEnum).name];
    },
  },
  {
    state: 'ReadyForInitialReplication',
    by: 'enabling',
    reach: async (pair) => {
      await pair.enable();
      return pair.states();
    },
  },
  {
    state: 'WaitingForInitialReplication',
    by: 'an export',
    reach: async (pair) => {
      await pair.enable();
      await pair.on('hv-a', 'Start-VMInitialReplication', { DestinationPath: 'E:\\media' });
      return [pair.states()[0]];
    },
  },
  {
    state: 'InitialReplicationInProgress',
    by: 'starting the first copy',
    reach: async (pair) => {
      await pair.enable();
      await pair.on('hv-a', 'Start-VMInitialReplication');
      return pair.states();
    },
  },
  {
    state: 'Replicating',
    by: 'its end',
    reach: async (pair) => {
      await pair.replicating();
      return pair.states();
    },
  },
  {
    state: 'PreparedForSyncReplication',
    by: 'a preparation that sends the rest',
    reach: async (pair) => {
      await pair.replicating();
      await pair.write('hv-a', 1);
      await pair.shutDown('hv-a');
      return during(pair, 'hv-a', pair.on('hv-a', 'Start-VMFailover', { Prepare: true }));
    },
  },
  {
    state: 'PreparedForFailover',
    by: 'a preparation',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      return [pair.states()[0]];
    },
  },
  {
    state: 'RecoveryInProgress',
    by: 'a failover that is begun',
    reach: async (pair) => {
      await pair.replicating();
      await pair.shutDown('hv-a');
      return during(pair, 'hv-b', pair.on('hv-b', 'Start-VMFailover'));
    },
  },
  {
    state: 'FailedOverWaitingCompletion',
    by: 'a failover',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      return [pair.states()[1]];
    },
  },
  {
    state: 'FailedOver',
    by: 'its completion',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      await pair.on('hv-b', 'Complete-VMFailover');
      return [pair.states()[1]];
    },
  },
  {
    state: 'FailbackInProgress',
    by: 'calling a failover off',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      return during(pair, 'hv-b', pair.on('hv-b', 'Stop-VMFailover'));
    },
  },
  {
    state: 'FailbackComplete',
    by: 'reversing',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      return during(pair, 'hv-b', pair.on('hv-b', 'Set-VMReplication', { Reverse: true }));
    },
  },
  {
    state: 'WaitingForRepurposeCompletion',
    by: 'being reversed',
    reach: async (pair) => {
      await pair.replicating();
      await pair.planned();
      return during(pair, 'hv-a', pair.on('hv-b', 'Set-VMReplication', { Reverse: true }));
    },
  },
  {
    state: 'FiredrillInProgress',
    by: 'a test that is begun',
    reach: async (pair) => {
      await pair.replicating();
      return during(pair, 'hv-b', pair.on('hv-b', 'Start-VMFailover', { AsTest: true }));
    },
  },
  {
    state: 'Suspended',
    by: 'a pause',
    reach: async (pair) => {
      await pair.replicating();
      await pair.on('hv-a', 'Suspend-VMReplication');
      return [pair.states()[0]];
    },
  },
  {
    state: 'Error',
    by: 'the end of the other end',
    reach: async (pair) => {
      await pair.replicating();
      await pair.on('hv-b', 'Remove-VMReplication');
      await pair.pass(6 * MINUTE);
      return [pair.states()[0]];
    },
  },
  {
    state: 'WaitingForStartResynchronize',
    by: 'a checkpoint that is applied',
    reach: async (pair) => {
      await pair.replicating();
      await pair.on('hv-a', 'Checkpoint-VM', { SnapshotName: 'x' });
      await pair.run(
        'hv-a',
        step('Get-VM', { Id: pair.id }),
        step('Get-VMSnapshot', { VM: { $step: 0 } }),
        step('Restore-VMSnapshot', { VMSnapshot: { $step: 1 } }),
      );
      return [pair.states()[0]];
    },
  },
  {
    state: 'Resynchronizing',
    by: 'starting that',
    reach: async (pair) => {
      await pair.replicating();
      await pair.on('hv-a', 'Resume-VMReplication', { Resynchronize: true });
      return [pair.states()[0]];
    },
  },
  {
    state: 'ResynchronizeSuspended',
    by: 'a pause of that',
    reach: async (pair) => {
      await pair.replicating();
      await pair.on('hv-a', 'Resume-VMReplication', { Resynchronize: true });
      await pair.on('hv-a', 'Suspend-VMReplication');
      return [pair.states()[0]];
    },
  },
  {
    state: 'WaitingForUpdateCompletion',
    by: 'settings that cannot be sent',
    reach: async (pair) => {
      await pair.replicating();
      await pair.setLink(false);
      await pair.on('hv-a', 'Set-VMReplication', { RecoveryHistory: 3 });
      return [pair.states()[0]];
    },
  },
  {
    state: 'UpdateError',
    by: 'settings that the other end refuses',
    reach: async (pair) => {
      await pair.replicating();
      await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-b', settings: { anyServer: false } });
      await pair.on('hv-a', 'Set-VMReplication', { RecoveryHistory: 3 });
      return [pair.states()[0]];
    },
  },
  {
    state: 'PreparedForGroupReverseReplication',
    by: 'the control alone',
    reach: async (pair) => {
      await pair.replicating();
      await pair.lab.control.call('lab.setReplication', { machine: pair.id, state: 'PreparedForGroupReverseReplication' });
      return [pair.states()[0]];
    },
  },
];

describe('the states of a replication', () => {
  for (const { state, by, reach } of PATHS) {
    it(`lead to ${state} by ${by}`, async () => {
      await using pair = await Pair.open({
        machines: state.startsWith('Res') || state.startsWith('Initial') ? BIG : [{ ...BIG[0]!, disks: [{ sizeBytes: MIB }] }],
      });

      expect([...(await reach(pair))]).to.include(state);
    });
  }

  it('are all there', () => {
    expect(PATHS.map(({ state }) => state).toSorted()).to.deep.equal(Object.keys(ENUMS.VMReplicationState).toSorted());
  });
});

describe('the health of a replication', () => {
  it('is critical once it was paused for long, and a warning before', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.on('hv-a', 'Suspend-VMReplication');
    const soon = await pair.health('hv-a');
    await pair.pass(13 * HOUR);
    const late = await pair.read('hv-a', 'Measure-VMReplication', 'ReplicationHealth', 'ReplicationHealthDetails');
    await pair.on('hv-a', 'Resume-VMReplication');
    await pair.pass(MINUTE);

    expect(soon).to.equal('Warning');
    expect(late['ReplicationHealth']).to.deep.equal({ name: 'Critical', value: 3 });
    expect(late['ReplicationHealthDetails']).to.have.lengthOf(1);
    expect(await pair.health('hv-a')).to.equal('Normal');
  });

  it('is a warning when more than a fifth of the cycles were missed, until a new day of counting', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 300 });
    await pair.setLink(false);
    await pair.pass(20 * MINUTE);
    await pair.setLink(true);
    await pair.pass(10 * MINUTE);
    const after = await pair.health('hv-a');
    await pair.pass(25 * HOUR);

    expect([after, await pair.health('hv-a')]).to.deep.equal(['Warning', 'Normal']);
  });

  it('says something in every state', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    const at = atOf(pair.lab.estate, pair.lab.estate.endpoint('hv-a'));
    for (const state of Object.keys(ENUMS.VMReplicationState) as ReplicationState[]) {
      const { health, details } = healthOf(at, { ...pair.end('hv-a')!, state });
      expect(details.length > 0, state).to.equal(health !== 'Normal');
    }
  });
});

describe('a first copy', () => {
  it('goes on where it stopped after the link was cut, and is in error after the fifth failure until it is told to go on', async () => {
    await using pair = await Pair.open({ machines: BIG });
    await pair.write('hv-a', 1, { offset: 63 * MIB });
    await pair.enable();
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await pair.pass(700);
    await pair.setLink(false);
    await pair.pass(1000);
    const { sentBytes } = pair.end('hv-a')!.transfer!;
    const early = pair.states()[0];
    await pair.pass(6 * MINUTE);
    const late = pair.states()[0];
    await pair.setLink(true);
    await pair.on('hv-a', 'Resume-VMReplication');
    const kept = pair.end('hv-a')!.transfer!.sentBytes;
    await pair.pass(MINUTE);

    expect(sentBytes).to.be.within(MIB, 63 * MIB);
    expect([early, late, kept]).to.deep.equal(['InitialReplicationInProgress', 'Error', sentBytes]);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('is cancelled without a trace, refuses failover before its end, and can be started again', async () => {
    await using pair = await Pair.open({ machines: BIG });
    await pair.enable();
    const layers = pair.lab.estate.layers.size;
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await pair.pass(400);
    const task = await pair.read('hv-a', 'Measure-VMReplication', 'CurrentTask.PercentComplete', 'PendingReplicationSize');
    const [failover, test] = [
      await codeOf(pair.on('hv-b', 'Start-VMFailover')),
      await codeOf(pair.on('hv-b', 'Start-VMFailover', { AsTest: true })),
    ];
    await pair.on('hv-a', 'Stop-VMInitialReplication');
    const after = [pair.states()[0], pair.lab.estate.layers.size];
    await pair.on('hv-a', 'Start-VMInitialReplication');
    await pair.pass(MINUTE);

    expect((task['CurrentTask.PercentComplete'] as number[])[0]).to.be.within(1, 99);
    expect([failover, test]).to.deep.equal(['STATE_CONFLICT', 'STATE_CONFLICT']);
    expect(after).to.deep.equal(['ReadyForInitialReplication', layers]);
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
  });

  it('waits for its time', async () => {
    await using pair = await Pair.open();
    await pair.enable();
    const at = new Date(pair.lab.clock.now() + 2 * HOUR).toISOString();
    await pair.on('hv-a', 'Start-VMInitialReplication', { InitialReplicationStartTime: { $type: 'date', value: at } });
    const shown = await pair.read('hv-a', 'Get-VMReplication', 'InitialReplicationStartTime');
    await pair.pass(HOUR);
    const early = pair.states()[0];
    await pair.pass(HOUR + MINUTE);

    expect(shown['InitialReplicationStartTime']).to.equal(at);
    expect([early, pair.states()[0]]).to.deep.equal(['ReadyForInitialReplication', 'Replicating']);
  });

  it('is carried by people, with what was written meanwhile in the first cycle', async () => {
    await using pair = await Pair.open();
    await pair.write('hv-a', 41);
    await pair.enable({ ReplicationFrequencySec: 30 });
    await pair.on('hv-a', 'Start-VMInitialReplication', { DestinationPath: 'E:\\media\\' });
    await pair.write('hv-a', 42, { disk: 1 });
    const wrong = await codeOf(pair.on('hv-b', 'Import-VMInitialReplication', { Path: 'F:\\other' }));
    await pair.on('hv-b', 'Import-VMInitialReplication', { Path: 'e:\\media' });
    const imported = [pair.byte('hv-b'), pair.byte('hv-b', 8192, 1)];
    await pair.pass(MINUTE);

    expect(wrong).to.equal('NOT_FOUND');
    expect(imported[0]).to.equal(41);
    expect(imported[1]).not.to.equal(42);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('compares where the other end has a copy already', async () => {
    await using pair = await Pair.open();
    await pair.replicating();
    await pair.on('hv-a', 'Remove-VMReplication');
    await pair.on('hv-b', 'Remove-VMReplication');
    await pair.write('hv-a', 17);
    await pair.enable();
    await pair.on('hv-a', 'Start-VMInitialReplication', { UseBackup: true });
    await pair.pass(MINUTE);

    expect([...pair.lab.estate.machines.values()].filter(({ endpoint }) => endpoint === 'hv-b')).to.have.lengthOf(1);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });
});

describe('a resynchronisation', () => {
  const WRITTEN = { offset: 0, length: 12 * MIB };

  it('is demanded when a log has grown over half of its disk, and starts by itself in its window only', async () => {
    await using pair = await Pair.open({ machines: [{ ...BIG[0]!, disks: [{ sizeBytes: 16 * MIB }] }] });
    await pair.replicating({ AutoResynchronizeEnabled: true, ReplicationFrequencySec: 30 });
    await pair.pass(8 * HOUR);
    await pair.setLink(false);
    await pair.write('hv-a', 1, WRITTEN);
    await pair.pass(MINUTE);
    await pair.setLink(true);
    await pair.pass(HOUR);
    const noon = [pair.states()[0], await pair.health('hv-a')];
    await pair.pass(12 * HOUR);

    expect(noon).to.deep.equal(['WaitingForStartResynchronize', 'Critical']);
    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('leaves the last whole state to fail over to until its end', async () => {
    await using pair = await Pair.open({ machines: BIG });
    await pair.replicating({ ReplicationFrequencySec: 900 });
    const whole = pair.digests('hv-b');
    await pair.write('hv-a', 1, { offset: 0, length: 60 * MIB });
    await pair.on('hv-a', 'Resume-VMReplication', { Resynchronize: true });
    await pair.pass(700);
    const torn = pair.digests('hv-b');
    await pair.lab.control.call('lab.burnSite', { site: 'site-a' });
    await pair.on('hv-b', 'Start-VMFailover');

    expect(torn).not.to.deep.equal(whole);
    expect(pair.digests('hv-b')).to.deep.equal(whole);
    await pair.on('hv-b', 'Complete-VMFailover');
    expect(pair.digests('hv-b')).to.deep.equal(whole);
  });

  it('sends nothing but what differs', async () => {
    await using pair = await Pair.open({ machines: BIG });
    await pair.replicating();
    const used = pair.lab.estate.layer(Object.values(pair.machine('hv-b').volumes)[0]!).volume.allocatedBytes;
    await pair.on('hv-a', 'Resume-VMReplication', { Resynchronize: true });
    await pair.pass(MINUTE);

    expect(pair.states()).to.deep.equal(['Replicating', 'Replicating']);
    expect(pair.lab.estate.layer(Object.values(pair.machine('hv-b').volumes)[0]!).volume.allocatedBytes).to.equal(used);
  });
});
