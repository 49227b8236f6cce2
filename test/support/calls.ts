// Calls as the host makes them, for tests of plugins' parts.
import type { Call, Epoch, Finding, ItemId, Log } from '../../core/contract/index.ts';

export const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined };

let serial = 0;
export const callOf = (more: Partial<Call> = {}): Call => ({
  signal: new AbortController().signal,
  deadlineMs: 30_000,
  log: SILENT,
  operationId: `operation-${++serial}`,
  ...more,
});

export const epoch = (number: number, holder = 'site-a'): Epoch => ({ item: 'item-1' as ItemId, epoch: number, holder });

export const codesOf = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code);
