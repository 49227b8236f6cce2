import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { Faults, MemoryDisk } from '../../../support/memory-files.ts';
import { bytes, type Change, changed, DISKS, EMPTY, type Images, Lab, SIZES } from './lab.ts';

/** The journal as a list of full images. */
interface ModelPoint {
  readonly id: string;
  readonly images: Images;
  applied: boolean;
}

const aChange: fc.Arbitrary<Change> = fc
  .record({
    disk: fc.constantFrom('a', 'b'),
    sector: fc.nat(127),
    sectors: fc.integer({ min: 1, max: 24 }),
    seed: fc.option(fc.nat(), { nil: undefined }),
  })
  .map(({ disk, sector, sectors, seed }) => {
    const offset = (sector * 512) % SIZES[disk]!;
    const length = Math.min(sectors * 512, SIZES[disk]! - offset);
    return { disk, offset, length, ...(seed === undefined ? {} : { data: bytes(seed, length) }) };
  });

type Command =
  | { readonly do: 'cycle'; readonly changes: readonly Change[] }
  | { readonly do: 'apply'; readonly share: number }
  | { readonly do: 'prune'; readonly mask: number }
  | { readonly do: 'rollBack'; readonly which: number }
  | { readonly do: 'crash'; readonly seed: number };

const aCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('cycle' as const), changes: fc.array(aChange, { maxLength: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('apply' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('prune' as const), mask: fc.nat(0xffff) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rollBack' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), seed: fc.nat() }) },
);

/** Runs one command on both and returns the lab that goes on. */
const step = async (lab: Lab, model: ModelPoint[], command: Command, id: string): Promise<Lab> => {
  if (command.do === 'cycle') {
    await lab.cycle(id, command.changes);
    model.push({ id, images: changed(model.at(-1)?.images ?? EMPTY, command.changes), applied: false });
  } else if (command.do === 'apply') {
    const target = model[Math.floor(command.share * (model.length - 1))];
    if (!target) return lab;
    await lab.journal.apply(lab.disks, { upTo: target.id });
    for (const point of model.slice(0, model.indexOf(target) + 1)) point.applied = true;
  } else if (command.do === 'prune') {
    const chosen = model.filter((_, index) => (command.mask >> index) & 1).map((point) => point.id);
    const head = model.findLast((point) => point.applied);
    const goes = (point: ModelPoint) => point.applied && point !== head && chosen.includes(point.id);
    const gone = await lab.journal.prune(chosen);
    expect(gone.toSorted()).to.deep.equal(
      model
        .filter(goes)
        .map((point) => point.id)
        .toSorted(),
    );
    model.splice(0, model.length, ...model.filter((point) => !goes(point)));
  } else if (command.do === 'rollBack') {
    const applied = model.filter((point) => point.applied);
    const target = applied[command.which % Math.max(1, applied.length)];
    if (!target) return lab;
    await lab.journal.rollBack(target.id, lab.disks);
    model.splice(model.indexOf(target) + 1);
  } else return lab.crash(command.seed);
  return lab;
};

const compare = async (lab: Lab, model: readonly ModelPoint[]): Promise<void> => {
  expect(lab.journal.points.map(({ point, state }) => [point, state === 'applied'])).to.deep.equal(
    model.map(({ id, applied }) => [id, applied]),
  );
  for (const point of model) if (point.applied) await lab.expectPoint(point.id, point.images);
  expect((await lab.journal.verify()).problems).to.deep.equal([]);
};

describe('journal against a list of full images', () => {
  it('has the same points with the same content after any sequence of operations and power cuts', async function () {
    this.timeout(60_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(aCommand, { minLength: 1, maxLength: 25 }),
        fc.record({ alignmentBytes: fc.constantFrom(512, 4096, 8192), factor: fc.constantFrom(1, 4), maxInFlight: fc.constantFrom(1, 4) }),
        async (commands, { alignmentBytes, factor, maxInFlight }) => {
          const faults = new Faults();
          const limits = { alignmentBytes, maxRequestBytes: alignmentBytes * factor, maxInFlight, faults };
          const disks = new Map(DISKS.map(({ key, sizeBytes }) => [key, new MemoryDisk({ sizeBytes, ...limits })]));
          let lab = await new Lab(faults, undefined, disks).open();
          const model: ModelPoint[] = [];
          for (const [index, command] of commands.entries()) lab = await step(lab, model, command, `p${index}`);

          await compare(lab, model);
          await lab.journal.apply(lab.disks);
          for (const point of model) point.applied = true;
          await compare(lab, model);
        },
      ),
      { numRuns: 250 },
    );
  });
});
