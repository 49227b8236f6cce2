import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CASES, type CaseResult, runConformance, type Subject } from '../../../../core/conformance/index.ts';
import { guardSession } from '../../../../core/host/guard.ts';
import { Redactor } from '../../../../core/host/secret.ts';
import { kitLab } from '../../../support/kit-estate.ts';
import { NativeGround } from './pair.ts';

const NATIVE = CASES.filter(({ id }) => id.startsWith('NAT-')).map(({ id }) => id);

const subjectOf = (ground: NativeGround): Subject => ({
  plugin: ground.plugin,
  config: ground.config('source'),
  scratch: { machines: [ground.id] },
  pair: { config: ground.config('replica'), machine: ground.id },
  lab: kitLab(ground.estate),
  scale: { diskBytes: 2 ** 20, caseTimeoutMs: 20_000 },
});

const guarded = (subject: Subject): Subject => {
  const of = { endpoint: 'endpoint', manifest: subject.plugin.manifest, redactor: new Redactor([]), sizes: new Map() };
  return { ...subject, plugin: { ...subject.plugin, connect: async (...args) => guardSession(await subject.plugin.connect(...args), of) } };
};

const failures = (results: readonly CaseResult[]): string[] =>
  results.flatMap((result) =>
    result.outcome === 'passed' ? [] : [`${result.id} ${result.outcome}: ${'seen' in result ? result.seen : ''}`],
  );

describe('hosts that replicate by themselves', () => {
  for (const kind of ['host', 'cluster', 'vmm'] as const) {
    it(`keep the contract of native pairs, with a ${kind} at the other end`, async function () {
      this.timeout(120_000);
      await using ground = await NativeGround.open({ kind });

      const report = await runConformance(guarded(subjectOf(ground)), { only: NATIVE });

      expect(failures(report.results)).to.deep.equal([]);
      expect(report.results).to.have.lengthOf(10);
      expect(report.leftBehind).to.deep.equal([]);
    });
  }
});
