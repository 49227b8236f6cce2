import type { Case } from './case.ts';
import { faultCases } from './fault-cases.ts';
import { fenceCases } from './fence-cases.ts';
import { forkCases } from './fork-cases.ts';
import { inventoryCases } from './inventory-cases.ts';
import { manifestCases } from './manifest-cases.ts';
import { nativeCases } from './native-cases.ts';
import { networkCases } from './network-cases.ts';
import { powerCases } from './power-cases.ts';
import { readerCases } from './reader-cases.ts';
import { sessionCases } from './session-cases.ts';
import { snapshotCases } from './snapshot-cases.ts';
import { streamingCases } from './streaming-cases.ts';
import { targetCases } from './target-cases.ts';
import { trackingCases } from './tracking-cases.ts';

const all: readonly Case[] = [
  ...manifestCases,
  ...sessionCases,
  ...inventoryCases,
  ...powerCases,
  ...snapshotCases,
  ...trackingCases,
  ...readerCases,
  ...streamingCases,
  ...targetCases,
  ...forkCases,
  ...networkCases,
  ...fenceCases,
  ...faultCases,
  ...nativeCases,
];

/** In the order in which they run: by level. Ids are unique and never used again. */
export const CASES: readonly Case[] = [...all].sort((a, b) => a.level - b.level);
