import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CASES, runConformance } from '../../../../core/conformance/index.ts';
import { memorySubject } from './memory-subject.ts';
import { NATIVE_VARIANTS } from './native-variants.ts';
import { VARIANTS } from './variants.ts';

describe('broken variants of a good plugin', () => {
  for (const variant of VARIANTS) {
    it(`${variant.profile}: ${variant.name}: caught by ${variant.caughtBy.join(' ')}`, async () => {
      await using good = await memorySubject(variant.profile);

      const bad = variant.breaks(good);

      // Some are caught by hanging: a case of a good plugin here takes a tenth of this.
      const { results } = await runConformance({ ...bad, scale: { ...bad.scale, caseTimeoutMs: 1500 } }, { only: variant.caughtBy });

      const missed = results.filter((result) => result.outcome !== 'failed').map((result) => `${result.id} ${result.outcome}`);
      expect(results.map((result) => result.id)).to.have.members(variant.caughtBy);
      expect(missed).to.deep.equal([]);
    });
  }

  it('every case is named by a variant that it catches', () => {
    const named = new Set([...VARIANTS, ...NATIVE_VARIANTS].flatMap((variant) => variant.caughtBy));

    const unproven = CASES.map((one) => one.id).filter((id) => !named.has(id));

    expect(unproven).to.deep.equal([]);
  });
});
