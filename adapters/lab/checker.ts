import {
  decodeRecord,
  encodePage,
  type GuestDisk,
  type Layout,
  type LogRecord,
  pageSequence,
  RECORD_BYTES,
  readLog,
  readPage,
  readSuperblock,
} from './database.ts';
import type { Verdict } from './port.ts';
import { isZero } from './volume.ts';

/** The guest's disks in the order of its controller; finds the one with the pages by its superblock, as the order may differ on another hypervisor. */
export const findDatabase = (
  disks: readonly GuestDisk[],
): { layout: Layout; boot: GuestDisk; pages: GuestDisk | undefined } | undefined => {
  const boot = disks[0];
  const layout = boot && readSuperblock(boot);
  if (!boot || layout?.role !== 'boot') return undefined;
  if (!layout.twoDisks) return { layout, boot, pages: boot };
  const pages = disks.find((disk) => {
    const other = readSuperblock(disk);
    return other?.role === 'pages' && other.identity === layout.identity;
  });
  return { layout, boot, pages };
};

/**
 * Judges a state by four rules that hold after every crash, because the guest writes one thing at a time, the log record before its page:
 * R1 the log is one unbroken chain of hashes over its whole ring; R2 no page is newer than the log (order of writes, also across disks);
 * R3 no page is older than its last record, but for the very last transaction (a lost or stale block); R4 a page holds what its transaction wrote.
 */
export const check = (disks: readonly GuestDisk[]): Verdict => {
  const found = findDatabase(disks);
  if (!found) return withoutDatabase(disks);
  const { layout, boot, pages } = found;
  const problems: string[] = [];
  const log = walkLog(boot, layout, problems);
  const last = log.at(-1);
  if (pages) checkPages(pages, layout, log, problems);
  else problems.push('R2 the disk with the pages is missing');
  return {
    kind: 'guest',
    consistent: problems.length === 0,
    problems,
    identity: layout.identity,
    sequence: last?.sequence ?? 0,
    ...(last ? { writtenAt: new Date(last.writtenAtMs).toISOString() } : {}),
  };
};

const withoutDatabase = (disks: readonly GuestDisk[]): Verdict => {
  const boot = disks[0];
  const first = new Uint8Array(Math.min(65_536, boot?.sizeBytes ?? 0));
  boot?.read(0, first);
  return { kind: isZero(first) ? 'empty' : 'foreign', consistent: true, problems: [] };
};

const MOST_PROBLEMS = 8;

/** The records of the ring, oldest first. */
export const walkLog = (disk: GuestDisk, layout: Layout, problems: string[]): LogRecord[] => {
  const raw = readLog(disk, layout);
  const slots = Array.from({ length: layout.logSlots }, (_, slot) =>
    decodeRecord(layout, raw.subarray(slot * RECORD_BYTES, (slot + 1) * RECORD_BYTES)),
  );
  let newest = 0;
  for (const record of slots) if (record && record !== 'empty') newest = Math.max(newest, record.sequence);
  const log: LogRecord[] = [];
  for (let sequence = Math.max(1, newest - layout.logSlots + 1); sequence <= newest; sequence++) {
    const record = slots[(sequence - 1) % layout.logSlots];
    const before = log.at(-1);
    if (!record || record === 'empty' || record.sequence !== sequence) note(problems, `R1 log record ${sequence} of ${newest} is missing`);
    else {
      if (before?.sequence === sequence - 1 && !before.hash.equals(record.previous))
        note(problems, `R1 log record ${sequence} does not follow ${sequence - 1}`);
      log.push(record);
    }
  }
  if (newest < layout.logSlots && slots.slice(newest).some((record) => record !== 'empty'))
    note(problems, `R1 there is something in the log after record ${newest}`);
  return log;
};

const checkPages = (disk: GuestDisk, layout: Layout, log: readonly LogRecord[], problems: string[]): void => {
  const newest = log.at(-1)?.sequence ?? 0;
  const lastOf = new Map<number, number>();
  const beforeLast = new Map<number, number>();
  for (const record of log) {
    const before = lastOf.get(record.page);
    if (before !== undefined) beforeLast.set(record.page, before);
    lastOf.set(record.page, record.sequence);
  }
  for (let page = 0; page < layout.pageCount; page++) {
    const data = readPage(disk, layout, page);
    const sequence = pageSequence(data);
    const expected = lastOf.get(page) ?? 0;
    const oldest = expected === newest ? (beforeLast.get(page) ?? 0) : expected;
    if (sequence > newest) note(problems, `R2 page ${page} is of transaction ${sequence}, the log ends at ${newest}`);
    else if (sequence >= 0 && sequence < oldest)
      note(problems, `R3 page ${page} is of transaction ${sequence}, but ${oldest} had written it`);
    else if (sequence < 0 || (sequence > 0 && !encodePage(layout, page, sequence).equals(data)))
      note(problems, `R4 page ${page} does not hold what transaction ${sequence} wrote`);
  }
};

const note = (problems: string[], problem: string): void => {
  if (problems.length < MOST_PROBLEMS) problems.push(problem);
};
