import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DrError, isDrError } from '../../../../core/contract/index.ts';
import { normalise } from '../../../../core/domain/extents.ts';
import { openJournal } from '../../../../core/journal/journal.ts';
import { MemoryDisk, MemoryFiles } from '../../../support/memory-files.ts';
import { bytes, changed, DIRECTORY, DISKS, EMPTY, KiB, Lab, put, sealRecord, wipe } from './lab.ts';

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (isDrError(error)) return error.code;
    throw error;
  }
};

/** p1 copied and applied, p2 and p3 applied, p4 sealed. */
const history = async (): Promise<Lab> => {
  const lab = await new Lab().open();
  await lab.firstCopy('p1', [put('a', 0, 16 * KiB, 1), put('b', 0, 8 * KiB, 2)]);
  await lab.cycle('p2', [put('a', 4 * KiB, 4 * KiB, 3)]);
  await lab.cycle('p3', [put('a', 4 * KiB, 8 * KiB, 4)]);
  await lab.journal.apply(lab.disks);
  await lab.cycle('p4', [put('b', 8 * KiB, 4 * KiB, 5), wipe('a', 0, 512)]);
  return lab;
};
const names = (lab: Lab) => lab.journal.points.map((point) => `${point.point} ${point.state}`);

describe('journal', () => {
  it('lists points with their state, and where the replica stands', async () => {
    const lab = await history();

    expect(names(lab)).to.deep.equal(['p1 applied', 'p2 applied', 'p3 applied', 'p4 sealed']);
    expect(lab.journal.head()?.point).to.equal('p3');
    expect(lab.journal.newest()?.point).to.equal('p4');
    expect(lab.journal.pending().map((point) => point.point)).to.deep.equal(['p4']);
  });

  it('keeps in the seal what the point is and what it was built on (J12)', async () => {
    const lab = await history();

    const [, p2, p3] = lab.journal.points;

    expect(p3).to.include({ seq: 3, cycle: 'c-p3', kind: 'delta', item: 'item1', dataBytes: 8 * KiB, consistency: 'crash' });
    expect(p3?.parent).to.deep.equal({ point: 'p2', digest: p2?.digest, seq: 2 });
    expect(p3?.spec.disks.map((disk) => disk.sizeBytes)).to.deep.equal([64 * KiB, 32 * KiB]);
    expect(p3?.timings).to.deep.equal({ readMs: 5 });
  });

  it('gives the same digest to the same history and another one to any other', async () => {
    const digests = async (seed: number) => {
      const lab = await new Lab().open();
      await lab.firstCopy('p1', [put('a', 0, 4 * KiB, 1)]);
      await lab.cycle('p2', [put('a', 0, 512, seed)]);
      return lab.journal.points.map((point) => point.digest);
    };

    const [one, same, other] = [await digests(1), await digests(1), await digests(2)];

    expect(one).to.deep.equal(same);
    expect(other[0]).to.equal(one[0]);
    expect(other[1]).to.not.equal(one[1]);
  });

  it('refuses a cycle on anything but the newest sealed point, and on none at all (T3)', async () => {
    const { journal } = await history();
    const begin = (base?: string) => journal.begin({ cycle: 'c', point: 'p', kind: 'delta', ...(base && { base }), disks: DISKS });

    expect(await codeOf(begin('p3'))).to.equal('STATE_CONFLICT');
    expect(await codeOf(begin())).to.equal('STATE_CONFLICT');
    expect(await codeOf(begin('p4'))).to.equal('done');
  });

  it('gives a cycle that is sealed already as it was sealed (J3)', async () => {
    const lab = await history();

    await using again = await lab.journal.begin({ cycle: 'c-p4', point: 'other', kind: 'delta', base: 'p3', disks: DISKS });

    expect(again.sealed?.point).to.equal('p4');
    expect((await again.seal(sealRecord(DISKS))).point).to.equal('p4');
    expect(await codeOf(again.zero('a', 0, 512))).to.equal('STATE_CONFLICT');
  });

  it('leaves nothing of a cycle that was dropped, and the next one starts from the same base (T4)', async () => {
    const lab = await history();
    const before = await lab.files.list(DIRECTORY);
    const writer = await lab.journal.begin({ cycle: 'c-lost', point: 'lost', kind: 'delta', base: 'p4', disks: DISKS });
    await writer.data('a', 0, bytes(9, 4096));

    await writer.discard();

    expect(await lab.files.list(DIRECTORY)).to.deep.equal(before);
    expect(await codeOf(writer.seal(sealRecord(DISKS)))).to.equal('STATE_CONFLICT');
    expect(await codeOf(lab.cycle('p5', [put('a', 0, 512, 6)]))).to.equal('done');
  });

  it('takes frames larger than its own and ranges that hide each other', async () => {
    const size = 4 * 1024 * KiB;
    const disks = [{ key: 'a', sizeBytes: size }];
    const disk = new MemoryDisk({ sizeBytes: size });
    const files = new MemoryFiles();
    const journal = await openJournal({ files, directory: DIRECTORY, item: 'item1', groupState: () => 'undecided' });
    const writer = await journal.begin({ cycle: 'c1', point: 'p1', kind: 'first', disks });
    const [large, small] = [bytes(1, 3 * 1024 * KiB), bytes(2, 4096)];
    await Promise.all([writer.data('a', 0, large), writer.data('a', 1024 * KiB - 2048, small), writer.zero('a', 512, 512)]);
    await writer.seal(sealRecord(disks));

    await journal.apply(new Map([['a', disk]]));

    const change = [
      { disk: 'a', offset: 0, length: large.length, data: large },
      { disk: 'a', offset: 1024 * KiB - 2048, length: 4096, data: small },
      wipe('a', 512, 512),
    ];
    expect(disk.image().equals(changed(new Map([['a', Buffer.alloc(size)]]), change).get('a')!)).to.equal(true);
  });

  it('seals a cycle while an apply runs, and takes it along', async () => {
    const lab = await history();
    const applying = lab.journal.apply(lab.disks);

    await lab.cycle('p5', [put('a', 0, 512, 7)]);
    await applying;
    await lab.journal.apply(lab.disks);

    expect(lab.journal.head()?.point).to.equal('p5');
  });

  it('refuses to materialise what is not applied, and asks for the apply', async () => {
    const lab = await history();

    expect(await codeOf(lab.journal.materialise('p4', lab.forks()))).to.equal('STATE_CONFLICT');
    expect(await codeOf(lab.journal.materialise('nowhere', lab.forks()))).to.equal('NOT_FOUND');
  });

  it('materialises a point that is asked for during apply and pruning as it would at rest (J10)', async () => {
    const lab = await history();
    const forks = lab.forks();
    const expected = changed(EMPTY, [put('a', 0, 16 * KiB, 1), put('b', 0, 8 * KiB, 2), put('a', 4 * KiB, 4 * KiB, 3)]);

    const [ranges] = await Promise.all([
      lab.journal.materialise('p2', forks),
      lab.journal.apply(lab.disks),
      lab.journal.prune(['p1', 'p3']),
    ]);

    expect(forks.get('a')!.image().equals(expected.get('a')!)).to.equal(true);
    expect(ranges.get('a')).to.deep.equal([{ offset: 4 * KiB, length: 8 * KiB }]);
    await lab.expectPoint('p2', expected);
  });

  it('undoes a half-applied cycle in the fork of an older point', async () => {
    const lab = await history();
    const before = lab.disks.get('b')!.image();
    const disks = new Map(lab.disks);
    const failing = new MemoryDisk({ sizeBytes: 32 * KiB }, before);
    failing.flush = () => Promise.reject(new Error('EIO'));
    disks.set('b', failing);

    await lab.journal.apply(disks).catch(() => {});
    const forks = new Map(Array.from(disks, ([key, disk]) => [key, disk.fork()]));
    await lab.journal.materialise('p3', forks);

    expect(names(lab).at(-1)).to.equal('p4 applying');
    expect(failing.image().equals(before)).to.equal(false);
    expect(forks.get('b')!.image().equals(before)).to.equal(true);
  });

  it('does the whole cycle again when the flush of the replica failed (J8)', async () => {
    const lab = await new Lab().open();
    await lab.firstCopy('p1', [put('a', 0, 4 * KiB, 1)]);
    await lab.cycle('p2', [put('a', 0, 4 * KiB, 2)]);
    await lab.journal.apply(lab.disks, { upTo: 'p1' });
    const disk = lab.disks.get('a')!;
    const written: number[] = [];
    const { write, flush } = { write: disk.write.bind(disk), flush: disk.flush.bind(disk) };
    disk.write = (offset, data) => {
      written.push(data.length);
      return write(offset, data);
    };
    disk.flush = () => (written.length > 1 ? flush() : Promise.reject(new Error('EIO')));

    await lab.journal.apply(lab.disks).catch(() => {});
    expect(lab.journal.head()?.point).to.equal('p1');
    await lab.journal.apply(lab.disks);

    // Redo; then the before-images, and the redo once more.
    expect(written).to.deep.equal([4 * KiB, 4 * KiB, 4 * KiB]);
    expect(lab.journal.head()?.point).to.equal('p2');
  });

  it('applies nothing of a cycle whose redo is damaged, and harms no byte of the replica (J5)', async () => {
    const lab = await history();
    const before = lab.forks();
    lab.files.corrupt(`${DIRECTORY}/000000000004.redo`, 100, Buffer.from([1, 2, 3]));

    expect(await codeOf(lab.journal.apply(lab.disks))).to.equal('JOURNAL_CORRUPT');

    for (const [key, disk] of before) expect(lab.disks.get(key)!.image().equals(disk.image())).to.equal(true);
    expect(lab.journal.head()?.point).to.equal('p3');
  });

  it('refuses a replica disk that is too small for what it should take', async () => {
    const lab = await history();
    const disks = new Map(lab.disks).set('b', new MemoryDisk({ sizeBytes: 8 * KiB }));

    expect(await codeOf(lab.journal.apply(disks))).to.equal('DISK_CHANGED');
  });

  it('rolls back in place and forgets what came after, but for its extents', async () => {
    const lab = await history();

    await lab.journal.rollBack('p2', lab.disks);

    expect(names(lab)).to.deep.equal(['p1 applied', 'p2 applied']);
    const after = await lab.journal.extentsAfter('p2');
    expect(after.get('a')).to.deep.equal([
      { offset: 0, length: 512 },
      { offset: 4 * KiB, length: 8 * KiB },
    ]);
    expect(after.get('b')).to.deep.equal([{ offset: 8 * KiB, length: 4 * KiB }]);
    await lab.journal.release();
    expect((await lab.journal.extentsAfter('p2')).size).to.equal(0);
  });

  it('lets nothing but the same roll-back go on after one that was interrupted', async () => {
    const lab = await history();
    lab.disks.get('a')!.flush = () => Promise.reject(new DrError('INTERNAL', 'interrupted'));

    expect(await codeOf(lab.journal.rollBack('p1', lab.disks))).to.equal('INTERNAL');

    expect(lab.journal.rollingBackTo).to.equal('p1');
    expect(await codeOf(lab.journal.apply(lab.disks))).to.equal('STATE_CONFLICT');
    expect(await codeOf(lab.journal.materialise('p1', lab.forks()))).to.equal('STATE_CONFLICT');
    expect(await codeOf(lab.journal.rollBack('p2', lab.disks))).to.equal('STATE_CONFLICT');
    const restarted = await lab.crash(7);
    await restarted.journal.rollBack('p1', restarted.disks);
    await restarted.expectPoint('p1', changed(EMPTY, [put('a', 0, 16 * KiB, 1), put('b', 0, 8 * KiB, 2)]));
  });

  it('names every change after a point also when cycles in between were pruned (V3)', async () => {
    const lab = await history();
    await lab.journal.apply(lab.disks);
    await lab.cycle('p5', [put('b', 20 * KiB, 512, 8)]);

    await lab.journal.prune(['p2', 'p3']);

    const { a, b } = Object.fromEntries(await lab.journal.extentsAfter('p1'));
    expect(a).to.deep.equal([{ offset: 0, length: 12 * KiB }]);
    expect(b).to.deep.equal(
      normalise([
        { offset: 8 * KiB, length: 4 * KiB },
        { offset: 20 * KiB, length: 512 },
      ]),
    );
  });

  it('keeps the head and what is not applied when it is asked to prune everything', async () => {
    const lab = await history();

    expect(await lab.journal.prune(['p1', 'p2', 'p3', 'p4', 'unknown'])).to.deep.equal(['p1', 'p2']);

    expect(names(lab)).to.deep.equal(['p3 applied', 'p4 sealed']);
    expect((await lab.files.list(DIRECTORY)).filter((name) => /^00000000000[12]/.test(name))).to.deep.equal([]);
    expect(lab.journal.points[0]?.parent?.point).to.equal('p2');
  });

  it('starts a reverse journal with the old disks as found (V3)', async () => {
    const lab = await new Lab().open();
    const { takenAt, sealedAt, spec, epoch } = sealRecord(DISKS);
    const old = bytes(1, 64 * KiB);
    await lab.disks.get('a')!.write(0, old);

    const point = await lab.journal.startDivergent({ cycle: 'c0', point: 'p0', disks: DISKS, takenAt, sealedAt, spec, epoch });
    await lab.cycle('p1', [put('a', 0, 32 * KiB, 2)]);
    await lab.journal.apply(lab.disks);

    expect(point).to.include({ kind: 'divergent', state: 'applied' });
    await lab.expectPoint('p0', new Map([['a', old]]));
    expect(lab.journal.allocated('a')).to.deep.equal([{ offset: 0, length: 64 * KiB }]);
  });

  it('is gone when it is removed', async () => {
    const lab = await history();
    expect(await lab.journal.sizeBytes()).to.be.greaterThan(8 * KiB);

    await lab.journal.remove();

    expect(await lab.files.list(DIRECTORY)).to.deep.equal([]);
  });
});

describe('parts of a group in the journal (P1)', () => {
  it('are neither visible nor applied nor built upon before the group is decided', async () => {
    const lab = await history();
    await lab.cycle('p5', [put('a', 0, 512, 9)], 'g1');

    await lab.journal.apply(lab.disks);

    expect(names(lab).at(-1)).to.equal('p4 applied');
    expect(lab.journal.findCycle('c-p5')?.point).to.equal('p5');
    const next = lab.journal.begin({ cycle: 'c-p6', point: 'p6', kind: 'delta', base: 'p5', disks: DISKS });
    expect(await codeOf(next)).to.equal('STATE_CONFLICT');
  });

  for (const decision of ['complete', 'abandoned'] as const) {
    it(`are points of their own once the group is ${decision}`, async () => {
      const lab = await history();
      await lab.cycle('p5', [put('a', 0, 512, 9)], 'g1');

      await lab.marks.decideGroup('g1', decision);

      expect(names(lab).at(-1)).to.equal('p5 sealed');
      await lab.journal.apply(lab.disks);
      expect(lab.journal.head()?.point).to.equal('p5');
    });
  }
});

describe('first copy', () => {
  const direct = DISKS.map((disk) => ({ ...disk, direct: true }));
  const request = { cycle: 'c1', point: 'p1', kind: 'first' as const, frozen: 'snapshot 1', disks: direct };

  it('goes on from its checkpoints after a crash, and trusts nothing that has none', async () => {
    const lab = await new Lab().open();
    const writer = await lab.journal.begin(request);
    await writer.direct('a', 0, bytes(1, 4096));
    await writer.direct('b', 0, bytes(1, 4096));
    await writer.checkpoint('a', () => lab.disks.get('a')!.flush());
    await writer.direct('a', 4096, 4096);

    const later = await lab.crash(3);
    await using resumed = await later.journal.begin(request);

    expect(Object.fromEntries(resumed.resumeFrom)).to.deep.equal({ a: [{ offset: 0, length: 4096 }] });
  });

  it('is refused where the replica was not marked as allocated before: undo would not read it', async () => {
    const lab = await new Lab().open();
    await lab.journal.declareEmpty('a');
    const writer = await lab.journal.begin(request);

    expect(await codeOf(writer.direct('a', 0, bytes(1, 512)))).to.equal('STATE_CONFLICT');
    await lab.journal.markAllocated('a', [{ offset: 0, length: 512 }]);
    expect(await codeOf(writer.direct('a', 0, bytes(1, 512)))).to.equal('done');
  });

  it('goes on with whole units only, since a torn write spoils its neighbours', async () => {
    const lab = await new Lab().open();
    const writer = await lab.journal.begin(request);
    await writer.direct('a', 512, 10 * KiB);
    await writer.direct('b', 30 * KiB, 2 * KiB);
    for (const key of ['a', 'b']) await writer.checkpoint(key, async () => {});

    await using resumed = await lab.journal.begin(request);

    expect(Object.fromEntries(resumed.resumeFrom)).to.deep.equal({ a: [{ offset: 4096, length: 4096 }] });
  });

  it('does not count what is recorded while the replica is being flushed', async () => {
    const lab = await new Lab().open();
    const writer = await lab.journal.begin(request);
    await writer.direct('a', 0, 4096);
    await writer.checkpoint('a', () => writer.direct('a', 4096, 4096));

    expect(await codeOf(writer.seal(sealRecord(DISKS)))).to.equal('STATE_CONFLICT');
    await using resumed = await lab.journal.begin(request);

    expect(resumed.resumeFrom.get('a')).to.deep.equal([{ offset: 0, length: 4096 }]);
  });

  it('starts anew where it reads other content than before: what was copied of the first snapshot is not in the second', async () => {
    const { frozen: _, ...ofAStream } = request;
    for (const [first, second] of [
      [request, { ...request, frozen: 'snapshot 2' }],
      [ofAStream, ofAStream],
    ] as const) {
      const lab = await new Lab().open();
      const writer = await lab.journal.begin(first);
      await writer.direct('a', 0, 4096);
      await writer.checkpoint('a', async () => {});

      await using again = await lab.journal.begin(second);

      expect(again.resumeFrom.size).to.equal(0);
    }
  });

  it('starts anew in another cycle (J4)', async () => {
    const lab = await new Lab().open();
    const writer = await lab.journal.begin(request);
    await writer.direct('a', 0, 4096);
    await writer.checkpoint('a', async () => {});

    await using other = await lab.journal.begin({ ...request, cycle: 'c2' });

    expect(other.resumeFrom.size).to.equal(0);
    expect(await codeOf(writer.direct('a', 512, 512))).to.equal('STATE_CONFLICT');
  });

  it('is refused for a disk that is in a point (J1)', async () => {
    const lab = await history();

    const begin = lab.journal.begin({ ...request, kind: 'delta', base: 'p4' });

    expect(await codeOf(begin)).to.equal('STATE_CONFLICT');
  });

  it('of an added disk goes into a cycle with deltas of the others, and older points do without the disk (P2)', async () => {
    const lab = await history();
    await lab.journal.apply(lab.disks);
    const added = new MemoryDisk({ sizeBytes: 16 * KiB });
    const disks = [...DISKS, { key: 'n', sizeBytes: 16 * KiB, direct: true }];
    const writer = await lab.journal.begin({ cycle: 'c5', point: 'p5', kind: 'delta', base: 'p4', disks });
    await added.write(0, bytes(6, 4096));
    await writer.direct('n', 0, bytes(6, 4096));
    await writer.checkpoint('n', () => added.flush());
    await writer.data('a', 0, bytes(7, 512));
    expect(await codeOf(writer.data('n', 0, bytes(7, 512)))).to.equal('STATE_CONFLICT');
    await writer.seal(sealRecord(disks));

    await lab.journal.apply(new Map(lab.disks).set('n', added));

    expect(lab.journal.points.map((point) => point.disks.length)).to.deep.equal([2, 2, 2, 2, 3]);
    expect((await lab.journal.extentsAfter('p4')).get('n')).to.deep.equal([{ offset: 0, length: 4096 }]);
    const forks = lab.forks();
    await lab.journal.materialise('p1', forks);
    expect(await codeOf(lab.journal.materialise('p5', forks))).to.equal('NOT_FOUND');
  });
});
