export interface RetainedPoint {
  readonly id: string;
  readonly seq: number;
  readonly takenAt: string;
  readonly pinned: boolean;
  /** Proven good: a test failover started from it, or its content was compared with the source. */
  readonly verified: boolean;
  readonly kind: string;
}

export interface Retention {
  readonly points: number;
  readonly hours: number;
}

/**
 * The points to remove, oldest first (J11): those beyond the newest `points`, and those more than `hours` older than the newest.
 * Order is the sequence and age counts from the newest point, so a wrong clock here or at the source removes nothing that counting would keep.
 * The newest point, pinned points and the newest verified point stay.
 */
export const selectForPruning = (points: readonly RetainedPoint[], policy: Retention, state: { readonly frozen: boolean }): string[] => {
  if (state.frozen) return [];
  const newestFirst = points.toSorted((a, b) => b.seq - a.seq);
  const newest = newestFirst[0];
  if (!newest) return [];
  const oldestMs = Date.parse(newest.takenAt) - policy.hours * 3_600_000;
  const lastVerified = newestFirst.find((point) => point.verified && point.kind !== 'divergent');
  return newestFirst
    .filter(
      (point, age) => age > 0 && !point.pinned && point !== lastVerified && (age >= policy.points || Date.parse(point.takenAt) < oldestMs),
    )
    .map((point) => point.id)
    .reverse();
};
