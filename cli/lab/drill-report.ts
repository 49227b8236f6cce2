// What the drill has measured, and its verdict.
import type { TestProof } from '../../core/domain/item.ts';
import type { PointRecord } from '../../core/state/points.ts';
import type { Column } from '../output/table.ts';
import { bytesText, durationText } from '../output/text.ts';
import type { Sighting } from './notary.ts';
import type { OwnFinding } from './own-disk.ts';

export interface Stage {
  readonly name: string;
  readonly seen: string;
  readonly tookMs: number;
}

interface Move {
  readonly lossMs: number;
  readonly rtoMs: number;
}

export interface Outcome {
  readonly stages: readonly Stage[];
  readonly sightings: readonly Sighting[];
  readonly points: readonly (PointRecord & { readonly machine: string })[];
  readonly worstLagMs: ReadonlyMap<string, number>;
  readonly tests: ReadonlyMap<string, TestProof>;
  readonly planned: ReadonlyMap<string, Move>;
  readonly failback: ReadonlyMap<string, Move>;
  readonly unplanned: ReadonlyMap<string, Move>;
  readonly fenced: readonly string[];
  readonly violations: number;
  readonly leftovers: readonly string[];
  readonly ownDisk?: readonly OwnFinding[];
  readonly tookMs: number;
  readonly peakBytes: { readonly engine: number; readonly lab: number };
  readonly directory: string | undefined;
}

export interface MachineResult {
  readonly machine: string;
  readonly points: number;
  readonly worstLagMs: number;
  readonly testRtoMs?: number;
  readonly plannedRtoMs?: number;
  readonly unplannedRtoMs?: number;
  /** What the source had written and the copy has not, by the guest's own last transactions. */
  readonly unplannedLossMs: number;
  readonly readBytes: number;
  readonly sentBytes: number;
  /** What whole copies of the disks would have sent for the same points, less what was sent. */
  readonly savedBytes: number;
  readonly copiesCompared: number;
  readonly identical: boolean;
}

export interface DrillReport {
  readonly ok: boolean;
  readonly verdict: string;
  readonly machines: readonly MachineResult[];
  readonly stages: readonly Stage[];
  readonly comparisons: readonly Sighting[];
  readonly fenced: readonly string[];
  readonly violations: number;
  readonly leftovers: readonly string[];
  readonly ownDisk?: readonly OwnFinding[];
  readonly tookMs: number;
  readonly peakBytes: Outcome['peakBytes'];
  readonly directory?: string;
}

/** After a planned move the copy must equal the source itself, not only what was recorded of it. */
const MUST_EQUAL_SOURCE = ['planned failover', 'failback'];
const COMPARED = ['test failover, newest point', 'test failover, older point', 'planned failover', 'failback', 'unplanned failover'];

export const isRight = (sighting: Sighting): boolean =>
  sighting.asRecorded && sighting.consistent && (sighting.asSource || !MUST_EQUAL_SOURCE.includes(sighting.stage));

const lossOf = ({ writtenAt, sourceWrittenAt }: Sighting): number =>
  writtenAt && sourceWrittenAt ? Math.max(0, Date.parse(sourceWrittenAt) - Date.parse(writtenAt)) : 0;

export const judge = (outcome: Outcome): DrillReport => {
  const names = [...new Set(outcome.points.map((point) => point.machine))].sort();
  const machines = names.map((name) => resultOf(name, outcome));
  const identical = machines.filter((machine) => machine.identical).length;
  const lostBytes = outcome.sightings.filter((sighting) => sighting.stage === 'planned failover' && !sighting.asSource).length;
  const worstLoss = Math.max(0, ...machines.map((machine) => machine.unplannedLossMs));
  const own = outcome.ownDisk ?? [];
  const ok =
    names.length > 0 &&
    identical === names.length &&
    outcome.violations === 0 &&
    outcome.leftovers.length === 0 &&
    outcome.fenced.length === names.length &&
    own.every((finding) => finding.ok);
  const wrong = [
    ...(outcome.violations > 0 ? [`${outcome.violations} times two copies ran`] : []),
    ...(outcome.leftovers.length > 0 ? [`${outcome.leftovers.length} things left behind`] : []),
    ...(outcome.fenced.length < names.length ? [`${names.length - outcome.fenced.length} old sources not fenced`] : []),
    ...(own.every((finding) => finding.ok) ? [] : ['the copy of the given disk differs']),
  ];
  const verdict = [
    `${identical} of ${names.length} replicas identical`,
    lostBytes === 0 ? '0 bytes lost in the planned failover' : `${lostBytes} machines lost data in the planned failover`,
    `${durationText(worstLoss)} lost in the unplanned one`,
    ...wrong,
  ].join(', ');
  const { stages, fenced, violations, leftovers, ownDisk, tookMs, peakBytes, directory } = outcome;
  return {
    ok,
    verdict,
    machines,
    stages,
    comparisons: outcome.sightings,
    fenced,
    violations,
    leftovers,
    ...(ownDisk ? { ownDisk } : {}),
    tookMs,
    peakBytes,
    ...(directory ? { directory } : {}),
  };
};

const resultOf = (machine: string, outcome: Outcome): MachineResult => {
  const points = outcome.points.filter((point) => point.machine === machine && point.kind !== 'divergent');
  const sightings = outcome.sightings.filter((sighting) => sighting.machine === machine);
  const readBytes = points.reduce((sum, point) => sum + point.detail.readBytes, 0);
  const sentBytes = points.reduce((sum, point) => sum + sentOf(point), 0);
  const diskBytes = Math.max(0, ...sightings.map((sighting) => sighting.diskBytes));
  const [test, planned, unplanned] = [outcome.tests.get(machine), outcome.planned.get(machine), outcome.unplanned.get(machine)];
  return {
    machine,
    points: points.length,
    worstLagMs: outcome.worstLagMs.get(machine) ?? 0,
    ...(test ? { testRtoMs: test.rtoMs } : {}),
    ...(planned ? { plannedRtoMs: planned.rtoMs } : {}),
    ...(unplanned ? { unplannedRtoMs: unplanned.rtoMs } : {}),
    unplannedLossMs: Math.max(0, ...sightings.filter((sighting) => sighting.stage === 'unplanned failover').map(lossOf)),
    readBytes,
    sentBytes,
    savedBytes: Math.max(0, diskBytes * points.length - sentBytes),
    copiesCompared: sightings.length,
    identical: COMPARED.every((stage) => sightings.some((sighting) => sighting.stage === stage)) && sightings.every(isRight),
  };
};

/** A first copy goes straight to the replica, past the journal: what was read is what was sent. */
export const sentOf = (point: PointRecord): number => (point.kind === 'first' ? point.detail.readBytes : point.dataBytes);

const optional = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : durationText(ms));

export const resultColumns: readonly Column<MachineResult>[] = [
  { title: 'machine', value: (row) => row.machine },
  { title: 'points', right: true, value: (row) => row.points },
  { title: 'worst lag', right: true, value: (row) => durationText(row.worstLagMs) },
  { title: 'rto test', right: true, value: (row) => optional(row.testRtoMs) },
  { title: 'planned', right: true, value: (row) => optional(row.plannedRtoMs) },
  { title: 'unplanned', right: true, value: (row) => optional(row.unplannedRtoMs) },
  { title: 'lost', right: true, value: (row) => durationText(row.unplannedLossMs) },
  { title: 'read', right: true, value: (row) => bytesText(row.readBytes) },
  { title: 'sent', right: true, value: (row) => bytesText(row.sentBytes) },
  { title: 'saved', right: true, value: (row) => bytesText(row.savedBytes) },
  {
    title: 'copies',
    right: true,
    value: (row) => `${row.copiesCompared} ${row.identical ? 'identical' : 'DIFFER'}`,
    style: (row) => (row.identical ? 'green' : 'red'),
  },
];
