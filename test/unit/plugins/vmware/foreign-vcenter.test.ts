// The conformance kit against the simulator of govmomi: what our own simulated vCenter and our plugin had wrong in the same way would show here.
import { expect } from 'chai';
import { runConformance } from '../../../../core/conformance/index.ts';
import { requireDrsim } from '../../../support/drsim.ts';
import { createProxiedEstate } from '../../../support/vcenter-proxy/start.ts';
import { vmwareSubject } from './subject.ts';

/** No streaming source, no snapshot over several machines, quiescing is offered, no digests of its own; the proxy has no certificate. */
const NOT_PROVEN = /^(NAT-|SES-007|STR-|SNP-007|SNP-009|RDR-007|RDR-010)/;

describe('the vmware plugin on a vCenter that we did not write', () => {
  before(async function () {
    await requireDrsim(this);
  });

  it('keeps every promise of the contract', async function () {
    this.timeout(120_000);
    await using made = await vmwareSubject({ openEstate: createProxiedEstate });

    const report = await runConformance(made.subject);

    expect(report.results.flatMap((result) => (result.outcome === 'failed' ? [`${result.id}: ${result.seen}`] : []))).to.deep.equal([]);
    expect(report.leftBehind).to.deep.equal([]);
    const skipped = report.results.flatMap(({ id, outcome }) => (outcome === 'skipped' ? [id] : []));
    expect(skipped.filter((id) => !NOT_PROVEN.test(id))).to.deep.equal([]);
  });
});
