import type { CaseResult, Report } from './kit.ts';

/** Headings of docs/integrator/contract.md by the letters that case ids begin with. */
export const PARAGRAPHS: Readonly<Record<string, string>> = {
  MAN: 'manifest-and-connect',
  SES: 'session',
  INV: 'inventory',
  ERR: 'errors',
  PWR: 'power',
  SNP: 'snapshots',
  CHG: 'change-tracking',
  ALC: 'allocated-ranges',
  RDR: 'reading-disks',
  STR: 'streaming-sources',
  TGT: 'targets',
  FRK: 'forks',
  NET: 'networks',
  FNC: 'fencing',
  FLT: 'faults',
  NAT: 'native-pairs',
};

export interface ReportOptions {
  /** As `plugin check` takes it: a path or a name. */
  readonly plugin: string;
}

export const formatReport = (report: Report, { plugin }: ReportOptions): string => {
  const count = (outcome: CaseResult['outcome']) => report.results.filter((result) => result.outcome === outcome).length;
  const lines = report.results.flatMap((result) => (result.outcome === 'failed' ? [...failure(result, plugin), ''] : []));
  const unproven = skipped(report);
  if (unproven.length > 0) lines.push('not proven here', ...unproven, '');
  lines.push(
    ...(report.leftBehind.length === 0 ? ['nothing is left behind'] : ['left behind', ...report.leftBehind.map((line) => `  ${line}`)]),
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} not proven, ${(report.durationMs / 1000).toFixed(1)} s`,
  );
  return `${lines.join('\n')}\n`;
};

const failure = (result: Extract<CaseResult, { outcome: 'failed' }>, plugin: string): string[] => [
  `${result.id} failed: ${result.title}`,
  `  promise       ${result.promise}`,
  `  seen          ${result.seen}`,
  `  likely cause  ${result.likelyCause}`,
  ...(result.at ? [`  at            ${result.at}`] : []),
  ...result.calls.map((call, index) => `  ${index === 0 ? 'last calls   ' : '             '} ${call}`),
  `  contract      docs/integrator/contract.md#${PARAGRAPHS[result.id.slice(0, 3)] ?? ''}`,
  `  alone         warmsite plugin check ${plugin} --only ${result.id}`,
];

/** One line per reason: a target without forks skips a dozen cases for one reason. */
const skipped = (report: Report): string[] => {
  const byReason = new Map<string, string[]>();
  for (const result of report.results) {
    if (result.outcome === 'skipped') byReason.set(result.reason, [...(byReason.get(result.reason) ?? []), result.id]);
  }
  return [...byReason].map(([reason, ids]) => `  ${reason}: ${ids.join(' ')}`);
};
