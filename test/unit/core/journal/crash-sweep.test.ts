import { expect } from 'chai';
import { describe, it } from 'mocha';
import { subtract } from '../../../../core/domain/extents.ts';
import { type CallName, diskFull, Faults, ioError } from '../../../support/memory-files.ts';
import { type Change, changed, DIRECTORY, EMPTY, type Images, KiB, Lab, put, wipe } from './lab.ts';

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
  return { title: `cycle ${id}`, run: (lab) => lab.cycle(id, changes, groupCycle), ...(groupCycle === undefined && { adds: id }) };
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
  // Twice into the undo of the same point: the manifest of the first must not come back in the second.
  prune('p3'),
  prune('p2'),
  cycle('p5', 'p4', [put('a', 0, 16 * KiB, 10)]),
  cycle('p6', 'p5', [put('a', 8 * KiB, 16 * KiB, 11)]),
  apply,
  {
    title: 'materialise p4',
    run: async (lab) => {
      await lab.journal.materialise('p4', lab.forks());
    },
  },
  cycle('p7', 'p6', [wipe('a', 0, 64 * KiB), put('b', 0, 1024, 12)]),
  {
    title: 'roll back to p4',
    run: async (lab) => {
      await lab.journal.rollBack('p4', lab.disks);
      for (const [key, image] of images.get('p4')!) expect(lab.disks.get(key)!.image().equals(image)).to.equal(true);
    },
    removes: ['p5', 'p6', 'p7'],
  },
  cycle('p8', 'p4', [put('a', 60 * KiB, 4 * KiB, 13)]),
  cycle('p9', 'p8', [put('a', 1536, 1024, 14)], 'g1'),
  { title: 'decide the group', run: (lab) => lab.marks.decideGroup('g1', 'complete'), adds: 'p9' },
  apply,
  prune('p1', 'p4'),
];

/** Runs the script from a step on; returns the step that did not end, or the number of steps. */
const runFrom = async (lab: Lab, from: number): Promise<{ readonly step: number; readonly error?: unknown }> => {
  for (const [index, step] of SCRIPT.entries()) {
    if (index < from) continue;
    try {
      await step.run(lab);
    } catch (error) {
      return { step: index, error };
    }
  }
  return { step: SCRIPT.length };
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
  const debris = (await lab.files.list(DIRECTORY)).filter((name) => !/^(\d{12}\.[a-z]+(\.idx)?|alloc\.[ab])$/.test(name));
  expect(debris, 'left behind').to.deep.equal([]);

  for (const point of journal.points) if (point.state === 'applied') await lab.expectPoint(point.point, images.get(point.point)!);
  await journal.apply(lab.disks);
  const appliedTo = journal.head()?.seq ?? 0;
  const unneeded = (await lab.files.list(DIRECTORY)).filter((name) => name.endsWith('.redo') && Number.parseInt(name, 10) <= appliedTo);
  expect(unneeded, 'redo of applied cycles').to.deep.equal([]);

  for (const point of journal.points) await lab.expectPoint(point.point, images.get(point.point)!);
  for (const [key, disk] of lab.disks) {
    const image = disk.image();
    for (const { offset, length } of subtract([{ offset: 0, length: image.length }], journal.allocated(key)))
      expect(image.subarray(offset, offset + length).equals(Buffer.alloc(length)), `zero where ${key} is not allocated`).to.equal(true);
  }
};

const start = async (faults: Faults): Promise<{ readonly lab: Lab; readonly step: number; readonly error?: unknown }> => {
  const lab = new Lab(faults);
  try {
    await lab.open();
  } catch (error) {
    return { lab, step: 0, error };
  }
  return { lab, ...(await runFrom(lab, 0)) };
};

const SEEDS = [1, 2];

const crashAt = async (call: number): Promise<void> => {
  const faults = new Faults();
  faults.crashAt = call;
  const { lab, step, error } = await start(faults);
  if (!faults.crashed) throw error;
  for (const seed of SEEDS) await assertRules(await lab.crash(call * 1000 + seed), step);

  const again = await lab.crash(call * 1000);
  const rest = await runFrom(again, step);
  if (rest.step < SCRIPT.length) throw rest.error;
  await assertRules(again, SCRIPT.length);
};

const failAt = async (call: number, error: () => Error): Promise<void> => {
  const faults = new Faults();
  const chosen = error();
  faults.failAt = { call, error: () => chosen };
  let { lab, step, error: seen } = await start(faults);
  // A failure that the journal could live with, or that it reported.
  if (step < SCRIPT.length) expect(rootOf(seen)).to.equal(chosen);
  await assertRules(await lab.crash(call), step);

  // The same process goes on, without a restart, and then the power is cut.
  if (!lab.isOpen) await lab.open();
  ({ step, error: seen } = await runFrom(lab, step));
  if (step < SCRIPT.length) throw seen;
  await assertRules(await lab.crash(call), SCRIPT.length);
  await assertRules(lab, SCRIPT.length);
};

const rootOf = (error: unknown): unknown => (error instanceof SuppressedError ? rootOf(error.suppressed) : error);

const forEachCall = async (work: (call: number) => Promise<void>, only: readonly CallName[] = []): Promise<number> => {
  const { faults } = (await start(new Faults())).lab;
  const { calls, trace } = faults;
  for (let call = 1; call <= calls; call++) {
    if (only.length > 0 && !only.includes(trace[call - 1]!)) continue;
    try {
      await work(call);
    } catch (error) {
      throw new Error(`call ${call} of ${calls}: ${trace.slice(call - 3, call).join(', ')}`, { cause: error });
    }
  }
  return calls;
};

describe('sweep of the journal', function () {
  this.timeout(120_000);

  it('keeps every acknowledged point whole, whichever call the machine dies in', async () => {
    const calls = await forEachCall(crashAt);

    expect(calls).to.be.greaterThan(500);
  });

  it('keeps every acknowledged point whole and goes on, whichever call fails for want of space', async () => {
    await forEachCall((call) => failAt(call, diskFull), ['file.write', 'files.open', 'files.rename']);
  });

  it('keeps every acknowledged point whole and goes on, whichever call fails, and never relies on what a failed sync covered', async () => {
    await forEachCall((call) => failAt(call, ioError));
  });
});
