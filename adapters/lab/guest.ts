import { check, findDatabase, walkLog } from './checker.ts';
import {
  encodePage,
  encodeRecord,
  type GuestDisk,
  type Layout,
  layoutFor,
  pageOf,
  pageSequence,
  readConfig,
  readPage,
  writeConfig,
  writePage,
  writeRecord,
  writeSuperblock,
} from './database.ts';
import type { Random } from './random.ts';

const FIRST_HASH = Buffer.alloc(32);
const CONTENT_BYTES = 65_536;

export interface GuestSeed {
  readonly identity: string;
  readonly hostname: string;
  readonly addresses: readonly string[];
}

/** Installs the database on new disks, and seeded content around it. */
export const installGuest = (disks: readonly (GuestDisk & { readonly contentBytes: number })[], seed: GuestSeed, random: Random): void => {
  const boot = disks[0];
  if (!boot) return;
  for (const disk of disks) fillContent(disk, disk.contentBytes, random);
  const layout = layoutFor(
    seed.identity,
    disks.slice(0, 2).map((disk) => disk.sizeBytes),
  );
  for (const disk of layout.twoDisks ? disks.slice(0, 2) : [boot]) clearDatabaseRoom(disk, layout, disk === boot);
  writeSuperblock(boot, layout, 'boot');
  if (layout.twoDisks) writeSuperblock(disks[1]!, layout, 'pages');
  writeConfig(boot, { hostname: seed.hostname, addresses: seed.addresses, bootCount: 0 });
};

/** Content comes in pieces of 64 KiB, spread evenly over the disk. */
const fillContent = (disk: GuestDisk, contentBytes: number, random: Random): void => {
  const pieces = Math.min(Math.floor(contentBytes / CONTENT_BYTES), Math.floor(disk.sizeBytes / CONTENT_BYTES));
  const data = new Uint8Array(CONTENT_BYTES);
  for (let piece = 0; piece < pieces; piece++) {
    random.fill(data);
    disk.write(Math.floor((piece * disk.sizeBytes) / pieces / CONTENT_BYTES) * CONTENT_BYTES, data);
  }
};

const clearDatabaseRoom = (disk: GuestDisk, layout: Layout, boot: boolean): void => {
  const zero = Buffer.alloc(4096);
  const untouched = Buffer.alloc(4096);
  const clear = (from: number, length: number) => {
    for (let at = from; at < from + length; at += zero.length) {
      disk.read(at, untouched);
      if (!untouched.equals(zero)) disk.write(at, zero);
    }
  };
  clear(0, 8192);
  if (boot) clear(65_536, layout.logSlots * 512);
  if (boot !== layout.twoDisks) for (let page = 0; page < layout.pageCount; page++) clear(layout.pagesAt + page * layout.pageStride, 4096);
};

export type BootResult = { readonly guest: Guest } | { readonly failure: string };

/** Reads the boot disk as a machine does when it starts, recovers the database, and goes on from its last transaction. */
export const bootGuest = (disks: readonly GuestDisk[], machineName: string): BootResult => {
  const verdict = check(disks);
  if (verdict.kind === 'empty') return { failure: 'no bootable disk: the boot disk is empty' };
  if (verdict.kind === 'foreign') return { guest: new Guest(undefined, machineName, []) };
  if (!verdict.consistent) return { failure: `the database cannot be recovered: ${verdict.problems[0]}` };
  const found = findDatabase(disks)!;
  const config = readConfig(found.boot);
  if (!config) return { failure: 'the configuration of the guest cannot be read' };
  writeConfig(found.boot, { ...config, bootCount: config.bootCount + 1 });
  return { guest: new Guest(new Database(found.layout, found.boot, found.pages!), config.hostname, config.addresses) };
};

/** A guest that never stopped: its process only went on elsewhere. Undefined when the disks do not hold what it would need. */
export const resumeGuest = (disks: readonly GuestDisk[], machineName: string): Guest | undefined => {
  const found = findDatabase(disks);
  if (!found) return new Guest(undefined, machineName, []);
  const config = readConfig(found.boot);
  if (!config || !found.pages) return undefined;
  return new Guest(new Database(found.layout, found.boot, found.pages), config.hostname, config.addresses);
};

/** Changes the addresses that the guest takes at its next boot. False when there is no guest of ours on the disk. */
export const setGuestAddresses = (boot: GuestDisk, addresses: readonly string[]): boolean => {
  const config = readConfig(boot);
  if (!config) return false;
  writeConfig(boot, { ...config, addresses });
  return true;
};

/** A running operating system. */
export class Guest {
  readonly #database: Database | undefined;
  readonly hostname: string;
  addresses: readonly string[];
  writes = 0;
  #due = 0;

  constructor(database: Database | undefined, hostname: string, addresses: readonly string[]) {
    this.#database = database;
    this.hostname = hostname;
    this.addresses = addresses;
  }

  get identity(): string | undefined {
    return this.#database?.identity;
  }

  get transactions(): number {
    return this.#database?.sequence ?? 0;
  }

  /** Lets time pass: as many single writes as the rate allows. */
  run(elapsedMs: number, writesPerSecond: number, nowMs: number): void {
    this.#due += (elapsedMs * writesPerSecond) / 1000;
    for (; this.#due >= 1; this.#due--) this.write(nowMs);
  }

  /** One write. */
  write(nowMs: number): void {
    if (!this.#database) return;
    this.#database.write(nowMs);
    this.writes++;
  }

  /** What quiescing does: no transaction is half done. */
  finishTransaction(nowMs: number): void {
    if (this.#database?.halfDone) this.write(nowMs);
  }
}

class Database {
  readonly #layout: Layout;
  readonly #boot: GuestDisk;
  readonly #pages: GuestDisk;
  #sequence: number;
  #previous: Buffer;
  #halfDone = false;

  constructor(layout: Layout, boot: GuestDisk, pages: GuestDisk) {
    this.#layout = layout;
    this.#boot = boot;
    this.#pages = pages;
    const last = walkLog(boot, layout, []).at(-1);
    this.#sequence = last?.sequence ?? 0;
    this.#previous = last?.hash ?? FIRST_HASH;
    // Redo: the last record may have been written without its page.
    if (last && pageSequence(readPage(pages, layout, last.page)) !== last.sequence) this.#writePage();
  }

  get identity(): string {
    return this.#layout.identity;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get halfDone(): boolean {
    return this.#halfDone;
  }

  /** Log record and page alternate; the record is durable before its page is written. */
  write(nowMs: number): void {
    if (this.#halfDone) {
      this.#writePage();
      return;
    }
    this.#sequence++;
    const record = encodeRecord(this.#layout, this.#sequence, pageOf(this.#layout, this.#sequence), nowMs, this.#previous);
    writeRecord(this.#boot, this.#layout, this.#sequence, record);
    this.#previous = record.subarray(record.length - 32);
    this.#halfDone = true;
  }

  #writePage(): void {
    const page = pageOf(this.#layout, this.#sequence);
    writePage(this.#pages, this.#layout, page, encodePage(this.#layout, page, this.#sequence));
    this.#halfDone = false;
  }
}
