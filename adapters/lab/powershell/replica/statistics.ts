// What Measure-VMReplication adds up, in windows of a day.
import type { At } from '../model.ts';
import type { Replicated, StatisticsRecord } from './model.ts';

const DAY_MS = 24 * 3_600_000;

export const newStatistics = (startedMs: number): StatisticsRecord => ({
  startedMs,
  successful: 0,
  missed: 0,
  errors: 0,
  sentBytes: 0,
  largestBytes: 0,
  latencyMs: 0,
  longestMs: 0,
});

const current = ({ estate }: At, { hv }: Replicated): StatisticsRecord => {
  const now = estate.timeline.now();
  if (now - hv.replication.statistics.startedMs >= DAY_MS) hv.replication.statistics = newStatistics(now);
  return hv.replication.statistics;
};

export const noteSent = (at: At, machine: Replicated, { bytes, tookMs }: { bytes: number; tookMs: number }): void => {
  const sum = current(at, machine);
  sum.successful++;
  sum.sentBytes += bytes;
  sum.largestBytes = Math.max(sum.largestBytes, bytes);
  sum.latencyMs += tookMs;
  sum.longestMs = Math.max(sum.longestMs, tookMs);
  at.estate.touch(machine);
};

export const noteMissed = (at: At, machine: Replicated): void => {
  const sum = current(at, machine);
  sum.missed++;
  sum.errors++;
  at.estate.touch(machine);
};
