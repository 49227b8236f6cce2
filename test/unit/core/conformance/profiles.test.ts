import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ProfileName } from '../../../../adapters/lab/port.ts';
import { type CaseResult, runConformance, type Subject } from '../../../../core/conformance/index.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor } from '../../../../core/host/secret.ts';
import { pinned } from '../../../support/pinned-plugin.ts';
import { memorySubject } from './memory-subject.ts';

const PROFILES: readonly ProfileName[] = ['vmware', 'hyperv', 'kvm', 'physical'];

/** Skipped where the shape of the plugin leaves nothing to prove; the lab's endpoints have no certificate (SES-007). */
const facets: Readonly<Record<ProfileName, RegExp>> = {
  vmware: /^(NAT-|SES-007|STR-|SNP-007|SNP-009|SNP-012)/,
  hyperv: /^(NAT-|SES-007|STR-|SNP-009|SNP-012)/,
  kvm: /^(NAT-|SES-007|STR-|SNP-007)/,
  physical: /^(NAT-|SES-007|SNP-|CHG-|ALC-|RDR-|FRK-|NET-|FNC-004|FLT-00[234578]|TGT-00[1234]|TGT-011|TGT-01[34])/,
};

const guarded = (subject: Subject): Subject => {
  const of = { endpoint: 'endpoint', manifest: subject.plugin.manifest, redactor: new Redactor([]), sizes: new Map() };
  return {
    ...subject,
    plugin: { ...subject.plugin, connect: async (...args) => guardSession(await subject.plugin.connect(...args), of) },
  };
};

const failures = (results: readonly CaseResult[]): string[] =>
  results.flatMap((result) => (result.outcome === 'failed' ? [`${result.id}: ${result.seen}`] : []));

const skips = (results: readonly CaseResult[]): string[] => results.flatMap(({ id, outcome }) => (outcome === 'skipped' ? [id] : []));

describe('the kit on good plugins', () => {
  for (const profile of PROFILES) {
    it(`finds nothing wrong with memory-${profile}, and skips only what its shape lacks`, async () => {
      await using good = await memorySubject(profile);

      const report = await runConformance(good.subject);

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.leftBehind).to.deep.equal([]);
      expect(skips(report.results).filter((id) => !facets[profile].test(id))).to.deep.equal([]);
    });

    it(`finds nothing wrong with memory-${profile} behind the guard`, async () => {
      await using good = await memorySubject(profile);

      const report = await runConformance(guarded(good.subject));

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.leftBehind).to.deep.equal([]);
    });

    it(`needs no lab to try memory-${profile}, and says what is not proven then`, async () => {
      await using good = await memorySubject(profile);
      const { lab: _, ...subject } = good.subject;

      // Nobody moves the clock of the estate here, so that no guest comes up.
      const report = await runConformance({ ...subject, scale: { ...subject.scale, bootMs: 0 } });

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.leftBehind).to.deep.equal([]);
      expect(await good.subject.lab?.leftovers('warmsite-conformance')).to.deep.equal([]);
      expect(skips(report.results)).to.include('FLT-001');
    });
  }

  it('reads only where no scratch machine is given, and changes nothing', async () => {
    await using good = await memorySubject('hyperv');
    const { plugin, config } = good.subject;
    const before = good.estate.estate.revision;

    const report = await runConformance({ plugin, config }, { levels: [0, 1, 2] });

    expect(failures(report.results)).to.deep.equal([]);
    expect(report.results.filter(({ level, outcome }) => level === 2 && outcome !== 'skipped')).to.deep.equal([]);
    expect(good.estate.estate.revision).to.equal(before);
  });

  it('proves of a plugin with a pin that it compares it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ws-kit-'));
    try {
      const config = { address: join(folder, 'endpoint.json'), pin: '11'.repeat(32) };
      await writeFile(config.address, JSON.stringify({ fingerprint: config.pin, signed: true }));

      const report = await runConformance({ plugin: pinned, config }, { only: ['SES-007'] });

      expect(report.results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal(['SES-007 passed']);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
