// Holds the copies of one guest against each other, byte by byte: what its transactions have written may differ, everything else may not.
import type { MachineId } from '../../core/contract/index.ts';
import { BLOCK_BYTES } from './backing.ts';
import { check, findDatabase, walkLog } from './checker.ts';
import { CONFIG_AT, type GuestDisk, type Layout, LOG_AT, type LogRecord, PAGE_BYTES, pageOf, RECORD_BYTES, slotOf } from './database.ts';
import { bootFirst, type Estate, missing } from './estate.ts';
import type { Compared, Comparison } from './port.ts';
import type { MachineRecord } from './records.ts';
import { reachesProduction } from './two-live.ts';
import type { Volume } from './volume.ts';

/** Blocks and records begin at multiples of this. */
const UNIT_BYTES = RECORD_BYTES;

interface Copy {
  readonly machine: MachineRecord;
  readonly layout: Layout;
  /** Boot disk, then the one with the pages where that is another, then the rest. */
  readonly volumes: readonly Volume[];
  readonly log: readonly LogRecord[];
  readonly problems: readonly string[];
}

/** Every copy of the machine's guest, held against the one that runs in production, or else against the one that has written most. */
export const compare = (estate: Estate, id: MachineId): Comparison => {
  const asked = copyOf(estate, estate.machine(id)) ?? missing('guest of the lab on machine', id);
  const copies = [...estate.machines.values()].flatMap((machine) => {
    const copy = copyOf(estate, machine);
    return copy?.layout.identity === asked.layout.identity ? [copy] : [];
  });
  const runs = copies.filter(({ machine }) => estate.guests.has(machine.id) && reachesProduction(estate, machine));
  const against = (runs.length > 0 ? runs : copies).toSorted((a, b) => lastOf(b) - lastOf(a))[0]!;
  return {
    against: { ...subject(estate, against), problems: against.problems },
    copies: copies.filter((copy) => copy !== against).map((copy) => ({ ...subject(estate, copy), ...held(copy, against) })),
  };
};

const lastOf = ({ log }: Copy): number => log.at(-1)?.sequence ?? 0;

const subject = (estate: Estate, copy: Copy) => {
  const { id, name, endpoint, power } = copy.machine;
  const production = reachesProduction(estate, copy.machine);
  return { machine: id, name, endpoint, power, production, transactions: lastOf(copy) };
};

const copyOf = (estate: Estate, machine: MachineRecord): Copy | undefined => {
  const volumes = bootFirst(machine.spec).map((disk) => estate.live(machine, disk.id));
  const disks = new Map(volumes.map((volume) => [asDisk(volume), volume]));
  const found = findDatabase([...disks.keys()]);
  if (!found) return undefined;
  const { layout, boot, pages } = found;
  const first = [boot, ...(pages && pages !== boot ? [pages] : [])].map((disk) => disks.get(disk)!);
  return {
    machine,
    layout,
    volumes: [...first, ...volumes.filter((volume) => !first.includes(volume))],
    log: walkLog(boot, layout, []),
    problems: check([...disks.keys()]).problems,
  };
};

const asDisk = (volume: Volume): GuestDisk => ({
  sizeBytes: volume.sizeBytes,
  read: (offset, into) => volume.read(offset, into),
  write: () => {
    throw new Error('a copy that is compared is never written');
  },
});

const held = (copy: Copy, against: Copy): Pick<Compared, 'common' | 'differingBytes' | 'problems'> => {
  const common = lastCommon(copy, against);
  const explained = explanation(copy.layout, common ?? lastOf(copy), Math.max(lastOf(copy), lastOf(against)));
  let differingBytes = 0;
  const count = Math.max(copy.volumes.length, against.volumes.length);
  for (let disk = 0; disk < count; disk++) {
    const [mine, theirs] = [copy.volumes[disk], against.volumes[disk]];
    if (!mine || !theirs || mine.sizeBytes !== theirs.sizeBytes) differingBytes += Math.max(mine?.sizeBytes ?? 0, theirs?.sizeBytes ?? 0);
    else differingBytes += differences(mine, theirs, explained[disk] ?? new Set());
  }
  return { ...(common === undefined ? {} : { common }), differingBytes, problems: copy.problems };
};

/** The newest transaction that both have, by its hash, which goes over all before it. Undefined when the log of one begins after that of the other ends. */
const lastCommon = (copy: Copy, against: Copy): number | undefined => {
  const theirs = new Map(against.log.map(({ sequence, hash }) => [sequence, hash]));
  const last = copy.log.findLast(({ sequence, hash }) => theirs.get(sequence)?.equals(hash))?.sequence;
  const bothWhole = [copy, against].every(({ log }) => (log[0]?.sequence ?? 1) === 1);
  return last ?? (bothWhole ? 0 : undefined);
};

/** Units of each disk that transactions from `common` on write; the page of the last common one may be due yet. A boot writes the configuration. */
const explanation = (layout: Layout, common: number, newest: number): readonly Set<number>[] => {
  const boot = new Set<number>();
  const pages = layout.twoDisks ? new Set<number>() : boot;
  const add = (units: Set<number>, offset: number, length: number) => {
    for (let at = offset; at < offset + length; at += UNIT_BYTES) units.add(at / UNIT_BYTES);
  };
  add(boot, CONFIG_AT, PAGE_BYTES);
  for (let sequence = common; sequence <= newest; sequence++) {
    if (sequence > common) add(boot, LOG_AT + slotOf(layout, sequence) * RECORD_BYTES, RECORD_BYTES);
    if (sequence > 0) add(pages, layout.pagesAt + pageOf(layout, sequence) * layout.pageStride, PAGE_BYTES);
  }
  return [boot, pages];
};

const differences = (one: Volume, other: Volume, explained: ReadonlySet<number>): number => {
  const [mine, theirs] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)];
  let bytes = 0;
  for (let at = 0; at < one.sizeBytes; at += BLOCK_BYTES) {
    const block = at / BLOCK_BYTES;
    if (!one.isData(block) && !other.isData(block)) continue;
    const length = Math.min(BLOCK_BYTES, one.sizeBytes - at);
    one.read(at, mine.subarray(0, length));
    other.read(at, theirs.subarray(0, length));
    if (mine.compare(theirs, 0, length, 0, length) === 0) continue;
    for (let within = 0; within < length; within += UNIT_BYTES) {
      const end = Math.min(within + UNIT_BYTES, length);
      if (!explained.has((at + within) / UNIT_BYTES) && mine.compare(theirs, within, end, within, end) !== 0) bytes += end - within;
    }
  }
  return bytes;
};
