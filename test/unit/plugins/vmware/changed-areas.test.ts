import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { toError } from '../../../../adapters/vsphere/port.ts';
import type { DiskId, Extent, SnapshotId } from '../../../../core/contract/index.ts';
import { choosePaths } from '../../../../plugins/vmware/movers/choose.ts';
import { Https } from '../../../../plugins/vmware/movers/https.ts';
import { sourceOf } from '../../../../plugins/vmware/source.ts';
import { callOf, errorOf, madeUp, OWNER } from './ground.ts';

const SIZE = 1000;
const TRACKER = '52 8e 3c';
const NONE = 'none';

interface Area {
  readonly start: number;
  readonly length: number;
}
interface Page {
  readonly startOffset: number;
  readonly length: number;
  readonly changedArea?: readonly Area[];
}
type Answer = (startOffset: number) => Page;

interface Asked {
  readonly startOffset: number;
  readonly changeId: string;
}

const sourceWith = (answer: Answer, { since = `${TRACKER}/3`, changeId = `${TRACKER}/9` } = {}) => {
  const asked: Asked[] = [];
  const disk = {
    $type: 'VirtualDisk',
    key: 2000,
    capacityInKB: 1,
    capacityInBytes: SIZE,
    backing: { uuid: 'disk-a', fileName: '[store] web/web.vmdk', ...(changeId === NONE ? {} : { changeId }) },
  };
  const description = JSON.stringify({
    warmsite: 1,
    owner: OWNER,
    operationId: 'o',
    kind: 'cycle',
    since: since === NONE ? {} : { 'disk-a': since },
  });
  const snapshot = { type: 'VirtualMachineSnapshot', value: 'snapshot-1' };
  const vcenter = madeUp(
    {
      'VirtualMachineSnapshot:snapshot-1': { vm: { type: 'VirtualMachine', value: 'vm-1' }, 'config.hardware.device': [disk] },
      'VirtualMachine:vm-1': { snapshot: { rootSnapshotList: [{ snapshot, description, createTime: '2026-01-01T00:00:00Z' }] } },
    },
    {
      QueryChangedDiskAreas: (_, args: Asked) => {
        asked.push(args);
        return answer(args.startOffset);
      },
    },
  );
  return { source: sourceOf(vcenter, choosePaths([new Https(vcenter)], undefined)), asked };
};

const [OF, DISK] = ['snapshot-1' as SnapshotId, 'disk-a' as DiskId];
const changed = (answer: Answer, from = 0, how?: Parameters<typeof sourceWith>[1]): Promise<Extent[]> =>
  Array.fromAsync(sourceWith(answer, how).source.changedExtents(OF, DISK, from, callOf()));
const fault = (type: string, detail = {}) => toError({ $type: type, faultstring: '', detail }, 'QueryChangedDiskAreas failed');
const throws =
  (error: Error): Answer =>
  () => {
    throw error;
  };
const whole =
  (...changedArea: Area[]): Answer =>
  () => ({ startOffset: 0, length: SIZE, changedArea });

const bits = (ranges: readonly { offset: number; length: number }[], from = 0): boolean[] => {
  const map = new Array<boolean>(SIZE).fill(false);
  for (const { offset, length } of ranges) for (let at = Math.max(from, offset); at < Math.min(SIZE, offset + length); at++) map[at] = true;
  return map;
};

describe('areas of a disk that have changed', () => {
  it('are asked for page by page, also past pages without any', async () => {
    const answer: Answer = (at) => ({ startOffset: at, length: 250, ...(at === 750 ? { changedArea: [{ start: 800, length: 10 }] } : {}) });
    const { source, asked } = sourceWith(answer);

    const found = await Array.fromAsync(source.changedExtents(OF, DISK, 0, callOf()));

    expect(found).to.deep.equal([{ offset: 800, length: 10 }]);
    expect(asked.map(({ startOffset }) => startOffset)).to.deep.equal([0, 250, 500, 750]);
  });

  it('are never asked for at the end of the disk or past it', async () => {
    const { source, asked } = sourceWith((at) => ({ startOffset: at, length: 333 }));
    await Array.fromAsync(source.changedExtents(OF, DISK, 0, callOf()));
    await Array.fromAsync(source.changedExtents(OF, DISK, SIZE, callOf()));

    expect(asked.every(({ startOffset }) => startOffset < SIZE)).to.equal(true);
    expect(asked).to.have.length(4);
  });

  it('are not asked for where the machine was set back to a snapshot before the baseline', async () => {
    const { source, asked } = sourceWith(whole(), { since: `${TRACKER}/12`, changeId: `${TRACKER}/9` });

    const error = await errorOf(Array.fromAsync(source.changedExtents(OF, DISK, 0, callOf())));

    expect(error).to.include({ code: 'TRACKING_LOST' });
    expect(error.message).to.include('set back');
    expect(asked).to.deep.equal([]);
    const same = { since: `${TRACKER}/9`, changeId: `${TRACKER}/9` };
    expect(await changed(whole(), 0, same)).to.deep.equal([]);
  });

  it('are asked for against the baseline of the snapshot', async () => {
    const { source, asked } = sourceWith(whole());
    await Array.fromAsync(source.changedExtents(OF, DISK, 0, callOf()));

    expect(asked[0]!.changeId).to.equal(`${TRACKER}/3`);
  });

  for (const [what, areas, expected] of [
    [
      'out of order',
      [
        { start: 500, length: 10 },
        { start: 0, length: 10 },
      ],
      [
        [0, 10],
        [500, 10],
      ],
    ],
    [
      'overlapping',
      [
        { start: 0, length: 100 },
        { start: 50, length: 10 },
        { start: 90, length: 20 },
      ],
      [[0, 110]],
    ],
    [
      'past the end',
      [
        { start: 990, length: 50 },
        { start: 1200, length: 5 },
      ],
      [[990, 10]],
    ],
    ['empty', [{ start: 10, length: 0 }], []],
  ] as const) {
    it(`that come ${what} are all told, ascending and inside the disk`, async () => {
      const found = await changed(whole(...areas));

      expect(found.map(({ offset, length }) => [offset, length])).to.deep.equal(expected);
    });
  }

  it('that a page names beyond its own end are told when their place comes', async () => {
    const answer: Answer = (at) =>
      at === 0
        ? {
            startOffset: 0,
            length: 100,
            changedArea: [
              { start: 130, length: 10 },
              { start: 10, length: 10 },
            ],
          }
        : { startOffset: 100, length: 900, changedArea: [{ start: 105, length: 10 }] };

    expect(await changed(answer)).to.deep.equal([
      { offset: 10, length: 10 },
      { offset: 105, length: 10 },
      { offset: 130, length: 10 },
    ]);
  });

  for (const [what, answer] of [
    ['of no length', () => ({ startOffset: 0, length: 0 })],
    ['that goes back', (at: number) => ({ startOffset: at - 100, length: 50 })],
    ['that begins later than was asked', (at: number) => ({ startOffset: at + 10, length: 100 })],
    ['of nonsense', () => ({ startOffset: 0, length: Number.NaN })],
  ] as const) {
    it(`are lost with a page ${what}: nobody guesses`, async () => {
      const error = await errorOf(changed(answer as Answer));

      expect(error.code).to.equal('TRACKING_LOST');
      expect(error.message).to.match(/does not go on/);
    });
  }

  for (const type of ['FileFault', 'FileNotFound', 'InvalidArgument', 'NotSupported', 'MethodNotFound']) {
    it(`are lost when the server answers ${type}`, async () => {
      expect((await errorOf(changed(throws(fault(type))))).code).to.equal('TRACKING_LOST');
    });
  }

  it('are not lost because the server is busy or the account may not ask', async () => {
    expect((await errorOf(changed(throws(fault('NoPermission', { privilegeId: 'x' }))))).code).to.equal('PERMISSION_DENIED');
    expect((await errorOf(changed(throws(fault('HostNotConnected'))))).code).to.equal('HOST_BUSY');
  });

  for (const [why, how] of [
    ['its tracker has begun anew', { since: '52 00 00/3' }],
    ['no baseline was given', { since: NONE }],
    ['its changes are not tracked', { changeId: NONE }],
  ] as const) {
    it(`are lost, and the server is not even asked, when ${why}`, async () => {
      const never = throws(new Error('it was asked'));

      const error = await errorOf(changed(never, 0, how));

      expect(error.code).to.equal('TRACKING_LOST');
      expect(error.message).to.include(why);
    });
  }

  it('are never fewer than there are, in whatever order and pieces the server tells them', async () => {
    const area = fc.record({ start: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 200 }) });
    const shape = fc.record({
      truth: fc.array(area, { maxLength: 12 }),
      pages: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
      from: fc.nat(SIZE - 1),
      seed: fc.nat(),
      clipped: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ truth, pages, from, seed, clipped }) => {
        let turn = seed;
        const answer: Answer = (at) => {
          const length = Math.min(pages[turn++ % pages.length]!, SIZE - at);
          const end = at + length;
          const inside = truth.filter(({ start, length: own }) => start < end && start + own > at);
          // Cut to the page, or whole as they are; from the back as often as from the front.
          const told = inside.map(({ start, length: own }) =>
            clipped ? { start: Math.max(start, at), length: Math.min(start + own, end) - Math.max(start, at) } : { start, length: own },
          );
          return { startOffset: at, length, changedArea: turn % 2 === 0 ? told : told.reverse() };
        };
        const found = await changed(answer, from);

        expect(bits(found)).to.deep.equal(
          bits(
            truth.map(({ start, length }) => ({ offset: start, length })),
            from,
          ),
        );
        for (const [index, { offset, length }] of found.entries()) {
          expect(length).to.be.greaterThan(0);
          const before = found[index - 1];
          if (before) expect(offset).to.be.at.least(before.offset + before.length);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('areas of a disk that are in use', () => {
  const allocated = (answer: Answer, how?: Parameters<typeof sourceWith>[1]) =>
    Array.fromAsync(sourceWith(answer, how).source.allocatedExtents(OF, DISK, 0, callOf()));

  it('are all that is asked for where the server can tell', async () => {
    const { source, asked } = sourceWith(whole({ start: 10, length: 5 }));

    expect(await Array.fromAsync(source.allocatedExtents(OF, DISK, 0, callOf()))).to.deep.equal([{ offset: 10, length: 5 }]);
    expect(asked[0]!.changeId).to.equal('*');
  });

  it('are the whole rest of the disk where it cannot, or ends in the middle', async () => {
    const breaksOff: Answer = (at) => {
      if (at > 0) throw fault('FileFault');
      return { startOffset: 0, length: 100, changedArea: [{ start: 10, length: 5 }] };
    };

    expect(await allocated(throws(fault('FileFault')))).to.deep.equal([{ offset: 0, length: SIZE }]);
    expect(await allocated(breaksOff)).to.deep.equal([
      { offset: 10, length: 5 },
      { offset: 15, length: SIZE - 15 },
    ]);
  });

  it('are not asked for where nothing was tracked when the snapshot was taken', async () => {
    expect(await allocated(throws(new Error('it was asked')), { changeId: NONE })).to.deep.equal([{ offset: 0, length: SIZE }]);
  });
});
