// What checks found, one line each.
import { DATA_PATH, type Finding } from '../core/contract/index.ts';

const MARK = { blocks: 'fail', warning: 'warn', info: 'ok' } as const;

export const isDataPath = (finding: Finding): boolean => finding.code === DATA_PATH;

/** The next step, where there is one: what is well asks for none, but a way that data takes may have a better one. */
const nextOf = ({ level, hint }: Finding, dataPath: boolean): string => {
  const asks = level !== 'info' || (dataPath && hint !== '' && !/^(nothing|none)\b/i.test(hint));
  return asks ? `; next: ${hint}` : '';
};

export const findingLine = (finding: Finding): string => {
  const dataPath = isDataPath(finding);
  const mark = dataPath && finding.level === 'info' ? 'data' : MARK[finding.level];
  return `${mark.padEnd(4)}  ${finding.message}${nextOf(finding, dataPath)}`;
};

export const findingLines = (findings: readonly Finding[]): string[] => findings.map((finding) => `  ${findingLine(finding)}`);
