import { ConformanceRun, type Selection, selectCases } from './kit.ts';
import type { Subject } from './subject.ts';

/** mocha's own functions, or any that work alike. */
export interface Runner {
  describe(title: string, body: () => void): unknown;
  it(title: string, body: (this: { skip(): unknown }) => Promise<void>): unknown;
  after(body: () => Promise<void>): unknown;
}

/** One test per case. `subject` is made when the first of them runs. */
export const bindConformance = (
  title: string,
  subject: () => Promise<Subject>,
  { describe, it, after }: Runner,
  selection: Selection = {},
): void => {
  describe(title, () => {
    let run: Promise<ConformanceRun> | undefined;
    for (const one of selectCases(selection)) {
      it(`${one.id} ${one.title}`, async function () {
        run ??= subject().then((made) => new ConformanceRun(made));
        const result = await (await run).case(one);
        if (result.outcome === 'skipped') this.skip();
        if (result.outcome === 'failed') throw new Error(`${result.seen}\npromise: ${result.promise}\nlikely cause: ${result.likelyCause}`);
      });
    }
    after(async () => {
      const left = await (await run)?.finish();
      if (left && left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
    });
  });
};
