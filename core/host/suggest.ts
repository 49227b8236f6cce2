/** Edits that turn one word into the other: insert, delete or replace a letter. */
const distance = (from: string, to: string): number => {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [row, letter] of [...from].entries()) {
    const current = [row + 1];
    for (const [column, other] of [...to].entries()) {
      current.push(Math.min(previous[column + 1]! + 1, current[column]! + 1, previous[column]! + (letter === other ? 0 : 1)));
    }
    previous = current;
  }
  return previous[to.length]!;
};

/** The candidate that was probably meant: at most a third of its letters differ. */
export const suggest = (given: string, candidates: readonly string[]): string | undefined => {
  const near = candidates
    .map((candidate) => ({ candidate, edits: distance(given.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, edits }) => edits <= Math.max(1, Math.floor(candidate.length / 3)));
  return near.sort((a, b) => a.edits - b.edits)[0]?.candidate;
};
