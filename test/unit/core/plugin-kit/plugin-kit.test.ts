import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { type Call, DrError, type Extent } from '../../../../core/contract/index.ts';
import { findOrCreate, ignoreGone, orderedExtents, paged, pollTask, withDeadline } from '../../../../core/plugin-kit/index.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {} };
const callWith = (more: Partial<Call> = {}): Call => ({
  signal: new AbortController().signal,
  deadlineMs: 60_000,
  log,
  operationId: 'op-1',
  ...more,
});
const failureOf = (promise: Promise<unknown>): Promise<DrError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: DrError) => error,
  );

describe('pollTask', () => {
  it('looks ever less often until the task is done, and gives its value', async () => {
    const time = createManualClock(0);
    const looks: number[] = [];
    const look = async () => {
      looks.push(time.now());
      return looks.length < 5 ? ({ done: false } as const) : ({ done: true, value: 'made' } as const);
    };

    const value = await time.runUntil(pollTask(callWith(), 'the task', look, { firstPauseMs: 100, maxPauseMs: 200, time }));

    expect(value).to.equal('made');
    expect(looks).to.deep.equal([0, 100, 250, 450, 650]);
  });

  it('gives up at the deadline of the call and names the task', async () => {
    const time = createManualClock(0);

    const error = await time.runUntil(
      failureOf(pollTask(callWith({ deadlineMs: 1000 }), 'removal of snapshot s1', async () => ({ done: false }), { time })),
    );

    expect(error.code).to.equal('TIMED_OUT');
    expect(error.message).to.equal('removal of snapshot s1 was not done within 1 s');
    expect(time.now()).to.equal(1000);
  });

  it('stops with the reason of the signal, in a pause as well as when the answer comes after the abort', async () => {
    const time = createManualClock(0);
    const pausing = new AbortController();
    const inPause = failureOf(pollTask(callWith({ signal: pausing.signal }), 'it', async () => ({ done: false }), { time }));
    await time.advance(10);
    pausing.abort('enough');

    const looking = new AbortController();
    const late = async () => {
      looking.abort('too late');
      return { done: true, value: 1 } as const;
    };

    expect(await inPause).to.equal('enough');
    expect(await failureOf(pollTask(callWith({ signal: looking.signal }), 'it', late, { time }))).to.equal('too late');
    expect(time.pending).to.deep.equal([]);
  });

  it('passes on what the look throws', async () => {
    const broken = new DrError('TARGET_FULL', 'no room');

    expect(await failureOf(pollTask(callWith(), 'it', () => Promise.reject(broken)))).to.equal(broken);
  });
});

describe('paged', () => {
  const pages: Record<string, { items: number[]; next?: string }> = {
    start: { items: [1, 2], next: 'b' },
    b: { items: [], next: 'c' },
    c: { items: [3] },
  };

  it('gives the elements of all pages, empty ones in between, and asks for a page only when it is due', async () => {
    const asked: string[] = [];
    const seen: number[] = [];
    const list = paged(callWith(), async (cursor: string | undefined) => {
      asked.push(cursor ?? 'start');
      return pages[cursor ?? 'start']!;
    });

    for await (const item of list) {
      if (item === 2) expect(asked).to.deep.equal(['start']);
      seen.push(item);
    }

    expect(seen).to.deep.equal([1, 2, 3]);
    expect(asked).to.deep.equal(['start', 'b', 'c']);
  });

  it('stops at the element at which the signal aborts', async () => {
    const controller = new AbortController();
    const list = paged(callWith({ signal: controller.signal }), async () => ({ items: [1, 2, 3] }));
    const seen: number[] = [];

    const reason = await failureOf(
      (async () => {
        for await (const item of list) {
          seen.push(item);
          if (item === 2) controller.abort('enough');
        }
      })(),
    );

    expect(reason).to.equal('enough');
    expect(seen).to.deep.equal([1, 2]);
  });

  it('refuses a page that names itself as the next one', async () => {
    const list = paged(callWith(), async () => ({ items: [], next: 'again' }));

    expect((await failureOf(list.next())).code).to.equal('PROTOCOL_ERROR');
  });
});

describe('orderedExtents', () => {
  const SIZE = 64;
  const ranges = fc.array(
    fc
      .record({ offset: fc.nat(80), length: fc.nat(20), zero: fc.boolean() })
      .map(({ offset, length, zero }): Extent => (zero ? { offset, length, zero: true } : { offset, length })),
    { maxLength: 12 },
  );
  const paint = (list: readonly Extent[], from: number): string[] => {
    const bytes = Array.from({ length: SIZE }, () => '.');
    for (const kind of ['zero', 'data']) {
      for (const { offset, length, zero } of list) {
        if ((zero === true) !== (kind === 'zero')) continue;
        for (let at = Math.max(offset, from); at < Math.min(offset + length, SIZE); at++) bytes[at] = kind;
      }
    }
    return bytes;
  };

  it('keeps every byte of every range within the bounds, data over zero, ascending, disjoint and joined', () => {
    fc.assert(
      fc.property(ranges, fc.nat(SIZE), (list, from) => {
        const ordered = orderedExtents(list, { from, sizeBytes: SIZE });

        expect(paint(ordered, 0)).to.deep.equal(paint(list, from));
        for (const [index, extent] of ordered.entries()) {
          const before = ordered[index - 1];
          expect(extent.length).to.be.greaterThan(0);
          if (before === undefined) continue;
          expect(extent.offset).to.be.at.least(before.offset + before.length);
          if (before.zero === extent.zero) expect(extent.offset).to.be.greaterThan(before.offset + before.length);
        }
      }),
    );
  });

  it('joins data over small gaps when told to, never losing a byte', () => {
    const list = [
      { offset: 40, length: 4 },
      { offset: 0, length: 8 },
      { offset: 10, length: 2 },
      { offset: 8, length: 2, zero: true as const },
    ];

    expect(orderedExtents(list, { from: 0, sizeBytes: SIZE, gapBytes: 2 })).to.deep.equal([
      { offset: 0, length: 12 },
      { offset: 40, length: 4 },
    ]);
  });
});

describe('findOrCreate', () => {
  it('creates once for an operation id, and finds it when the call is sent again', async () => {
    const made = new Map<string, string>();
    const how = {
      find: async (id: string) => made.get(id),
      create: async (id: string) => {
        made.set(id, `thing ${made.size + 1}`);
        return made.get(id)!;
      },
    };

    expect(await findOrCreate(callWith(), how)).to.equal('thing 1');
    expect(await findOrCreate(callWith(), how)).to.equal('thing 1');
    expect(await findOrCreate(callWith({ operationId: 'op-2' }), how)).to.equal('thing 2');
  });

  it('finds what a faster twin made, and lets any other conflict stand', async () => {
    const conflict = new DrError('STATE_CONFLICT', 'the name is taken');
    const create = () => Promise.reject(conflict);
    let looks = 0;
    const twin = async () => (++looks > 1 ? 'the twin' : undefined);

    expect(await findOrCreate(callWith(), { find: twin, create })).to.equal('the twin');
    expect(await failureOf(findOrCreate(callWith(), { find: async () => undefined, create }))).to.equal(conflict);
  });

  it('creates nothing after an abort', async () => {
    const controller = new AbortController();
    let created = 0;
    const find = async () => controller.abort('enough');
    const create = async () => {
      created++;
    };

    expect(await failureOf(findOrCreate(callWith({ signal: controller.signal }), { find, create }))).to.equal('enough');
    expect(created).to.equal(0);
  });
});

describe('ignoreGone', () => {
  it('takes what is gone for deleted, and nothing else', async () => {
    await ignoreGone(() => Promise.reject(new DrError('NOT_FOUND', 'no machine m1')));
    await ignoreGone(() => Promise.reject(new DrError('SNAPSHOT_GONE', 'no snapshot s1')));

    const kept = await failureOf(ignoreGone(() => Promise.reject(new DrError('FILE_LOCKED', 'in use'))));

    expect(kept.code).to.equal('FILE_LOCKED');
  });
});

describe('withDeadline', () => {
  it('ends work that ignores its signal, and names it', async () => {
    const time = createManualClock(0);
    let aborted = false;
    const work = (call: Call): Promise<never> => {
      call.signal.addEventListener('abort', () => {
        aborted = true;
      });
      return new Promise(() => {});
    };

    const error = await time.runUntil(failureOf(withDeadline(callWith(), 5000, 'the version', work, time)));

    expect([error.code, error.message, time.now(), aborted]).to.deep.equal(['TIMED_OUT', 'the version took longer than 5 s', 5000, true]);
  });

  it('gives the answer and leaves no timer', async () => {
    const time = createManualClock(0);

    expect(await withDeadline(callWith(), 5000, 'it', async (call) => call.deadlineMs, time)).to.equal(5000);
    expect(time.pending).to.deep.equal([]);
  });

  it('never gives more time than the call has, and passes its abort on', async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const work = (call: Call): Promise<never> => {
      seen.push(call.deadlineMs);
      return new Promise(() => {});
    };
    const waiting = failureOf(withDeadline(callWith({ signal: controller.signal, deadlineMs: 100 }), 5000, 'it', work));
    controller.abort('enough');

    expect(await waiting).to.equal('enough');
    expect(seen).to.deep.equal([100]);
  });
});
