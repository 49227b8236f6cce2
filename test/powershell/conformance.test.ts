// The hyperv plugin through a true PowerShell: the real client, the shipped dispatcher, and mock modules in the vendors' place.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { runConformance, type Subject } from '../../core/conformance/index.ts';
import { hypervSubject } from '../unit/plugins/hyperv/subject.ts';
import { mockModules } from './engine.ts';
import type { MockModules } from './mock/modules.ts';
import { createTrueEstate, type TrueEstate } from './mock/open.ts';

/** A session takes a second or more to begin here; the time of the lab stands still meanwhile. */
const patient = ({ lab, scale, ...subject }: Subject, { quiet }: TrueEstate): Subject => {
  if (!lab) throw new Error('the subject has no lab');
  const advance = async (ms: number): Promise<void> => {
    await quiet();
    await lab.advance(ms);
  };
  return { ...subject, lab: { ...lab, advance }, scale: { ...scale, caseTimeoutMs: 60_000 } };
};

describe('the hyperv plugin through a true PowerShell', function () {
  this.timeout(600_000);
  let modules: MockModules;

  before(async function () {
    modules = await mockModules(this);
  });
  after(() => modules?.[Symbol.asyncDispose]());

  // Whatever else a cluster and a VMM server do is done by a host in the end: once through all of it takes minutes.
  for (const { kind, selection, atLeast } of [
    { kind: 'host', selection: {}, atLeast: 100 },
    { kind: 'cluster', selection: { only: ['SES', 'ERR', 'INV', 'PWR', 'TGT'] }, atLeast: 30 },
    { kind: 'vmm', selection: { only: ['SES', 'ERR', 'INV'] }, atLeast: 15 },
  ] as const) {
    it(`keeps the contract at a ${kind}`, async () => {
      let estate: TrueEstate | undefined;
      await using made = await hypervSubject(kind, async (options) => (estate = await createTrueEstate(modules, options)));

      const { results, leftBehind } = await runConformance(patient(made.subject, estate!), selection);

      expect(results.flatMap((one) => (one.outcome === 'failed' ? [`${one.id}: ${one.seen}`] : []))).to.deep.equal([]);
      expect(leftBehind).to.deep.equal([]);
      expect(results.filter(({ outcome }) => outcome === 'passed')).to.have.length.above(atLeast);
      expect(estate?.disagreements).to.deep.equal([]);
    });
  }
});
