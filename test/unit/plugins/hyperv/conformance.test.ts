import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type CaseResult, runConformance, type Subject } from '../../../../core/conformance/index.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor } from '../../../../core/host/secret.ts';
import { hypervSubject } from './subject.ts';

/** What a checkpoint source cannot prove; a host in process has no key to pin (SES-007), and hosts tell nobody of changes (INV-011). */
const NOTHING_TO_PROVE = /^(NAT-|STR-|SES-007|INV-011|SNP-007|SNP-009)/;

const guarded = (subject: Subject): Subject => {
  const of = { endpoint: 'endpoint', manifest: subject.plugin.manifest, redactor: new Redactor([]), sizes: new Map() };
  return { ...subject, plugin: { ...subject.plugin, connect: async (...args) => guardSession(await subject.plugin.connect(...args), of) } };
};

const failures = (results: readonly CaseResult[]): string[] =>
  results.flatMap((result) => (result.outcome === 'failed' ? [`${result.id}: ${result.seen}`] : []));
const skips = (results: readonly CaseResult[]): string[] => results.flatMap(({ id, outcome }) => (outcome === 'skipped' ? [id] : []));

describe('the hyperv plugin over simulated hosts', () => {
  for (const kind of ['host', 'cluster', 'vmm'] as const) {
    it(`keeps the contract at a ${kind}`, async function () {
      this.timeout(180_000);
      await using made = await hypervSubject(kind);

      const report = await runConformance(made.subject);

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.leftBehind).to.deep.equal([]);
      expect(skips(report.results).filter((id) => !NOTHING_TO_PROVE.test(id))).to.deep.equal([]);
    });
  }

  it('keeps the contract behind the guard', async function () {
    this.timeout(60_000);
    await using made = await hypervSubject();

    const report = await runConformance(guarded(made.subject));

    expect(failures(report.results)).to.deep.equal([]);
    expect(report.leftBehind).to.deep.equal([]);
  });
});
