import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DIRECTORY, KiB, Lab, put } from './lab.ts';

const ROT = Buffer.from([0xde, 0xad, 0xbe, 0xef]);
const file = (seq: number, part: string) => `${DIRECTORY}/${String(seq).padStart(12, '0')}.${part}`;

/** p1 to p4 applied, p5 and p6 sealed. Undo 2 holds 0-4 KiB, undo 3 holds 0-8 KiB, undo 4 holds 16-20 KiB of disk a. */
const history = async (): Promise<Lab> => {
  const lab = await new Lab().open();
  await lab.firstCopy('p1', [put('a', 0, 64 * KiB, 1)]);
  await lab.cycle('p2', [put('a', 0, 4 * KiB, 2)]);
  await lab.cycle('p3', [put('a', 0, 8 * KiB, 3)]);
  await lab.cycle('p4', [put('a', 16 * KiB, 4 * KiB, 4)]);
  await lab.journal.apply(lab.disks);
  await lab.cycle('p5', [put('a', 32 * KiB, 4 * KiB, 5)]);
  await lab.cycle('p6', [put('a', 32 * KiB, 4 * KiB, 6)]);
  return lab;
};

interface Case {
  readonly title: string;
  readonly path: string;
  readonly at: number;
  readonly damaged: readonly string[];
  readonly suspect?: readonly string[];
}

const CASES: readonly Case[] = [
  { title: 'undo damages the older points that depend on it', path: file(4, 'undo'), at: 10, damaged: ['p1', 'p2', 'p3'] },
  // Undo 3 is one range: from p1 its first half is hidden by undo 2, its second half is not.
  { title: 'undo that an older one hides only in part', path: file(3, 'undo'), at: 10, damaged: ['p1', 'p2'] },
  { title: 'undo of the second point', path: file(2, 'undo'), at: 10, damaged: ['p1'] },
  { title: 'index of an undo', path: file(3, 'undo.idx'), at: 10, damaged: ['p1', 'p2'] },
  { title: 'seal of an undo', path: file(3, 'undone'), at: 10, damaged: ['p1', 'p2'] },
  { title: 'redo damages its point and those after it', path: file(5, 'redo'), at: 10, damaged: ['p5', 'p6'] },
  { title: 'redo of the newest point', path: file(6, 'redo'), at: 10, damaged: ['p6'] },
  { title: 'index of an applied point makes its record no proof', path: file(3, 'idx'), at: 10, damaged: [], suspect: ['p3'] },
  { title: 'index of a sealed point', path: file(5, 'idx'), at: 10, damaged: ['p5', 'p6'] },
];

describe('a journal with rot in it', () => {
  for (const { title, path, at, damaged, suspect = [] } of CASES) {
    it(`names exactly the points that are lost: ${title}`, async () => {
      const lab = await history();
      lab.files.corrupt(path, at, ROT);
      const reopened = await lab.crash(1);

      const verdict = await reopened.journal.verify();

      expect(verdict.ok).to.equal(false);
      expect([...verdict.damaged].sort()).to.deep.equal(damaged);
      expect([...verdict.suspect].sort()).to.deep.equal(suspect);
      expect(verdict.problems.length).to.be.greaterThan(0);
    });
  }

  it('gives every point that is not damaged, and refuses each that is', async () => {
    const lab = await history();
    lab.files.corrupt(file(3, 'undo'), 10, ROT);
    const { damaged } = await lab.journal.verify();

    for (const { point, state } of lab.journal.points) {
      if (state !== 'applied') continue;
      const outcome = await lab.journal.materialise(point, lab.forks()).then(
        () => 'given',
        (error: { code: string }) => error.code,
      );
      expect(outcome, point).to.equal(damaged.includes(point) ? 'JOURNAL_CORRUPT' : 'given');
    }
  });

  it('judges one point by what that point needs', async () => {
    const lab = await history();
    lab.files.corrupt(file(2, 'undo'), 10, ROT);
    lab.files.corrupt(file(6, 'redo'), 10, ROT);

    expect((await lab.journal.verify('p1')).damaged).to.deep.equal(['p1']);
    expect((await lab.journal.verify('p2')).ok).to.equal(true);
    expect((await lab.journal.verify('p5')).ok).to.equal(true);
    expect((await lab.journal.verify('p6')).damaged).to.deep.equal(['p6']);
  });

  it('rolls back over a damaged seal of the newest point, so that a comparison can go on', async () => {
    const lab = await history();
    lab.files.corrupt(file(6, 'seal'), 10, ROT);
    const reopened = await lab.crash(1);

    const cycle = await reopened.cycle('p7', []).catch((error: { code: string }) => error.code);
    expect(cycle).to.equal('JOURNAL_CORRUPT');
    await reopened.journal.rollBack('p4', reopened.disks);
    await reopened.cycle('p7', [put('a', 0, 512, 7)]);

    expect(reopened.journal.points.map(({ point }) => point)).to.deep.equal(['p1', 'p2', 'p3', 'p4', 'p7']);
  });

  it('knows a cycle for applied whose mark is lost, when a later one is', async () => {
    const lab = await history();
    await lab.files.remove(file(3, 'applied'));
    const reopened = await lab.open();

    expect(reopened.journal.points.map(({ state }) => state).slice(0, 4)).to.deep.equal(['applied', 'applied', 'applied', 'applied']);
    expect((await reopened.journal.verify()).ok).to.equal(true);
  });

  it('changes nothing in place when the way back is damaged', async () => {
    const lab = await history();
    const before = lab.disks.get('a')!.image();
    lab.files.corrupt(file(3, 'undo'), 10, ROT);

    const outcome = await lab.journal.rollBack('p1', lab.disks).catch((error: { code: string }) => error.code);

    expect(outcome).to.equal('JOURNAL_CORRUPT');
    expect(lab.disks.get('a')!.image().equals(before)).to.equal(true);
    expect(lab.journal.rollingBackTo).to.equal(undefined);
  });

  it('brings an interrupted apply to its end when its undo has rotted, and says which points that cost', async () => {
    const lab = await history();
    lab.disks.get('a')!.flush = () => Promise.reject(new Error('EIO'));
    await lab.journal.apply(lab.disks).catch(() => {});
    lab.files.corrupt(file(5, 'undone'), 10, ROT);
    const reopened = await lab.crash(1);

    await reopened.journal.apply(reopened.disks);

    expect(reopened.journal.head()?.point).to.equal('p6');
    expect([...(await reopened.journal.verify()).damaged].sort()).to.deep.equal(['p1', 'p2', 'p3', 'p4']);
  });
});
