import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type CaseResult, runConformance, type Subject } from '../../../../core/conformance/index.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor } from '../../../../core/host/secret.ts';
import { vmwareSubject } from './subject.ts';

/** What a VM snapshot source cannot prove, or a reader over block devices need not; a wire in process has no certificate (SES-007). */
const NOTHING_TO_PROVE = /^(NAT-|STR-|SES-007|SNP-007|SNP-009|RDR-007|RDR-010)/;

const guarded = (subject: Subject): Subject => {
  const of = { endpoint: 'endpoint', manifest: subject.plugin.manifest, redactor: new Redactor([]), sizes: new Map() };
  return { ...subject, plugin: { ...subject.plugin, connect: async (...args) => guardSession(await subject.plugin.connect(...args), of) } };
};

const failures = (results: readonly CaseResult[]): string[] =>
  results.flatMap((result) => (result.outcome === 'failed' ? [`${result.id}: ${result.seen}`] : []));
const skips = (results: readonly CaseResult[]): string[] => results.flatMap(({ id, outcome }) => (outcome === 'skipped' ? [id] : []));

describe('the vmware plugin over the simulated vCenter', () => {
  for (const client of ['vim25', 'node-vsphere-soap'] as const) {
    it(`keeps the contract through ${client}`, async function () {
      // node-vsphere-soap takes two seconds for each of its sessions, on a machine that does nothing else.
      this.timeout(600_000);
      await using made = await vmwareSubject({ client });

      const report = await runConformance(made.subject);

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.leftBehind).to.deep.equal([]);
      expect(skips(report.results).filter((id) => !NOTHING_TO_PROVE.test(id))).to.deep.equal([]);
    });
  }

  it('keeps the contract behind the guard', async function () {
    this.timeout(60_000);
    await using made = await vmwareSubject();

    const report = await runConformance(guarded(made.subject));

    expect(failures(report.results)).to.deep.equal([]);
    expect(report.leftBehind).to.deep.equal([]);
  });
});
