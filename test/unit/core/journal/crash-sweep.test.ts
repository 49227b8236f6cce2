import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Faults } from '../../../support/memory-files.ts';
import { type Change, changed, EMPTY, type Images, KiB, Lab, put, wipe } from './lab.ts';

interface Step {
  readonly title: string;
  run(lab: Lab): Promise<void>;
  /** Points that exist once it is done, and those that may be gone once it has begun. */
  readonly adds?: string;
  readonly removes?: readonly string[];
}

const images = new Map<string, Images>();
const define = (point: string, base: string | undefined, changes: readonly Change[]): readonly Change[] => {
  images.set(point, changed(base === undefined ? EMPTY : images.get(base)!, changes));
  return changes;
};
const cycle = (id: string, base: string, changes: readonly Change[], groupCycle?: string): Step => {
  define(id, base, changes);
  return { title: `cycle ${id}`, run: (lab) => lab.cycle(id, changes, groupCycle), ...(groupCycle === undefined ? { adds: id } : {}) };
};
const apply: Step = { title: 'apply', run: async (lab) => void (await lab.journal.apply(lab.disks)) };
const prune = (...removes: string[]): Step => ({
  title: `prune ${removes.join(' ')}`,
  run: async (lab) => void (await lab.journal.prune(removes)),
  removes,
});

const firstChanges = define('p1', undefined, [put('a', 0, 8 * KiB, 1), put('b', 4 * KiB, 8 * KiB, 2), put('a', 32 * KiB, 6 * KiB, 3)]);

const SCRIPT: readonly Step[] = [
  { title: 'first copy', run: (lab) => lab.firstCopy('p1', firstChanges), adds: 'p1' },
  apply,
  cycle('p2', 'p1', [put('a', 512, 1024, 4), put('a', 1024, 3 * KiB, 5), wipe('b', 6 * KiB, 4 * KiB)]),
  cycle('p3', 'p2', [put('a', 33 * KiB, 512, 6), wipe('a', 0, 1024), put('b', 30 * KiB, 2 * KiB, 7)]),
  apply,
  cycle('p4', 'p3', [put('a', 2 * KiB, 4 * KiB, 8), put('b', 7 * KiB, 1024, 9)]),
  apply,
  prune('p2'),
  cycle('p5', 'p4', [put('a', 0, 16 * KiB, 10)]),
  apply,
  prune('p1', 'p4'),
  {
    title: 'materialise p3',
    run: async (lab) => {
      await lab.journal.materialise('p3', lab.forks());
    },
  },
  cycle('p6', 'p5', [wipe('a', 0, 64 * KiB), put('b', 0, 1024, 11)]),
  {
    title: 'roll back to p3',
    run: async (lab) => {
      await lab.journal.rollBack('p3', lab.disks);
      for (const [key, image] of images.get('p3')!) expect(lab.disks.get(key)!.image().equals(image)).to.equal(true);
    },
    removes: ['p5', 'p6'],
  },
  cycle('p7', 'p3', [put('a', 60 * KiB, 4 * KiB, 12)]),
  cycle('p8', 'p7', [put('a', 1536, 1024, 13)], 'g1'),
  { title: 'decide the group', run: (lab) => lab.marks.decideGroup('g1', 'complete'), adds: 'p8' },
  apply,
];

/** Runs the script from a step on; returns the step that crashed, or undefined at its end. */
const runFrom = async (lab: Lab, from: number): Promise<number | undefined> => {
  for (const [index, step] of SCRIPT.entries()) {
    if (index < from) continue;
    try {
      await step.run(lab);
    } catch (error) {
      if (lab.faults.crashed) return index;
      throw error;
    }
  }
  return undefined;
};

/** What must be true after a crash in this step. */
const assertRules = async (lab: Lab, step: number): Promise<void> => {
  const { journal } = lab;
  const promised = SCRIPT.slice(0, step).flatMap((done) => done.adds ?? []);
  const mayBeGone = new Set(SCRIPT.slice(0, step + 1).flatMap((done) => done.removes ?? []));
  if (journal.rollingBackTo !== undefined) await journal.rollBack(journal.rollingBackTo, lab.disks);
  const visible = journal.points.map((point) => point.point);
  for (const point of promised) if (!mayBeGone.has(point)) expect(visible, 'acknowledged points').to.include(point);
  for (const point of SCRIPT.slice(0, step).flatMap((done) => done.removes ?? [])) expect(visible).to.not.include(point);
  expect(await journal.verify()).to.deep.include({ ok: true, problems: [] });

  for (const point of journal.points) if (point.state === 'applied') await lab.expectPoint(point.point, images.get(point.point)!);
  await journal.apply(lab.disks);

  for (const point of journal.points) await lab.expectPoint(point.point, images.get(point.point)!);
  for (const [key, disk] of lab.disks) {
    const allocated = journal.allocated(key);
    for (let at = 0; at < disk.sizeBytes; at += KiB)
      if (
        disk
          .image()
          .subarray(at, at + KiB)
          .some((byte) => byte !== 0)
      )
        expect(allocated.some((range) => at >= range.offset && at < range.offset + range.length)).to.equal(true);
  }
};

const crashAt = async (call: number, seed: number): Promise<void> => {
  const faults = new Faults();
  faults.crashAt = call;
  const lab = new Lab(faults);
  let step = 0;
  try {
    await lab.open();
    step = (await runFrom(lab, 0)) ?? SCRIPT.length;
  } catch (error) {
    if (!faults.crashed) throw error;
  }

  await assertRules(await lab.crash(seed), step);

  const again = await lab.crash(seed);
  expect(await runFrom(again, step), 'the rest of the script').to.equal(undefined);
  await assertRules(again, SCRIPT.length);
};

describe('crash sweep of the journal', () => {
  it('keeps every acknowledged point whole, whichever call the machine dies in', async function () {
    this.timeout(120_000);
    const lab = await new Lab().open();
    await runFrom(lab, 0);
    const { calls } = lab.faults;

    for (let call = 1; call <= calls; call++) {
      for (let seed = 1; seed <= 3; seed++) {
        try {
          await crashAt(call, call * 1000 + seed);
        } catch (error) {
          throw new Error(`crash in call ${call} (${lab.faults.trace[call - 1]}), seed ${seed}`, { cause: error });
        }
      }
    }
    expect(calls).to.be.greaterThan(300);
  });
});
