import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { NativeStatus, NativeStep } from '../../../../core/contract/index.ts';
import type { Item, NativeSeen, SyncKind } from '../../../../core/domain/item.ts';
import {
  isDone,
  NATIVE_STATES,
  type NativeStage,
  nativeReasons,
  observed,
  obstacleTo,
  pairVerdict,
  stageOf,
  verdictOf,
} from '../../../../core/domain/native.ts';

/** State; stage; what it is with the health Normal, Warning and Critical; whether it names a next step while healthy. */
const TABLE: readonly (readonly [string, NativeStage, SyncKind, SyncKind, SyncKind, boolean])[] = [
  ['Disabled', 'none', 'Stalled', 'Stalled', 'Stalled', true],
  ['ReadyForInitialReplication', 'copying', 'InitialSync', 'InitialSync', 'InitialSync', true],
  ['InitialReplicationInProgress', 'copying', 'InitialSync', 'InitialSync', 'InitialSync', false],
  ['WaitingForInitialReplication', 'copying', 'InitialSync', 'InitialSync', 'InitialSync', false],
  ['Replicating', 'replicating', 'Delta', 'Delta', 'Stalled', false],
  ['PreparedForFailover', 'prepared', 'Stalled', 'Stalled', 'Stalled', true],
  ['FailedOverWaitingCompletion', 'failed-over', 'Stalled', 'Stalled', 'Stalled', true],
  ['FailedOver', 'committed', 'Stalled', 'Stalled', 'Stalled', true],
  ['Suspended', 'paused', 'Paused', 'Paused', 'Paused', false],
  ['Error', 'broken', 'Stalled', 'Stalled', 'Stalled', true],
  ['WaitingForStartResynchronize', 'resync', 'ResyncRequired', 'ResyncRequired', 'ResyncRequired', true],
  ['Resynchronizing', 'resync', 'Resyncing', 'Resyncing', 'Resyncing', false],
  ['ResynchronizeSuspended', 'paused', 'Paused', 'Paused', 'Paused', false],
  ['RecoveryInProgress', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['FailbackInProgress', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['FailbackComplete', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['WaitingForUpdateCompletion', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['UpdateError', 'broken', 'Stalled', 'Stalled', 'Stalled', true],
  ['WaitingForRepurposeCompletion', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['PreparedForSyncReplication', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['PreparedForGroupReverseReplication', 'busy', 'Delta', 'Delta', 'Stalled', false],
  ['FiredrillInProgress', 'replicating', 'Delta', 'Delta', 'Stalled', false],
];

const seen = (state: string, more: Partial<NativeSeen> = {}): NativeSeen => ({
  at: '2026-01-01T00:00:00.000Z',
  role: 'source',
  state,
  health: 'Normal',
  ...more,
});

const status = (state: string, more: Partial<NativeStatus> = {}): NativeStatus => ({
  machine: 'vm' as never,
  role: 'replica',
  vendorState: state,
  health: 'Normal',
  points: [],
  allowed: [],
  ...more,
});

const item = (protection: Item['state']['protection'], more: Partial<Item> = {}): Item =>
  ({
    id: 'it',
    name: 'crm',
    method: 'native',
    state: { protection, sync: { is: 'Delta' }, test: 'None', active: { site: 'a' }, direction: { from: 'a', to: 'b' } },
    source: { site: 'a', endpoint: 'hv-a', machine: 'vm', name: 'crm' },
    replica: { site: 'b', endpoint: 'hv-b', machine: 'vm', name: 'crm' },
    native: { networks: {} },
    ...more,
  }) as unknown as Item;

describe('what hosts say of a native pair', () => {
  it('knows each state by its name', () => {
    expect(NATIVE_STATES).to.have.members(TABLE.map(([state]) => state));
  });

  for (const [state, stage, normal, warning, critical, next] of TABLE) {
    it(`${state} is ${normal}, ${warning} with a warning, ${critical} when critical`, () => {
      expect(stageOf(seen(state))).to.equal(stage);
      for (const [health, expected] of [
        ['Normal', normal],
        ['NotApplicable', normal],
        ['Warning', warning],
        ['Critical', critical],
      ] as const) {
        const verdict = verdictOf(seen(state, { health }));
        expect(verdict.sync.is, health).to.equal(expected);
        if (['Stalled', 'ResyncRequired'].includes(expected)) expect(verdict.sync.reason, health).to.be.a('string').and.not.equal('');
        if (expected === 'Stalled') expect(verdict.next, health).to.be.a('string');
      }
      expect(verdictOf(seen(state)).next !== undefined).to.equal(next);
    });
  }

  it('gives the host’s own words for a bad health', () => {
    expect(verdictOf(seen('Replicating', { health: 'Warning', because: '3 cycles missed' })).sync).to.deep.equal({
      is: 'Delta',
      reason: '3 cycles missed',
    });
  });

  it('takes a state that it does not know for trouble, a hostile one too', () => {
    for (const state of ['Teleporting', 'constructor', '__proto__', '']) {
      expect(stageOf(seen(state))).to.equal('broken');
      expect(verdictOf(seen(state)).sync.is).to.equal('Stalled');
    }
  });

  for (const [source, replica, expected] of [
    [undefined, undefined, undefined],
    [seen('Replicating'), undefined, 'Delta'],
    [seen('Replicating'), seen('Suspended', { role: 'replica' }), 'Paused'],
    [seen('Suspended'), seen('Error', { role: 'replica' }), 'Stalled'],
    [seen('Resynchronizing'), seen('Replicating', { role: 'replica' }), 'Resyncing'],
    [seen('Replicating'), seen('Disabled', { role: 'none' }), 'Stalled'],
    [seen('Replicating', { role: 'replica' }), seen('Replicating', { role: 'source' }), 'Stalled'],
  ] as const) {
    it(`a source ${source?.state ?? 'unseen'} (${source?.role ?? '-'}) and a replica ${replica?.state ?? 'unseen'} (${replica?.role ?? '-'}) are ${expected ?? 'nothing'}`, () => {
      expect(pairVerdict(source, replica)?.sync.is).to.equal(expected);
    });
  }

  it('moves the axes only where replication goes on by itself', () => {
    for (const protection of ['FailingOver', 'CommitPending', 'FailedOver', 'Reprotecting', 'CancellingFailoverFailed'] as const) {
      const before = item(protection);
      expect(observed(before, { is: 'Stalled', reason: 'x' })).to.equal(before);
    }
    expect(observed(item('Protected'), { is: 'Paused' }).state.sync).to.deep.equal({ is: 'Paused' });
  });

  it('gives each of its reasons a next step', () => {
    const reasons = nativeReasons(
      item('Protected', {
        native: {
          networks: {},
          seen: {
            source: seen('Error', { unreachable: 'CONNECTION_LOST: gone' }),
            replica: seen('Replicating', { role: 'replica', testMachine: 'theirs' }),
          },
        },
      }),
    );

    expect(reasons.map(({ code }) => code)).to.deep.equal(['native-state', 'native-unseen', 'native-test']);
    for (const { hint } of reasons) expect(hint).to.not.equal('');
  });
});

describe('a step of a native pair', () => {
  for (const [step, done, open] of [
    ['prepare', status('PreparedForFailover'), status('Replicating')],
    ['failover', status('FailedOverWaitingCompletion'), status('Replicating')],
    ['failover', status('FailedOver'), status('Suspended')],
    ['cancel', status('Replicating'), status('FailedOverWaitingCompletion')],
    ['cancel', status('Suspended'), status('PreparedForFailover')],
    ['commit', status('FailedOver'), status('FailedOverWaitingCompletion')],
    ['test', status('Replicating', { testMachine: 't' as never }), status('Replicating')],
    ['endTest', status('Replicating'), status('FiredrillInProgress', { testMachine: 't' as never })],
    ['pause', status('Suspended'), status('Replicating')],
    ['resume', status('Replicating'), status('Suspended')],
    ['resync', status('Resynchronizing'), status('WaitingForStartResynchronize')],
    ['reverse', status('Replicating', { role: 'source' }), status('FailedOver')],
  ] as const satisfies readonly (readonly [NativeStep['do'], NativeStatus, NativeStatus])[]) {
    it(`${step} is done at ${done.role} ${done.vendorState}, and not at ${open.role} ${open.vendorState}`, () => {
      expect(isDone(step, done)).to.equal(true);
      expect(isDone(step, open)).to.equal(false);
    });
  }

  it('that was completed by hand cannot be cancelled, and says so', () => {
    expect(isDone('cancel', status('FailedOver'))).to.equal(false);
    expect(obstacleTo('cancel', status('FailedOver'))?.reason).to.include('FailedOver');
  });

  it('is told only where the host accepts it', () => {
    expect(obstacleTo('pause', status('Replicating', { allowed: ['pause'] }))).to.equal(undefined);
    expect(obstacleTo('pause', status('Error'))?.way).to.be.a('string');
    expect(obstacleTo('pause', status('Disabled', { role: 'none', allowed: ['pause'] }))?.way).to.include('protect it again');
  });
});
