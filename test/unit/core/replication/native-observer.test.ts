import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Item } from '../../../../core/domain/item.ts';
import { pauseMs, roundsOf } from '../../../../core/replication/native/observer.ts';
import { toPointRecords } from '../../../../core/replication/native/records.ts';

const item = (id: string, more: Partial<Item> = {}): Item =>
  ({
    id,
    method: 'native',
    native: { networks: {} },
    state: { direction: { from: 'a', to: 'b' } },
    source: { site: 'a', endpoint: 'hv-a', machine: `vm-${id}`, name: id },
    replica: { site: 'b', endpoint: 'hv-b', machine: `vm-${id}`, name: id },
    ...more,
  }) as unknown as Item;

describe('looking at hosts', () => {
  it('asks each endpoint once for all machines, sources and replicas alike, and for no journaled one', () => {
    const { native: _, ...journaled } = item('journaled');
    const turned = item('turned', { source: item('turned').replica!, replica: item('turned').source });

    const rounds = roundsOf([item('one'), turned, journaled as Item]);

    expect(rounds.map(({ endpoint, ends }) => [endpoint, ends.map(({ item: of, end }) => `${of} ${end}`)])).to.deep.equal([
      ['hv-a', ['one source', 'turned replica']],
      ['hv-b', ['one replica', 'turned source']],
    ]);
  });

  it('pauses by name between 80 and 120 % of 20 s, doubles while nobody answers, and stops at ten minutes', () => {
    for (const endpoint of ['hv-a', 'hv-b', 'a', '日本', 'x'.repeat(63)]) {
      expect(pauseMs(endpoint, 0)).to.be.within(16_000, 24_000);
      expect(pauseMs(endpoint, 2)).to.equal(4 * pauseMs(endpoint, 0));
      expect(pauseMs(endpoint, 1_000)).to.equal(600_000);
    }
    expect(pauseMs('hv-a', 0)).to.not.equal(pauseMs('hv-b', 0));
  });
});

describe('the points of a replica host', () => {
  it('are in the order of their times, the newest state last, each with an id that is found again', () => {
    const records = toPointRecords(item('one'), {
      machine: 'vm-one' as never,
      role: 'replica',
      vendorState: 'Replicating',
      health: 'Normal',
      replicatedAt: '2026-01-01T03:00:00.000Z',
      points: [
        { id: 'late', at: '2026-01-01T03:00:00+00:00', consistency: 'crash' },
        { id: 'early', at: '2026-01-01T01:00:00Z', consistency: 'application' },
      ],
      allowed: [],
    });

    expect(records.map(({ id, takenAt, consistency }) => [id, takenAt, consistency])).to.deep.equal([
      ['one@early', '2026-01-01T01:00:00.000Z', 'application'],
      ['one@late', '2026-01-01T03:00:00.000Z', 'crash'],
      ['one@2026-01-01T03:00:00.000Z', '2026-01-01T03:00:00.000Z', 'crash'],
    ]);
    expect(records.map(({ detail }) => detail.nativeId)).to.deep.equal(['early', 'late', undefined]);
  });
});
