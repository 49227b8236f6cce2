import { getEventListeners } from 'node:events';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  type Call,
  type DiskReader,
  DrError,
  type Extent,
  type Machine,
  type MachineId,
  type SnapshotSource,
} from '../../../../core/contract/index.ts';
import type { EndpointSession } from '../../../../core/host/host.ts';
import {
  type Bench,
  type BenchOptions,
  collect,
  createBench,
  d1,
  extents,
  failureOf,
  fence,
  hang,
  lost,
  m1,
  machine,
  reader,
  replicaDisk,
  s1,
  session,
  snapshot,
  until,
} from './fake-plugin.ts';

const opened = async (
  options: BenchOptions = {},
): Promise<Bench & { readonly session: EndpointSession; readonly source: SnapshotSource } & AsyncDisposable> => {
  const bench = createBench(options);
  const of = await bench.host.open(bench.endpoint);
  return { ...bench, session: of, source: of.source as SnapshotSource, [Symbol.asyncDispose]: () => bench.host[Symbol.asyncDispose]() };
};

const busy = (retryAfterMs?: number): DrError =>
  new DrError('HOST_BUSY', 'too many tasks', { context: retryAfterMs === undefined ? {} : { retryAfterMs } });

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the pipeline: deadlines', () => {
  it('ends a call that hangs at the deadline of its class, naming method, endpoint and time', async () => {
    const signals: AbortSignal[] = [];
    const getMachine = (_id: MachineId, { signal }: Call): Promise<never> => {
      signals.push(signal);
      return hang();
    };
    await using bench = await opened({ parts: { inventory: { getMachine } } });
    const fromMs = bench.clock.now();

    const error = await bench.clock.runUntil(failureOf(bench.session.inventory.getMachine(m1, bench.call())));

    expect([error.code, error.message]).to.deep.equal(['TIMED_OUT', 'inventory.getMachine on endpoint ep1 did not answer within 30 s']);
    expect(error.context).to.deep.equal({ endpoint: 'ep1', plugin: 'fake', method: 'inventory.getMachine', deadlineMs: 30_000 });
    expect(bench.clock.now() - fromMs).to.equal(30_000);
    expect(signals.map((signal) => signal.reason)).to.deep.equal([error]);
    expect(bench.clock.pending).to.deep.equal([]);
  });

  it('follows the deadlines of the endpoint, and a shorter one of the call', async () => {
    const bench = createBench({ parts: { inventory: { getMachine: hang } } });
    await using host = bench.host;
    const of = await host.open({ ...bench.endpoint, limits: { deadlineMs: { quick: 5000 } } });

    const byClass = await bench.clock.runUntil(failureOf(of.inventory.getMachine(m1, bench.call())));
    const byCall = await bench.clock.runUntil(failureOf(of.inventory.getMachine(m1, bench.call({ deadlineMs: 700 }))));

    expect(byClass.message).to.contain('did not answer within 5 s');
    expect(byCall.message).to.contain('did not answer within 700 ms');
  });

  it('tells the plugin how much time is left', async () => {
    const seen: number[] = [];
    const getMachine = async (_id: MachineId, { deadlineMs }: Call): Promise<Machine> => {
      seen.push(deadlineMs);
      return machine();
    };
    await using bench = await opened({ parts: { inventory: { getMachine } } });

    await bench.session.inventory.getMachine(m1, bench.call());
    await bench.session.inventory.getMachine(m1, bench.call({ deadlineMs: 1000 }));

    expect(seen).to.deep.equal([30_000, 1000]);
  });

  it('counts for a stream the time of the plugin alone, for each element', async () => {
    let given = 0;
    async function* slow(): AsyncGenerator<Extent> {
      for (; given < 3; given++) {
        await bench.clock.sleep(20_000);
        yield { offset: given * 512, length: 512 };
      }
      await hang();
    }
    await using bench = await opened({ parts: { source: { changedExtents: slow } } });
    const consume = async (): Promise<void> => {
      for await (const _extent of bench.source.changedExtents(s1, d1, 0, bench.call())) await bench.clock.sleep(100_000);
    };

    const error = await bench.clock.runUntil(failureOf(consume()));

    expect(given).to.equal(3);
    expect(error.message).to.equal('source.changedExtents on endpoint ep1 did not answer within 30 s');
  });

  it('lets a watch be silent for days', async () => {
    async function* watch(_cursor: string | undefined, call: Call) {
      yield { cursor: 'a', changed: [], gone: [] };
      await until(call.signal);
    }
    const stop = new AbortController();
    await using bench = await opened({ parts: { inventory: { watch } } });
    const watching = failureOf(collect(bench.session.inventory.watch!(undefined, bench.call({ signal: stop.signal }))));

    await bench.clock.advance(7 * 86_400_000);
    stop.abort('enough');

    expect(await watching).to.equal('enough');
  });

  it('opens the session anew after a question about state was never answered', async () => {
    const connect = async (nth: number) => session(nth === 1 ? { inventory: { getMachine: hang } } : {});
    await using bench = await opened({ connect });

    const error = await bench.clock.runUntil(failureOf(bench.session.inventory.getMachine(m1, bench.call())));

    expect(error.code).to.equal('TIMED_OUT');
    expect((await bench.session.inventory.getMachine(m1, bench.call())).id).to.equal(m1);
    expect(bench.connects()).to.equal(2);
  });
});

describe('the pipeline: places', () => {
  /** Counts who is inside at a time, and lets them go by hand. */
  const gate = () => {
    const inside: (() => void)[] = [];
    let most = 0;
    let entered = 0;
    const enter = async (): Promise<void> => {
      entered++;
      await new Promise<void>((resolve) => {
        inside.push(resolve);
        most = Math.max(most, inside.length);
      });
    };
    return {
      enter,
      open: async (): Promise<void> => {
        while (inside.length > 0) {
          inside.shift()!();
          await turn();
        }
      },
      seen: () => ({ most, entered }),
    };
  };

  it('asks the plugin at most eight things at a time, in the order of asking', async () => {
    const door = gate();
    const order: string[] = [];
    const getMachine = async (id: MachineId): Promise<Machine> => {
      order.push(id);
      await door.enter();
      return machine(id);
    };
    await using bench = await opened({ parts: { inventory: { getMachine } } });
    const ids = Array.from({ length: 30 }, (_, index) => `m${index}` as MachineId);
    const answers = Promise.all(ids.map((id) => bench.session.inventory.getMachine(id, bench.call())));
    await turn();
    expect(door.seen()).to.deep.equal({ most: 8, entered: 8 });

    await door.open();

    expect((await answers).map((answer) => answer.id)).to.deep.equal(ids);
    expect(order).to.deep.equal(ids);
    expect(door.seen()).to.deep.equal({ most: 8, entered: 30 });
  });

  it('keeps merges and data apart from calls, so that neither keeps the other waiting', async () => {
    await using bench = await opened({
      endpoint: { limits: { maxCalls: 1 } },
      parts: { source: { releaseSnapshot: hang, openReader: async () => reader({ read: hang }) } },
    });
    const open = await bench.source.openReader(s1, d1, bench.call());
    const stuck = [
      failureOf(bench.source.releaseSnapshot(s1, 'sealed', bench.call())),
      failureOf(open.read(0, new Uint8Array(512), bench.call())),
    ];

    expect((await bench.session.inventory.getMachine(m1, bench.call())).id).to.equal(m1);

    await bench.host.close('ep1');
    expect((await Promise.all(stuck)).map((error) => error.code)).to.deep.equal(['STATE_CONFLICT', 'STATE_CONFLICT']);
  });

  it('holds no place while the consumer of a stream is at work, so that it can make calls itself', async () => {
    await using bench = await opened({
      endpoint: { limits: { maxCalls: 1 } },
      parts: { source: { changedExtents: () => extents([0, 512], [512, 512]) } },
    });
    const consume = async (): Promise<number> => {
      let calls = 0;
      for await (const _extent of bench.source.changedExtents(s1, d1, 0, bench.call())) {
        await bench.session.inventory.getMachine(m1, bench.call());
        calls++;
      }
      return calls;
    };

    expect(await Promise.all([consume(), consume(), consume()])).to.deep.equal([2, 2, 2]);
  });

  it('sends a reader no more requests at a time than it takes', async () => {
    const door = gate();
    await using bench = await opened({ parts: { source: { openReader: async () => reader({ maxInFlight: 2, read: door.enter }) } } });
    const open = await bench.source.openReader(s1, d1, bench.call());
    const reads = Promise.all([0, 512, 1024, 1536, 2048].map((offset) => open.read(offset, new Uint8Array(512), bench.call())));
    await turn();
    await door.open();
    await reads;

    expect(door.seen()).to.deep.equal({ most: 2, entered: 5 });
  });

  it('leaves the queue at once on an abort, and gives its place to nobody twice', async () => {
    const door = gate();
    const asked: string[] = [];
    const getMachine = async (id: MachineId): Promise<Machine> => {
      asked.push(id);
      await door.enter();
      return machine(id);
    };
    const stop = new AbortController();
    await using bench = await opened({ endpoint: { limits: { maxCalls: 1 } }, parts: { inventory: { getMachine } } });
    const ask = (id: string, signal?: AbortSignal) =>
      bench.session.inventory.getMachine(id as MachineId, bench.call(signal === undefined ? {} : { signal }));
    const first = ask('a');
    const queued = failureOf(ask('b', stop.signal));
    const last = ask('c');
    await turn();

    stop.abort('enough');
    expect(await queued).to.equal('enough');
    await door.open();

    expect([(await first).id, (await last).id]).to.deep.equal(['a', 'c']);
    expect(asked).to.deep.equal(['a', 'c']);
  });

  it('closes the stream of a consumer that is aborted while it waits for a place', async () => {
    const stop = new AbortController();
    const closed = Promise.withResolvers<void>();
    const changedExtents = async function* () {
      try {
        yield { offset: 0, length: 512 };
        yield { offset: 512, length: 512 };
      } finally {
        closed.resolve();
      }
    };
    await using bench = await opened({
      endpoint: { limits: { maxCalls: 1 } },
      parts: { source: { changedExtents }, inventory: { getMachine: hang } },
    });
    const stream = bench.source.changedExtents(s1, d1, 0, bench.call({ signal: stop.signal }))[Symbol.asyncIterator]();
    await stream.next();
    const taken = failureOf(bench.session.inventory.getMachine(m1, bench.call()));
    const waiting = failureOf(stream.next());
    await turn();

    stop.abort('enough');

    expect(await waiting).to.equal('enough');
    await closed.promise;
    await bench.clock.runUntil(taken);
  });

  it('leaves no listener on the signal of the job', async () => {
    const { signal } = new AbortController();
    await using bench = await opened();

    await Promise.all(Array.from({ length: 20 }, () => bench.session.inventory.getMachine(m1, bench.call({ signal }))));
    await collect(bench.session.inventory.listMachines({}, bench.call({ signal })));

    expect(getEventListeners(signal, 'abort')).to.have.length(0);
  });

  it('carries ten thousand queued calls, and drops those of an aborted job at once', async () => {
    const stop = new AbortController();
    let asked = 0;
    const getMachine = async (id: MachineId): Promise<Machine> => {
      asked++;
      await turn();
      return machine(id);
    };
    await using bench = await opened({ parts: { inventory: { getMachine } } });
    const ask = (signal?: AbortSignal) => bench.session.inventory.getMachine(m1, bench.call(signal === undefined ? {} : { signal }));
    const kept = Array.from({ length: 5000 }, () => ask());
    const dropped = Array.from({ length: 10_000 }, () => failureOf(ask(stop.signal)));

    stop.abort('enough');
    expect(new Set(await Promise.all(dropped))).to.deep.equal(new Set(['enough']));
    await Promise.all(kept);

    expect(asked).to.equal(5000);
    expect(bench.clock.pending).to.deep.equal([]);
  });

  it('says so when a call of its own short deadline found no place', async () => {
    await using bench = await opened({ endpoint: { limits: { maxCalls: 1 } }, parts: { inventory: { getMachine: hang } } });
    const first = failureOf(bench.session.inventory.getMachine(m1, bench.call()));

    const fromMs = bench.clock.now();
    const error = await bench.clock.runUntil(failureOf(bench.session.inventory.getMachine(m1, bench.call({ deadlineMs: 2000 }))));

    expect(bench.clock.now() - fromMs).to.equal(2000);

    expect(error.message).to.equal('inventory.getMachine on endpoint ep1 found no free place within 2 s');
    await bench.clock.runUntil(first);
  });

  it('does not count the time in its own queue against the deadline of the class', async () => {
    const getMachine = async (id: MachineId): Promise<Machine> => {
      await bench.clock.sleep(25_000);
      return machine(id);
    };
    await using bench = await opened({ endpoint: { limits: { maxCalls: 1 } }, parts: { inventory: { getMachine } } });
    const all = Promise.all(['a', 'b', 'c'].map((id) => bench.session.inventory.getMachine(id as MachineId, bench.call())));

    expect(await bench.clock.runUntil(all)).to.have.length(3);
    expect(bench.traces.map((record) => [record.waitedMs, record.ms])).to.deep.equal([
      [0, 25_000],
      [25_000, 50_000],
      [50_000, 75_000],
    ]);
  });
});

describe('the pipeline: retries', () => {
  /** Fails so often, then answers. */
  const failing = (errors: readonly unknown[]) => {
    const operations: string[] = [];
    const times: number[] = [];
    const getMachine = async (id: MachineId, call: Call): Promise<Machine> => {
      times.push(bench?.clock.now() ?? 0);
      operations.push(call.operationId);
      if (operations.length <= errors.length) throw errors[operations.length - 1];
      return machine(id);
    };
    let bench: Bench | undefined;
    const on = (of: Bench): void => {
      bench = of;
    };
    return { getMachine, operations, times, on };
  };

  it('tries a busy endpoint again after growing pauses, with the same operation id', async () => {
    const plan = failing([busy(), busy(), busy()]);
    await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } }, random: () => 0 });
    plan.on(bench);
    const fromMs = bench.clock.now();

    await bench.clock.runUntil(bench.session.inventory.getMachine(m1, bench.call({ operationId: 'op-7' })));

    expect(plan.operations).to.deep.equal(['op-7', 'op-7', 'op-7', 'op-7']);
    expect(plan.times.map((ms) => ms - fromMs)).to.deep.equal([0, 250, 750, 1750]);
    expect(bench.traces.at(-1)).to.include({ attempts: 4, outcome: 'ok', method: 'inventory.getMachine', operationId: 'op-7' });
  });

  it('spreads the pauses by chance', async () => {
    const pauseWith = async (random: number): Promise<number> => {
      const plan = failing([busy()]);
      await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } }, random: () => random });
      const fromMs = bench.clock.now();
      await bench.clock.runUntil(bench.session.inventory.getMachine(m1, bench.call()));
      return bench.clock.now() - fromMs;
    };

    expect([await pauseWith(0), await pauseWith(0.5)]).to.deep.equal([250, 375]);
  });

  it('waits as long as the endpoint asks for', async () => {
    const plan = failing([busy(7000)]);
    await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } } });
    const fromMs = bench.clock.now();

    await bench.clock.runUntil(bench.session.inventory.getMachine(m1, bench.call()));

    expect(bench.clock.now() - fromMs).to.equal(7000);
  });

  it('gives up after a number of attempts with the error of the endpoint', async () => {
    const plan = failing(Array.from({ length: 9 }, () => busy()));
    await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } } });

    const error = await bench.clock.runUntil(failureOf(bench.session.inventory.getMachine(m1, bench.call())));

    expect([error.code, plan.operations.length]).to.deep.equal(['HOST_BUSY', 4]);
  });

  it('gives up at once when the pause would end after the deadline', async () => {
    const plan = failing([busy(3000)]);
    await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } } });

    const error = await failureOf(bench.session.inventory.getMachine(m1, bench.call({ deadlineMs: 2000 })));

    expect([error.code, plan.operations.length]).to.deep.equal(['HOST_BUSY', 1]);
  });

  it('stops pausing when the signal aborts', async () => {
    const stop = new AbortController();
    const plan = failing([busy(7000)]);
    await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } } });
    const waiting = failureOf(bench.session.inventory.getMachine(m1, bench.call({ signal: stop.signal })));
    await turn();

    stop.abort('enough');

    expect(await waiting).to.equal('enough');
    expect(bench.clock.pending).to.deep.equal([]);
  });

  for (const code of ['NOT_FOUND', 'TARGET_FULL', 'TRACKING_LOST', 'SNAPSHOT_GONE', 'FENCED', 'INTERNAL'] as const) {
    it(`does not try again after ${code}`, async () => {
      const plan = failing([new DrError(code, 'no')]);
      await using bench = await opened({ parts: { inventory: { getMachine: plan.getMachine } } });

      expect((await failureOf(bench.session.inventory.getMachine(m1, bench.call()))).code).to.equal(code);
      expect(plan.operations).to.have.length(1);
      expect(bench.connects()).to.equal(1);
    });
  }

  it('sends a creating call again under the same operation id after its answer was lost', async () => {
    const operations: string[] = [];
    const createSnapshot: SnapshotSource['createSnapshot'] = async (_ids, _want, call) => {
      operations.push(call.operationId);
      if (operations.length === 1) throw lost();
      return snapshot(call.operationId);
    };
    await using bench = await opened({ parts: { source: { createSnapshot } } });

    const made = await bench.source.createSnapshot(
      [m1],
      { consistency: 'crash', orElse: 'crash', since: new Map() },
      bench.call({ operationId: 'op-9' }),
    );

    expect(made.operationId).to.equal('op-9');
    expect(operations).to.deep.equal(['op-9', 'op-9']);
    expect(bench.connects()).to.equal(2);
  });

  it('opens a stream again, but never one that has given something', async () => {
    let openings = 0;
    const changedExtents = (): AsyncIterable<Extent> =>
      (async function* () {
        openings++;
        if (openings === 1) throw lost();
        yield { offset: 0, length: 512 };
        throw lost();
      })();
    await using bench = await opened({ parts: { source: { changedExtents } } });
    const seen: number[] = [];
    const consume = async (): Promise<void> => {
      for await (const extent of bench.source.changedExtents(s1, d1, 0, bench.call())) seen.push(extent.offset);
    };

    expect((await failureOf(consume())).code).to.equal('CONNECTION_LOST');
    expect([openings, seen]).to.deep.equal([2, [0]]);
  });

  it('does not repeat requests on an open disk', async () => {
    let writes = 0;
    const write = async (): Promise<void> => {
      writes++;
      throw busy();
    };
    await using bench = await opened({ parts: { target: { openReplicaDisk: async () => replicaDisk({ write }) } } });
    const disk = await bench.session.target!.openReplicaDisk(m1, d1, bench.call({ fence }));

    expect((await failureOf(disk.write(0, new Uint8Array(512), bench.call({ fence })))).code).to.equal('HOST_BUSY');
    expect(writes).to.equal(1);
    await disk[Symbol.asyncDispose]();
  });
});

describe('the pipeline: a session that is lost', () => {
  it('is opened anew once for all calls that it took with it', async () => {
    const die = Promise.withResolvers<never>();
    const connect = async (nth: number) => session(nth === 1 ? { inventory: { getMachine: () => die.promise } } : {});
    await using bench = await opened({ connect });
    const answers = Promise.all(Array.from({ length: 8 }, () => bench.session.inventory.getMachine(m1, bench.call())));
    await turn();

    die.reject(lost());

    expect(await answers).to.have.length(8);
    expect(bench.connects()).to.equal(2);
    expect(bench.traces.map((record) => record.attempts)).to.deep.equal(Array.from({ length: 8 }, () => 2));
  });

  it('is not given up by a call that was still on the one before it', async () => {
    const straggler = Promise.withResolvers<never>();
    const connect = async (nth: number) =>
      session({
        inventory: {
          getMachine: async (id) => {
            if (nth > 1) return machine(id);
            return id === 'slow' ? straggler.promise : Promise.reject(lost());
          },
        },
      });
    await using bench = await opened({ connect });
    const slow = bench.session.inventory.getMachine('slow' as MachineId, bench.call());
    await bench.session.inventory.getMachine(m1, bench.call());

    straggler.reject(lost());

    expect((await slow).id).to.equal('slow');
    expect(bench.connects()).to.equal(2);
  });

  it('is not opened in a loop when each new one is lost as well', async () => {
    await using bench = await opened({ parts: { inventory: { getMachine: () => Promise.reject(lost()) } } });

    const all = Array.from({ length: 8 }, () => failureOf(bench.session.inventory.getMachine(m1, bench.call())));
    const errors = await bench.clock.runUntil(Promise.all(all));

    expect(new Set(errors.map((error) => error.code))).to.deep.equal(new Set(['CONNECTION_LOST']));
    // Eight callers with three retries each; how many of them share a session depends on how their pauses fall.
    expect(bench.connects()).to.be.at.most(1 + 8 * 3);
  });

  it('passes on why it cannot be opened, and is opened by the next call', async () => {
    let up = true;
    const connect = async (nth: number) => {
      if (!up) throw new DrError('CONNECTION_REFUSED', 'nobody listens');
      return session(nth === 1 ? { inventory: { getMachine: () => Promise.reject(lost()) } } : {});
    };
    await using bench = await opened({ connect });
    up = false;

    const error = await bench.clock.runUntil(failureOf(bench.session.inventory.getMachine(m1, bench.call())));
    expect([error.code, error.context.method]).to.deep.equal(['CONNECTION_REFUSED', 'connect']);

    up = true;
    expect((await bench.session.inventory.getMachine(m1, bench.call())).id).to.equal(m1);
  });

  it('lets the readers of others go on for a while, then closes it', async () => {
    const closed: number[] = [];
    const connect = async (nth: number) =>
      session({
        dispose: async () => void closed.push(nth),
        inventory: { getMachine: async (id) => (nth === 1 ? Promise.reject(new DrError('MACHINE_MOVED', 'gone')) : machine(id)) },
      });
    await using bench = await opened({ connect });
    const open = await bench.source.openReader(s1, d1, bench.call());

    await bench.session.inventory.getMachine(m1, bench.call());
    await open.read(0, new Uint8Array(512), bench.call());
    expect(closed).to.deep.equal([]);

    await open[Symbol.asyncDispose]();
    await turn();
    expect(closed).to.deep.equal([1]);
  });

  it('is closed under a reader that stays open too long', async () => {
    const connect = async (nth: number) =>
      session({ inventory: { getMachine: async (id) => (nth === 1 ? Promise.reject(lost()) : machine(id)) } });
    await using bench = await opened({ connect });
    const open = await bench.source.openReader(s1, d1, bench.call());
    await bench.session.inventory.getMachine(m1, bench.call());

    await bench.clock.advance(30_000);

    expect((await failureOf(open.read(0, new Uint8Array(512), bench.call()))).code).to.equal('CONNECTION_LOST');
    await open[Symbol.asyncDispose]();
  });

  it('may come back with fewer facets: then the call says which is missing', async () => {
    const connect = async (nth: number) =>
      nth === 1
        ? session({ inventory: { getMachine: () => Promise.reject(lost()) } })
        : session({ power: null, capabilities: { power: [] } });
    await using bench = await opened({ connect });
    await bench.session.inventory.getMachine(m1, bench.call()).catch(() => {});

    const error = await failureOf(bench.session.power!.set(m1, 'on', bench.call({ fence })));

    expect([error.code, error.message]).to.deep.equal([
      'CAPABILITY_MISSING',
      'endpoint ep1 no longer offers power.set since its session was opened anew',
    ]);
    expect(bench.session.capabilities.power).to.deep.equal([]);
  });
});

describe('the pipeline: handles', () => {
  it('disposes a reader once, and neither hangs nor fails when the plugin does', async () => {
    let disposed = 0;
    const hanging: Partial<DiskReader> = {
      [Symbol.asyncDispose]: () => {
        disposed++;
        return hang();
      },
    };
    const failing: Partial<DiskReader> = { [Symbol.asyncDispose]: () => Promise.reject(new Error('cannot detach')) };
    const kinds = [hanging, failing];
    await using bench = await opened({ parts: { source: { openReader: async () => reader(kinds.shift()) } } });
    const first = await bench.source.openReader(s1, d1, bench.call());
    const second = await bench.source.openReader(s1, d1, bench.call());

    await bench.clock.runUntil(Promise.all([first[Symbol.asyncDispose](), first[Symbol.asyncDispose]()]));
    await second[Symbol.asyncDispose]();

    expect(disposed).to.equal(1);
    expect(bench.runtime.log.entries.filter((entry) => entry.level === 'warn').map((entry) => entry.message)).to.deep.equal([
      'a reader did not close cleanly',
      'a reader did not close cleanly',
    ]);
  });

  it('refuses requests after the endpoint was closed, and says that it was', async () => {
    await using bench = await opened();
    const open = await bench.source.openReader(s1, d1, bench.call());
    await bench.host.close('ep1');

    expect((await failureOf(open.read(0, new Uint8Array(512), bench.call()))).message).to.equal('endpoint ep1 is closed');
    await open[Symbol.asyncDispose]();
  });

  it('carries a digest stream, and closes it when its consumer stops', async () => {
    let left = 0;
    const digests = async function* () {
      try {
        for (let offset = 0; ; offset += 4096) yield { offset, sha256: new Uint8Array(32) };
      } finally {
        left++;
      }
    };
    await using bench = await opened({ parts: { source: { openReader: async () => reader({ digests }) } } });
    await using open = await bench.source.openReader(s1, d1, bench.call());

    for await (const { offset } of open.digests!(4096, 0, bench.call())) if (offset === 8192) break;

    expect(left).to.equal(1);
    expect(bench.traces.at(-1)).to.include({ method: 'reader.digests', outcome: 'stopped' });
  });
});

describe('the pipeline: traces', () => {
  it('tells of each call once, with its outcome', async () => {
    const stop = new AbortController();
    const getMachine = async (id: MachineId, { signal }: Call): Promise<Machine> => {
      if (id === 'gone') throw new DrError('NOT_FOUND', 'no machine');
      if (id === 'slow') await until(signal);
      return machine(id);
    };
    await using bench = await opened({ parts: { inventory: { getMachine } } });
    const ask = (id: string, signal?: AbortSignal) =>
      bench.session.inventory.getMachine(id as MachineId, bench.call(signal === undefined ? {} : { signal })).catch(() => {});

    await ask('m1');
    await ask('gone');
    const slow = ask('slow', stop.signal);
    await turn();
    stop.abort('enough');
    await slow;
    await collect(bench.session.inventory.listMachines({}, bench.call()));

    expect(bench.traces.map((record) => [record.endpoint, record.plugin, record.method, record.outcome])).to.deep.equal([
      ['ep1', 'fake', 'inventory.getMachine', 'ok'],
      ['ep1', 'fake', 'inventory.getMachine', 'NOT_FOUND'],
      ['ep1', 'fake', 'inventory.getMachine', 'ABORTED'],
      ['ep1', 'fake', 'inventory.listMachines', 'ok'],
    ]);
    expect(bench.runtime.log.entries.filter((entry) => entry.message === 'endpoint call')).to.have.length(4);
  });
});
