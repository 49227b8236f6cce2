const MINUTES = [1, 2, 4, 8, 10] as const;

/** What has failed so many times in a row is tried again after 1, 2, 4, 8, then every 10 minutes. */
export const pauseAfterMs = (failures: number): number => (MINUTES[Math.min(failures, MINUTES.length) - 1] ?? 10) * 60_000;
