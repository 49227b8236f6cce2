import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { isDrError } from '../../../../core/contract/index.ts';
import {
  begin,
  beginFailover,
  cancelled,
  committed,
  fail,
  pointSealed,
  setActive,
  setFork,
  setSync,
  setTest,
  started,
} from '../../../../core/domain/decide.ts';
import type { Item, ItemFork } from '../../../../core/domain/item.ts';
import { allowedOperations, type Facts, OPERATIONS, refusalOf, TRANSITIONS } from '../../../../core/domain/operations.ts';
import { brokenRules } from '../../../../core/domain/validity.ts';

const FACTS: Facts = { hasPoint: true, targetForks: true, plannedPossible: true };

const protectedItem = (): Item => ({
  id: 'it-1' as Item['id'],
  name: 'web',
  groupId: 'gr-1',
  method: 'journaled',
  state: { protection: 'Protected', sync: { is: 'Delta' }, test: 'None', active: { site: 'a' }, direction: { from: 'a', to: 'b' } },
  source: { site: 'a', endpoint: 'va', machine: 'm1' as never, name: 'web' },
  replica: { site: 'b', endpoint: 'vb', machine: 'm2' as never, name: 'web' },
  disks: [],
  nics: [],
  epoch: { item: 'it-1' as Item['id'], epoch: 1, holder: 'me' },
  traits: { targetForks: true, plannedPossible: true, sourceStreams: false, replicaAdopted: false },
  baselines: {},
});
const FORK: ItemFork = {
  id: 'f' as never,
  machine: 'm3' as never,
  disks: {},
  nics: {},
  purpose: 'failover',
  mode: 'overlay',
  point: 'p',
  operationId: 'job/x',
};
const failover = (kind: 'planned' | 'unplanned') => ({ kind, phase: 'Quiescing' as const, startedAt: '2026-01-01T00:00:00.000Z' });

describe('the transition table', () => {
  it('offers a protected machine its verbs, and refuses each other one with a reason and a way', () => {
    const item = protectedItem();

    expect(allowedOperations(item, FACTS)).to.include.members(['test', 'planned', 'unplanned', 'pause', 'sync', 'unprotect']);
    for (const operation of OPERATIONS) {
      const refusal = refusalOf(operation, item, FACTS);
      if (refusal)
        expect(
          [refusal.reason, refusal.way].every((text) => text.length > 5),
          operation,
        ).to.equal(true);
    }
  });

  it('has a row for each operation', () => {
    expect(OPERATIONS.filter((operation) => !TRANSITIONS.some((row) => row.operation === operation))).to.deep.equal([]);
  });

  it('forbids every failover before the first point (V6)', () => {
    const facts = { ...FACTS, hasPoint: false };

    expect(allowedOperations(protectedItem(), facts)).to.not.include.members(['test']);
    expect(refusalOf('unplanned', protectedItem(), facts)?.reason).to.contain('no recovery point');
  });

  it('never lets a troubled replication forbid a test or an unplanned failover (V6)', () => {
    for (const is of ['ResyncRequired', 'Resyncing', 'Paused', 'Stalled'] as const) {
      const item = setSync(protectedItem(), { is, reason: 'x' });
      expect(allowedOperations(item, FACTS), is).to.include.members(['test', 'unplanned']);
    }
  });

  it('says beforehand that a target without forks has no test, change point or cancel (V1)', () => {
    const allowed = allowedOperations(protectedItem(), { ...FACTS, targetForks: false });

    expect(allowed).to.not.include('test');
    expect(allowed).to.include.members(['planned', 'unplanned']);
  });

  it('wants the test gone before a planned failover, not before an unplanned one (V8)', () => {
    const item = setTest(protectedItem(), 'Running', { ...FORK, purpose: 'test' });

    expect(allowedOperations(item, FACTS)).to.include('unplanned').and.not.include('planned');
  });

  it('refuses a planned failover while two copies may run', () => {
    expect(allowedOperations(setActive(protectedItem(), 'both'), FACTS))
      .to.include('resolve')
      .and.not.include('planned');
  });

  it('offers unprotect from every state but Unprotected and one in progress (V9)', () => {
    const states = [
      'InitialReplication',
      'Protected',
      'CommitPending',
      'FailedOver',
      'EnablingFailed',
      'FailingOverFailed',
      'ChangingPointFailed',
      'CancellingFailoverFailed',
      'CommittingFailed',
      'ReprotectingFailed',
      'DisablingFailed',
    ] as const;
    for (const protection of states) {
      const item = { ...protectedItem(), state: { ...protectedItem().state, protection } };
      expect(refusalOf('unprotect', item, FACTS), protection).to.equal(undefined);
    }
  });
});

describe('decisions', () => {
  it('lead through a failover to its commit', () => {
    const begun = beginFailover(protectedItem(), failover('planned'), FACTS);
    const running = started(setFork(begun, FORK));
    const done = committed(begin(running, 'commit', FACTS), {
      replica: protectedItem().replica!,
      disks: [],
      nics: [],
      reverse: undefined as never,
    });

    expect([begun.state.protection, running.state.protection, done.state.protection]).to.deep.equal([
      'FailingOver',
      'CommitPending',
      'FailedOver',
    ]);
    expect(running.state.active).to.equal('unknown');
    expect(done.fork).to.equal(undefined);
  });

  it('count a side as active only when the other was seen off, or said to be', () => {
    const at = (more: object) =>
      started(setFork(beginFailover(protectedItem(), { ...failover('unplanned'), ...more }, FACTS), FORK)).state.active;

    expect(at({ sourceConfirmedOff: true })).to.deep.equal({ site: 'b' });
    expect(at({ statement: 'off' })).to.deep.equal({ site: 'b' });
    expect(at({ statement: 'unreachable' })).to.equal('unknown');
    expect(at({ statement: 'running' })).to.equal('both');
  });

  it('give the failed twin, from which the same verb and the ways out are offered', () => {
    const failed = fail(beginFailover(protectedItem(), failover('planned'), FACTS));

    expect(failed.state.protection).to.equal('FailingOverFailed');
    expect(allowedOperations(failed, FACTS)).to.include.members(['planned', 'unplanned', 'cancel', 'unprotect']);
  });

  it('keep a pause when a point is sealed after it', () => {
    expect(pointSealed(setSync(protectedItem(), { is: 'Paused' }), 'delta').state.sync.is).to.equal('Paused');
  });

  it('say nothing about replication when a cycle ends after a failover', () => {
    const running = started(setFork(beginFailover(protectedItem(), failover('unplanned'), FACTS), FORK));

    expect(pointSealed(running, 'delta')).to.deep.equal(running);
  });

  it('go back to Protected on cancel, without a fork', () => {
    const running = started(setFork(beginFailover(protectedItem(), failover('unplanned'), FACTS), FORK));
    const back = cancelled(begin(running, 'cancel', FACTS), { is: 'Delta' }, { site: 'a' });

    expect(back.state).to.deep.equal(protectedItem().state);
    expect(back.fork).to.equal(undefined);
  });

  it('refuse what would break the validity predicate', () => {
    expect(() => setFork(protectedItem(), FORK)).to.throw('a failover fork exists only between');
    expect(brokenRules({ ...protectedItem(), state: { ...protectedItem().state, active: { site: 'b' } } })).to.have.length(1);
  });

  it('lead only to valid states, whatever order operations come in', () => {
    const moves: readonly ((item: Item) => Item)[] = [
      (item) => beginFailover(item, failover('planned'), FACTS),
      (item) => beginFailover(item, failover('unplanned'), FACTS),
      (item) => setFork(item, FORK),
      started,
      fail,
      (item) => begin(item, 'cancel', FACTS),
      (item) => cancelled(item, { is: 'Delta' }, { site: 'a' }),
      (item) => begin(item, 'commit', FACTS),
      (item) => begin(item, 'change-point', FACTS),
      (item) => begin(item, 'reprotect', FACTS),
      (item) => begin(item, 'unprotect', FACTS),
      (item) => setTest(item, 'Running', { ...FORK, purpose: 'test' }),
      (item) => setTest(item, 'None'),
      (item) => setSync(item, { is: 'Paused' }),
      (item) => pointSealed(item, 'compare'),
    ];
    fc.assert(
      fc.property(fc.array(fc.nat(moves.length - 1), { maxLength: 40 }), (picks) => {
        let item = protectedItem();
        for (const pick of picks) {
          try {
            item = moves[pick]!(item);
          } catch (error) {
            if (!isDrError(error)) throw error;
          }
          expect(brokenRules(item)).to.deep.equal([]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
