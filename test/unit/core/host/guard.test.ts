import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  type Call,
  type DiskId,
  type DiskReader,
  DrError,
  type Extent,
  type ForkId,
  type ForkRequest,
  type Machine,
  type MachineId,
  type Pass,
  type Placed,
  type PointRequest,
  type Session,
  type Snapshot,
  type SnapshotId,
  type SnapshotSource,
  type StreamingSource,
} from '../../../../core/contract/index.ts';
import type { DiskSizes } from '../../../../core/host/answers.ts';
import { createCall } from '../../../../core/host/call.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor, Secret } from '../../../../core/host/secret.ts';
import { createTestRuntime } from '../../../support/runtime.ts';
import {
  collect,
  DISK_BYTES,
  d1,
  extents,
  FULL,
  failureOf,
  fence,
  hang,
  m1,
  machine,
  n1,
  type Parts,
  placed,
  reader,
  replicaDisk,
  s1,
  session,
  snapshot,
} from './fake-plugin.ts';

const runtime = createTestRuntime();
const call = (more: Parameters<typeof createCall>[1] = {}): Call => createCall(runtime, { operationId: 'op-1', fence, ...more });

const guardOf = (inner: Session, secrets: readonly Secret[] = [], sizes: DiskSizes = new Map()): Session => {
  const manifest = { id: 'fake', displayName: 'Fake', contractVersion: 1, config: [], capabilities: FULL } as const;
  return guardSession(inner, { endpoint: 'ep1', manifest, redactor: new Redactor(secrets), sizes });
};
const guarded = (parts: Parts = {}): Session => guardOf(session(parts));
const sourceOf = (of: Session): SnapshotSource => {
  if (of.source?.kind !== 'snapshot') throw new Error('no snapshot source');
  return of.source;
};
const want: PointRequest = { consistency: 'crash', orElse: 'crash', since: new Map() };
const violated = async (promise: Promise<unknown>): Promise<string> => {
  const error = await failureOf(promise);
  expect(error.code).to.equal('CONTRACT_VIOLATED');
  expect(error.context).to.include({ plugin: 'fake', endpoint: 'ep1' });
  return error.message;
};

describe('the guard: the shape of a session', () => {
  const lies: readonly [string, (honest: Session) => unknown, string][] = [
    ['lacks the inventory', (honest) => ({ ...honest, inventory: undefined }), 'without the facet inventory'],
    [
      'lacks a required method',
      (honest) => ({ ...honest, inventory: { ...honest.inventory, getMachine: undefined } }),
      'without the method inventory.getMachine',
    ],
    ['has a source of no kind', (honest) => ({ ...honest, source: { ...honest.source, kind: 'magic' } }), 'a source of the kind magic'],
    ['promises power that it lacks', (honest) => ({ ...honest, power: undefined }), 'promises power without the facet power'],
    ['promises tracking that it lacks', (honest) => ({ ...honest, source: undefined }), 'promises tracking without the facet source'],
    [
      'promises a wider atomicity than its manifest',
      (honest) => ({ ...honest, capabilities: { ...FULL, atomicity: 'group' } }),
      'with atomicity group, more than its manifest states',
    ],
    [
      'promises more power than its manifest',
      (honest) => ({ ...honest, capabilities: { ...FULL, power: ['on', 'off', 'shutdown'] } }),
      'with power on,off,shutdown, more',
    ],
    [
      'promises more snapshots than its manifest',
      (honest) => ({ ...honest, capabilities: { ...FULL, maxSnapshotsPerMachine: 5 } }),
      'with maxSnapshotsPerMachine 5, more',
    ],
    ['promises a test network', (honest) => ({ ...honest, capabilities: { ...FULL, testNetwork: 'host' } }), 'with testNetwork host, more'],
    ['has no capabilities', (honest) => ({ ...honest, capabilities: undefined }), 'wrong shape'],
    ['is nothing', () => undefined, 'wrong shape'],
  ];
  for (const [what, lie, message] of lies) {
    it(`refuses a session that ${what}`, async () => {
      expect(await violated((async () => guardOf(lie(session()) as Session))())).to.contain(message);
    });
  }

  it('accepts a session that promises less than its manifest, and shows no facet that is not there', () => {
    const less = guardOf({ ...session({ power: null, capabilities: { power: [], atomicity: 'disk' } }) });

    expect(less.power).to.equal(undefined);
    expect(less.network).to.equal(undefined);
    expect(less.inventory.watch).to.equal(undefined);
    expect(less.capabilities.atomicity).to.equal('disk');
  });

  it('takes methods from a class as well, bound to their object', async () => {
    class Inventory {
      readonly #name = 'of a class';
      async *listMachines(): AsyncGenerator<Machine> {}
      async getMachine(id: MachineId): Promise<Machine> {
        return { ...machine(id), name: this.#name };
      }
      async *listPlaces(): AsyncGenerator<never> {}
      async checkProtectable(): Promise<readonly []> {
        return [];
      }
    }

    const answer = await guardOf({ ...session(), inventory: new Inventory() }).inventory.getMachine(m1, call());

    expect(answer.name).to.equal('of a class');
  });
});

describe('the guard: calls', () => {
  it('refuses a call that needs an epoch and has none, before the plugin is asked', async () => {
    let asked = 0;
    const ask = async () => void asked++;
    const of = guarded({ power: { set: ask }, target: { deleteReplicaDisk: ask } });
    const { fence: _none, ...unfenced } = call();

    expect(await violated(of.power!.set(m1, 'on', unfenced))).to.equal('plugin fake: power.set was called without a fencing epoch');
    expect(await violated(of.target!.deleteReplicaDisk(m1, d1, unfenced))).to.contain('without a fencing epoch');
    expect(asked).to.equal(0);

    await of.power!.set(m1, 'on', call());
    expect(asked).to.equal(1);
  });

  it('refuses empty ids, a power that is not offered, and a call without a call', async () => {
    const of = guarded();

    expect(await violated(of.inventory.getMachine('' as MachineId, call()))).to.contain('an empty id');
    expect(await violated(of.power!.set(m1, 'shutdown', call()))).to.contain('was called with shutdown, which the session does not offer');
    expect(await violated(of.inventory.getMachine(m1, undefined as unknown as Call))).to.contain('without a call');
  });

  it('wraps whatever a plugin throws, with the cause, and says where', async () => {
    const cause = new TypeError('undefined is not a function');
    const throwing: readonly [() => Promise<never>, RegExp, unknown][] = [
      [() => Promise.reject(cause), /inventory\.getMachine failed on endpoint ep1: undefined is not a function/, cause],
      [() => Promise.reject('just a string'), /failed on endpoint ep1: just a string/, 'just a string'],
      [() => Promise.reject(undefined), /failed on endpoint ep1: undefined/, undefined],
      [
        () => {
          throw cause;
        },
        /undefined is not a function/,
        cause,
      ],
    ];
    for (const [getMachine, message, expected] of throwing) {
      const error = await failureOf(guarded({ inventory: { getMachine } }).inventory.getMachine(m1, call()));

      expect(error).to.be.instanceOf(DrError);
      expect([error.code, error.context]).to.deep.equal(['INTERNAL', { plugin: 'fake', endpoint: 'ep1', method: 'inventory.getMachine' }]);
      expect(error.message).to.match(message);
      expect(error.cause).to.equal(expected);
    }
  });

  it('keeps code, message, hint and context of an error of the contract, also one of another copy of the contract', async () => {
    const own = new DrError('HOST_BUSY', 'too many tasks', { hint: 'wait', context: { retryAfterMs: 5, machine: 'm1' } });
    const foreign = Object.assign(new Error('too many tasks'), {
      name: 'DrError',
      code: 'HOST_BUSY',
      hint: 'wait',
      context: { retryAfterMs: 5, machine: 'm1', password: 'x' },
    });
    for (const thrown of [own, foreign]) {
      const error = await failureOf(guarded({ inventory: { getMachine: () => Promise.reject(thrown) } }).inventory.getMachine(m1, call()));

      expect(error).to.be.instanceOf(DrError);
      expect([error.code, error.retry, error.message, error.hint]).to.deep.equal(['HOST_BUSY', 'backoff', 'too many tasks', 'wait']);
      expect(error.context).to.deep.equal({
        plugin: 'fake',
        endpoint: 'ep1',
        method: 'inventory.getMachine',
        retryAfterMs: 5,
        machine: 'm1',
      });
    }
  });

  it('gives no result after an abort: the reason comes at once, also from a plugin that ignores the signal', async () => {
    for (const getMachine of [hang, async () => machine()]) {
      const controller = new AbortController();
      const answer = failureOf(guarded({ inventory: { getMachine } }).inventory.getMachine(m1, call({ signal: controller.signal })));
      controller.abort('enough');

      expect(await answer).to.equal('enough');
    }
  });

  it('does not ask the plugin when the signal has aborted before', async () => {
    let asked = 0;
    const of = guarded({ inventory: { getMachine: async () => machine(`m${++asked}` as MachineId) } });

    expect(await failureOf(of.inventory.getMachine(m1, call({ signal: AbortSignal.abort('enough') })))).to.equal('enough');
    expect(asked).to.equal(0);
  });

  it('closes a reader that is opened after the abort', async () => {
    const controller = new AbortController();
    const opening = Promise.withResolvers<DiskReader>();
    const closed = Promise.withResolvers<void>();
    const of = guarded({ source: { openReader: () => opening.promise } });
    const answer = failureOf(sourceOf(of).openReader(s1, d1, call({ signal: controller.signal })));
    controller.abort('enough');
    expect(await answer).to.equal('enough');

    opening.resolve(reader({ [Symbol.asyncDispose]: async () => closed.resolve() }));

    await closed.promise;
  });

  it('ends what is under way when the session closes, refuses what comes after, and disposes the plugin once', async () => {
    let disposed = 0;
    let asked = 0;
    const getMachine = () => {
      asked++;
      return hang();
    };
    const of = guarded({ inventory: { getMachine }, dispose: async () => void disposed++ });
    const waiting = failureOf(of.inventory.getMachine(m1, call()));

    await Promise.all([of[Symbol.asyncDispose](), of[Symbol.asyncDispose]()]);

    expect((await waiting).code).to.equal('CONNECTION_LOST');
    expect((await failureOf(of.inventory.getMachine(m1, call()))).code).to.equal('CONNECTION_LOST');
    expect([disposed, asked]).to.deep.equal([1, 1]);
  });

  it('closes with the session the readers and streams that were left open', async () => {
    const closed: string[] = [];
    async function* leaky(): AsyncGenerator<Extent> {
      try {
        yield { offset: 0, length: 512 };
        yield { offset: 512, length: 512 };
      } finally {
        closed.push('stream');
      }
    }
    const openReader = async () => reader({ [Symbol.asyncDispose]: async () => void closed.push('reader') });
    const of = guarded({ source: { openReader, changedExtents: leaky } });
    const stream = sourceOf(of).changedExtents(s1, d1, 0, call())[Symbol.asyncIterator]();
    await stream.next();
    const open = await sourceOf(of).openReader(s1, d1, call());

    await of[Symbol.asyncDispose]();

    expect(closed.sort()).to.deep.equal(['reader', 'stream']);
    expect((await failureOf(open.read(0, new Uint8Array(512), call()))).code).to.equal('CONNECTION_LOST');
    expect((await failureOf(stream.next())).code).to.equal('CONNECTION_LOST');
  });

  it('masks the secrets of the endpoint in errors and their causes', async () => {
    const thrown = new DrError('AUTH_REJECTED', 'login u:hunter2 failed', {
      hint: 'not hunter2',
      context: { name: 'hunter2' },
      cause: new Error('POST https://u:hunter2@vc/'),
    });
    const of = guardOf(session({ inventory: { getMachine: () => Promise.reject(thrown) } }), [new Secret('hunter2')]);

    const error = await failureOf(of.inventory.getMachine(m1, call()));

    expect(error.message).to.equal('login u:*** failed');
    expect(
      JSON.stringify([error.message, error.hint, error.context, error.stack, String(error.cause), (error.cause as Error).stack]),
    ).not.to.contain('hunter2');
  });
});

describe('the guard: streams', () => {
  /** A stream that counts what is done to it. */
  const counting = (steps: readonly (() => Promise<IteratorResult<Extent>>)[]) => {
    const seen = { next: 0, return: 0 };
    const stream: AsyncIterable<Extent> = {
      [Symbol.asyncIterator]: () => ({
        next: () => steps[seen.next++]?.() ?? Promise.resolve({ done: true, value: undefined }),
        return: async () => {
          seen.return++;
          return { done: true, value: undefined };
        },
      }),
    };
    return { seen, stream };
  };
  const give = (offset: number) => async (): Promise<IteratorResult<Extent>> => ({ done: false, value: { offset, length: 512 } });
  const over = (stream: AsyncIterable<Extent>, signal?: AbortSignal): AsyncIterable<Extent> =>
    sourceOf(guarded({ source: { changedExtents: () => stream } })).changedExtents(s1, d1, 0, call(signal === undefined ? {} : { signal }));

  it("closes the plugin's stream exactly once when the consumer stops early", async () => {
    const { seen, stream } = counting([give(0), give(512), give(1024)]);

    for await (const extent of over(stream)) if (extent.offset === 512) break;

    expect(seen).to.deep.equal({ next: 2, return: 1 });
  });

  it('does not close one that ended or threw by itself', async () => {
    const ended = counting([give(0)]);
    const threw = counting([give(0), () => Promise.reject(new DrError('TRACKING_LOST', 'reset'))]);

    expect(await collect(over(ended.stream))).to.have.length(1);
    expect((await failureOf(collect(over(threw.stream)))).code).to.equal('TRACKING_LOST');
    expect([ended.seen.return, threw.seen.return]).to.deep.equal([0, 0]);
  });

  it('closes one that breaks the contract', async () => {
    const { seen, stream } = counting([give(512), give(0)]);

    await violated(collect(over(stream)));

    expect(seen).to.deep.equal({ next: 2, return: 1 });
  });

  it('rejects at once when the signal aborts while the plugin hangs, and closes the stream', async () => {
    const controller = new AbortController();
    const { seen, stream } = counting([give(0), hang]);
    const reading = failureOf(collect(over(stream, controller.signal)));
    await new Promise((resolve) => setImmediate(resolve));

    controller.abort('enough');

    expect(await reading).to.equal('enough');
    expect(seen).to.deep.equal({ next: 2, return: 1 });
  });

  it('never asks the plugin for a stream that nobody reads', () => {
    let opened = 0;
    const of = guarded({
      source: {
        changedExtents: () => {
          opened++;
          return extents();
        },
      },
    });

    sourceOf(of).changedExtents(s1, d1, 0, call());

    expect(opened).to.equal(0);
  });

  it('refuses what is no stream', async () => {
    const promise = Promise.resolve([]) as unknown as AsyncIterable<Extent>;

    expect(await violated(collect(over(promise)))).to.contain('gave no stream');
  });

  const bad: readonly [string, readonly unknown[], string][] = [
    [
      'that overlap',
      [
        { offset: 0, length: 1024 },
        { offset: 512, length: 512 },
      ],
      'gave the extent 512+512, which begins before 1024',
    ],
    [
      'out of order',
      [
        { offset: 4096, length: 512 },
        { offset: 0, length: 512 },
      ],
      'gave the extent 0+512, which begins before 4608',
    ],
    ['of no length', [{ offset: 0, length: 0 }], 'gave the extent 0+0'],
    ['of a negative offset', [{ offset: -512, length: 512 }], 'gave the extent -512+512'],
    ['of a fraction', [{ offset: 0, length: 0.5 }], 'gave the extent 0+0.5'],
    ['of no numbers', [{ offset: '0', length: 512 }], 'gave the extent 0+512'],
    [
      'beyond the end of the disk',
      [{ offset: DISK_BYTES - 512, length: 1024 }],
      `gave the extent ${DISK_BYTES - 512}+1024 on a disk of ${DISK_BYTES} bytes`,
    ],
    ['that are none', [undefined], 'wrong shape'],
  ];
  for (const [what, list, message] of bad) {
    it(`refuses extents ${what}, with the numbers`, async () => {
      async function* lying(): AsyncGenerator<Extent> {
        yield* list as Extent[];
      }
      const source = sourceOf(guarded({ source: { changedExtents: lying, allocatedExtents: lying } }));
      await source.createSnapshot([m1], want, call());

      expect(await violated(collect(source.changedExtents(s1, d1, 0, call())))).to.contain(
        `source.changedExtents ${message.startsWith('wrong') ? 'gave an answer of the wrong shape' : message}`,
      );
      expect(await violated(collect(source.allocatedExtents(s1, d1, 0, call())))).to.contain('source.allocatedExtents gave');
    });
  }

  it('knows the sizes from a list of snapshots as well, and forgets them with the snapshot', async () => {
    const sizes: DiskSizes = new Map();
    const listSnapshots = async function* () {
      yield snapshot('op-1');
    };
    const changedExtents = () => extents([DISK_BYTES, 512]);
    const source = sourceOf(guardOf(session({ source: { listSnapshots, changedExtents } }), [], sizes));
    await collect(source.listSnapshots(call()));

    expect(await violated(collect(source.changedExtents(s1, d1, 0, call())))).to.contain(`on a disk of ${DISK_BYTES} bytes`);
    await source.releaseSnapshot(s1, 'sealed', call());
    expect(sizes.size).to.equal(0);
  });

  it('refuses an extent before the offset that was asked for, and an offset beyond the disk', async () => {
    const source = sourceOf(guarded({ source: { changedExtents: () => extents([0, 512]) } }));
    await source.createSnapshot([m1], want, call());

    expect(await violated(collect(source.changedExtents(s1, d1, 512, call())))).to.contain('begins before 512');
    expect(await violated(collect(source.changedExtents(s1, d1, DISK_BYTES + 512, call())))).to.contain('was called with offset');
  });

  it('refuses a stream of another kind of thing than was asked for', async () => {
    const places = async function* () {
      yield { id: 'ds1', kind: 'storage', name: 'store' } as never;
    };

    expect(await violated(collect(guarded({ inventory: { listPlaces: places } }).inventory.listPlaces('network', call())))).to.contain(
      'gave storage ds1, not a network',
    );
  });
});

describe('the guard: readers and disks', () => {
  const open = async (more: Partial<DiskReader>): Promise<DiskReader> =>
    sourceOf(guarded({ source: { openReader: async () => reader(more) } })).openReader(s1, d1, call());

  const ranges: readonly [number, number, string][] = [
    [-512, 512, '-512+512'],
    [100, 512, 'not aligned to 512'],
    [0, 100, 'not aligned to 512'],
    [0, 0, '0+0'],
    [0, 131_072, '131072 bytes where 65536 is the most'],
    [DISK_BYTES, 512, `of a disk of ${DISK_BYTES} bytes`],
    [DISK_BYTES - 512, 1024, `of a disk of ${DISK_BYTES} bytes`],
    [Number.NaN, 512, 'NaN'],
  ];
  for (const [offset, length, message] of ranges) {
    it(`refuses the range ${offset}+${length} before the plugin is asked, in reads and in writes`, async () => {
      let asked = 0;
      const ask = async () => void asked++;
      const disk = replicaDisk({ read: ask, write: ask, writeZeroes: ask });
      const guardedDisk = await guarded({ target: { openReplicaDisk: async () => disk } }).target!.openReplicaDisk(m1, d1, call());
      const block = new Uint8Array(length);

      expect(await violated(guardedDisk.read(offset, block, call()))).to.contain(message);
      expect(await violated(guardedDisk.write(offset, block, call()))).to.contain(message);
      expect(await violated(guardedDisk.writeZeroes(offset, length, call()))).to.contain(message);
      expect(asked).to.equal(0);
    });
  }

  it('lets the last block of an odd disk be short', async () => {
    const odd = await open({ sizeBytes: 1000 });

    await odd.read(512, new Uint8Array(488), call());
    await violated(odd.read(0, new Uint8Array(488), call()));
  });

  it('refuses a short read, and one that gave the buffer away', async () => {
    const short = await open({ read: (async () => 100) as unknown as DiskReader['read'] });
    const thief = await open({ read: async (_offset, into) => void structuredClone(into, { transfer: [into.buffer as ArrayBuffer] }) });

    expect(await violated(short.read(0, new Uint8Array(512), call()))).to.contain('filled 100 of 512 bytes at 0');
    expect(await violated(thief.read(0, new Uint8Array(512), call()))).to.contain('filled 0 of 512 bytes at 0');
  });

  it('refuses impossible sizes, and another size than the snapshot stated; what was opened is closed', async () => {
    let closed = 0;
    const close = { [Symbol.asyncDispose]: async () => void closed++ };
    for (const [more, message] of [
      [{ sizeBytes: 0 }, 'a disk of 0 bytes'],
      [{ alignmentBytes: 0 }, 'an alignment of 0'],
      [{ maxRequestBytes: 100 }, 'requests of 100 bytes'],
      [{ maxInFlight: 0.5 }, '0.5 requests at a time'],
      [{ read: undefined }, 'without the method reader.read'],
    ] as const) {
      expect(await violated(open({ ...more, ...close } as Partial<DiskReader>))).to.contain(message);
    }
    const source = sourceOf(guarded({ source: { openReader: async () => reader({ sizeBytes: 4096, ...close }) } }));
    await source.createSnapshot([m1], want, call());
    expect(await violated(source.openReader(s1, d1, call()))).to.contain(
      `reads 4096 bytes of disk d1, whose snapshot states ${DISK_BYTES}`,
    );

    expect(closed).to.equal(6);
  });

  it('needs an epoch for every write, and none for a read', async () => {
    const disk = await guarded().target!.openReplicaDisk(m1, d1, call());
    const { fence: _none, ...unfenced } = call();

    await disk.read(0, new Uint8Array(512), unfenced);
    expect(await violated(disk.write(0, new Uint8Array(512), unfenced))).to.contain('disk.write was called without a fencing epoch');
    expect(await violated(disk.flush(unfenced))).to.contain('disk.flush was called without a fencing epoch');
  });

  it('is closed once, rejects what is under way, and refuses what comes after', async () => {
    let closed = 0;
    const one = await open({ read: hang, [Symbol.asyncDispose]: async () => void closed++ });
    const waiting = failureOf(one.read(0, new Uint8Array(512), call()));

    await Promise.all([one[Symbol.asyncDispose](), one[Symbol.asyncDispose]()]);

    expect([(await waiting).code, (await failureOf(one.read(0, new Uint8Array(512), call()))).code, closed]).to.deep.equal([
      'STATE_CONFLICT',
      'STATE_CONFLICT',
      1,
    ]);
  });

  it('checks digests: each block once, in order, whole, to the end of the disk', async () => {
    const block = DISK_BYTES / 2;
    const digest = (offset: number, bytes = 32) => ({ offset, sha256: new Uint8Array(bytes) });
    const digestsOf = async (list: readonly ReturnType<typeof digest>[]): Promise<unknown[]> => {
      const one = await open({
        digests: async function* () {
          yield* list;
        },
      });
      return collect(one.digests!(block, 0, call()));
    };

    expect(await digestsOf([digest(0), digest(block)])).to.have.length(2);
    expect(await violated(digestsOf([digest(0)]))).to.contain(`ended at ${block} of ${DISK_BYTES} bytes`);
    expect(await violated(digestsOf([digest(block)]))).to.contain(`gave the digest of block ${block} where 0 was due`);
    expect(await violated(digestsOf([digest(0, 20)]))).to.contain('a digest of 20 bytes');
  });
});

describe('the guard: answers', () => {
  const other = 'd2' as DiskId;

  const snapshots: readonly [string, Partial<Snapshot>, string][] = [
    ['without the definition of a machine', { specs: new Map() }, 'lacks the definition of machine m1'],
    ['without an asked machine', { machines: [], disks: [] }, 'lacks machine m1'],
    ['with a machine that was not asked for', { machines: [m1, 'm2' as MachineId] }, 'has machine m2, which was not asked for'],
    ['without a disk of a machine', { disks: [] }, 'lacks disk d1 of machine m1'],
    [
      'with one disk twice',
      { disks: [1, 2].map(() => ({ disk: d1, machine: m1, sizeBytes: DISK_BYTES })) },
      'gave disk d1 of snapshot s1 twice',
    ],
    ['of another operation', { operationId: 'op-2' }, 'has the operation id op-2, not op-1'],
    ['without an id', { id: '' as SnapshotId }, 'gave a snapshot without an id'],
    ['of no time', { takenAt: 'yesterday' }, 'the time yesterday'],
    ['with a disk of no size', { disks: [{ disk: d1, machine: m1, sizeBytes: 0 }] }, 'the size 0'],
  ];
  for (const [what, more, message] of snapshots) {
    it(`refuses a snapshot ${what}`, async () => {
      const createSnapshot = async (): Promise<Snapshot> => snapshot('op-1', more);

      expect(await violated(sourceOf(guarded({ source: { createSnapshot } })).createSnapshot([m1], want, call()))).to.contain(message);
    });
  }

  it('refuses a crash-consistent snapshot where that was to be refused, and a fall-back without a reason', async () => {
    const of = sourceOf(guarded());
    const asked = (orElse: 'crash' | 'refuse') => of.createSnapshot([m1], { ...want, consistency: 'application', orElse }, call());

    expect(await violated(asked('refuse'))).to.contain('crash-consistent where that was to be refused');
    expect(await violated(asked('crash'))).to.contain('without a reason');
  });

  const twoDisks = { ...machine().spec, disks: [...machine().spec.disks, { ...machine().spec.disks[0]!, id: other }] };
  const wide = { ...machine(), spec: twoDisks };
  const placements: readonly [string, Partial<Placed>, string][] = [
    ['that leaves a disk unmapped', { machine: wide, disks: new Map([[d1, d1]]) }, 'does not say which disk of machine m1 stands for d2'],
    [
      'that maps two disks to one',
      {
        machine: wide,
        disks: new Map([
          [d1, d1],
          [other, d1],
        ]),
      },
      'maps two of the disks to d1',
    ],
    [
      'that maps a disk to none of the machine',
      {
        disks: new Map([
          [d1, 'gone' as DiskId],
          [other, d1],
        ]),
      },
      'maps disk d1 to gone, which machine m1 does not have',
    ],
    [
      'that leaves a nic unmapped',
      {
        machine: wide,
        disks: new Map([
          [d1, d1],
          [other, other],
        ]),
        nics: new Map(),
      },
      'does not say which nic of machine m1 stands for n1',
    ],
    [
      'on a smaller disk',
      {
        machine: { ...machine(), spec: { ...twoDisks, disks: twoDisks.disks.map((disk) => ({ ...disk, sizeBytes: 512 })) } },
        disks: new Map([
          [d1, d1],
          [other, other],
        ]),
      },
      'made disk d1 of 512 bytes for d1',
    ],
    [
      'without findings',
      {
        machine: wide,
        disks: new Map([
          [d1, d1],
          [other, other],
        ]),
        findings: undefined as never,
      },
      'no list of findings',
    ],
  ];
  for (const [what, more, message] of placements) {
    it(`refuses a replica ${what}`, async () => {
      const give = async (): Promise<Placed> => placed(more);
      const { target } = guarded({ target: { createReplica: give, reshapeReplica: give } });

      expect(await violated(target!.createReplica!(twoDisks, { name: 'copy', nics: new Map() }, call()))).to.contain(message);
      expect(await violated(target!.reshapeReplica(m1, twoDisks, call()))).to.contain(message);
    });
  }

  it('lets an adopted machine lack a disk only when a finding says that this blocks', async () => {
    const adopt = (findings: Placed['findings']) =>
      guarded({ target: { adoptReplica: async () => placed({ findings }) } }).target!.adoptReplica(m1, twoDisks, call());

    expect(await violated(adopt([]))).to.contain('stands for d2');
    await adopt([{ code: 'DISK_MISSING', level: 'blocks', message: 'no second disk', hint: 'add one' }]);
  });

  it('refuses a fork that does not answer to the request', async () => {
    const as: ForkRequest = {
      mode: 'overlay',
      purpose: 'test',
      name: 'fork',
      spec: machine().spec,
      newGenerationId: true,
      nics: new Map(),
    };
    const good = { ...placed(), id: 'f1' as ForkId, replica: m1, purpose: 'test', operationId: 'op-1' } as const;
    const create = (more: object): Promise<unknown> => {
      const forks = {
        modes: ['overlay'],
        create: async () => ({ ...good, ...more }),
        openDisk: async () => replicaDisk(),
        promote: async () => machine(),
        discard: async () => {},
        list: async function* () {},
      } as const;
      return guarded({ target: { forks } }).target!.forks!.create(m1, as, call());
    };

    await create({});
    expect(await violated(create({ operationId: 'op-2' }))).to.contain('has the operation id op-2, not op-1');
    expect(await violated(create({ replica: 'm2' }))).to.contain('is of replica m2, not m1');
    expect(await violated(create({ purpose: 'failover' }))).to.contain('is for failover, not for test');
    expect(await violated(create({ disks: new Map() }))).to.contain('stands for d1');
  });

  it('refuses another machine than was asked for, and a machine that is none', async () => {
    const get = (answer: unknown) => guarded({ inventory: { getMachine: async () => answer as Machine } }).inventory.getMachine(m1, call());

    expect(await violated(get(machine('m2' as MachineId)))).to.contain('gave machine m2, not m1');
    expect(await violated(get(undefined))).to.contain('wrong shape');
    expect(await violated(get({ ...machine(), power: 'sleeping' }))).to.contain('the power state sleeping');
    expect(await violated(get({ ...machine(), spec: { ...twoDisks, nics: [{ id: n1 }, { id: n1 }] } }))).to.contain('nic n1 twice');
  });

  it('refuses findings that an operator could not read', async () => {
    const check = (finding: unknown) => guarded({ check: async () => [finding as never] }).check(call());

    expect(await violated(check({ code: 'X', level: 'fatal', message: 'm', hint: 'h' }))).to.contain('a finding without');
    expect(await violated(check({ level: 'info', message: 'm', hint: 'h' }))).to.contain('a finding without');
  });
});

describe('the guard: a streaming source', () => {
  const pass = (final: boolean, more: Partial<Pass> = {}): Pass => ({
    final,
    spec: machine().spec,
    disks: [{ disk: d1, extents: () => extents([0, 512]), reader: reader() }],
    ...more,
  });
  const capturing = (capture: () => AsyncIterable<Pass>): StreamingSource => {
    const source = {
      kind: 'streaming',
      enableTracking: async () => [],
      disableTracking: async () => {},
      keepBaselines: async () => {},
      capture,
    } as const;
    const of = guardOf({ ...session(), source });
    if (of.source?.kind !== 'streaming') throw new Error('no streaming source');
    return of.source;
  };
  const ask = { ...want, maxFreezeMs: 1000, afterFinal: 'thaw' } as const;
  const passes = (...list: readonly Pass[]): (() => AsyncIterable<Pass>) =>
    async function* () {
      yield* list;
    };

  it('gives passes whose readers and extents are checked', async () => {
    const lying = pass(true, { disks: [{ disk: d1, extents: () => extents([0, DISK_BYTES + 512]), reader: reader() }] });
    const seen: string[] = [];

    for await (const { disks } of capturing(passes(pass(false), lying)).capture(m1, ask, call())) {
      const [disk] = disks;
      await disk!.reader.read(0, new Uint8Array(512), call());
      seen.push(await violated(disk!.reader.read(1, new Uint8Array(512), call())));
      seen.push(
        await collect(disk!.extents(0)).then(
          (list) => `${list.length} extents`,
          (error: Error) => error.message,
        ),
      );
    }

    expect(seen[1]).to.equal('1 extents');
    expect(seen[3]).to.contain(`on a disk of ${DISK_BYTES} bytes`);
  });

  it('has closed the readers of a pass before the plugin is asked for the next one', async () => {
    const events: string[] = [];
    const closing = (name: string): Pass => {
      const close = async (): Promise<void> => {
        await new Promise((resolve) => setImmediate(resolve));
        events.push(`${name} closed`);
      };
      return pass(name === 'final', { disks: [{ disk: d1, extents: () => extents(), reader: reader({ [Symbol.asyncDispose]: close }) }] });
    };
    const capture = async function* () {
      for (const name of ['first', 'final']) {
        events.push(`${name} asked`);
        yield closing(name);
      }
      events.push('thawed');
    };

    await collect(capturing(capture).capture(m1, ask, call()));

    expect(events).to.deep.equal(['first asked', 'first closed', 'final asked', 'final closed', 'thawed']);
  });

  it('refuses an end without a final pass, a pass after it, and a final pass that lacks a disk', async () => {
    const all = (...list: readonly Pass[]) => collect(capturing(passes(...list)).capture(m1, ask, call()));

    expect(await violated(all(pass(false)))).to.contain('ended without a final pass');
    expect(await violated(all(pass(true), pass(false)))).to.contain('another pass after the final one');
    expect(await violated(all(pass(true, { disks: [] })))).to.contain('the final pass lacks disk d1');
  });
});
