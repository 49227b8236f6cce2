import { expect } from 'chai';
import { describe, it } from 'mocha';
import { runConformance } from '../../../../core/conformance/index.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor } from '../../../../core/host/secret.ts';
import { NATIVE_VARIANTS, nativeSubject } from './native-variants.ts';

const failures = (results: readonly { readonly id: string; readonly outcome: string; readonly seen?: string }[]): string[] =>
  results.flatMap((result) => (result.outcome === 'passed' ? [] : [`${result.id} ${result.outcome}: ${result.seen ?? ''}`]));

describe('the kit on hosts that replicate by themselves', () => {
  it('finds nothing wrong with good ones, and leaves no pair', async () => {
    const { subject, hosts } = nativeSubject();

    const report = await runConformance(subject, { only: ['NAT-'] });

    expect(failures(report.results)).to.deep.equal([]);
    expect(report.leftBehind).to.deep.equal([]);
    expect(hosts.machine('one', 'vm-scratch')).to.include({ role: 'none', power: 'on' });
  });

  it('finds nothing wrong with them behind the guard', async () => {
    const { subject } = nativeSubject();
    const of = { endpoint: 'one', manifest: subject.plugin.manifest, redactor: new Redactor([]), sizes: new Map() };
    const connect: typeof subject.plugin.connect = async (...args) => guardSession(await subject.plugin.connect(...args), of);

    const report = await runConformance({ ...subject, plugin: { ...subject.plugin, connect } }, { only: ['NAT-'] });

    expect(failures(report.results)).to.deep.equal([]);
  });

  for (const variant of NATIVE_VARIANTS) {
    it(`catches a plugin that ${variant.name}: ${variant.caughtBy.join(' ')}`, async () => {
      const { results } = await runConformance(variant.breaks(nativeSubject()), { only: variant.caughtBy });

      expect(results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal(variant.caughtBy.map((id) => `${id} failed`));
    });
  }
});
