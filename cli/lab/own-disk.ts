// A user's own disk image in the drill: copied in, changed between cycles through the lab, exported after each move and compared.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { EstatePort, MachineStatus } from '../../adapters/lab/port.ts';
import type { DiskId } from '../../core/contract/index.ts';
import { DrError } from '../../core/contract/index.ts';
import { bytesText } from '../output/text.ts';
import { OWN_MACHINE } from './estate.ts';

export interface OwnFinding {
  readonly stage: string;
  readonly ok: boolean;
  readonly seen: string;
}

const PIECE_BYTES = 4 << 20;
const EXT_MAGIC_AT = 1024 + 56;

export class OwnDisk {
  readonly path: string;
  readonly sizeBytes: number;
  readonly findings: OwnFinding[] = [];
  readonly #folder: string;
  readonly #working: string;
  #ext = false;

  private constructor(path: string, sizeBytes: number, folder: string) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#folder = folder;
    this.#working = join(folder, 'working.img');
  }

  /** NOT_FOUND or CONFIG_INVALID when it is no raw image. */
  static open(path: string, folder: string): OwnDisk {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isFile())
      throw new DrError('NOT_FOUND', `there is no image file ${path}`, {
        context: { path, kind: 'file' },
        hint: 'give the path of a raw disk image',
      });
    if (found.size === 0 || found.size % 512 !== 0)
      throw new DrError('CONFIG_INVALID', `${path} is no raw disk image: its size of ${found.size} bytes is no multiple of 512`, {
        context: { path, sizeBytes: found.size },
        hint: 'convert it first: qemu-img convert -O raw',
      });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return new OwnDisk(path, found.size, folder);
  }

  /** The user's file is only read: what is changed is a copy, sparse where cp can make it so. */
  async load(lab: EstatePort): Promise<string> {
    if (spawnSync('cp', ['--sparse=always', '--reflink=auto', '--', this.path, this.#working]).status !== 0)
      copyFileSync(this.path, this.#working);
    this.#ext = await isExt(this.#working);
    const { machine, disk } = await this.#place(lab);
    const { copiedBytes, method } = await lab.call('lab.importDisk', { machine: machine.machine, disk, path: this.#working });
    await lab.call('lab.power', { machine: machine.machine, to: 'on' });
    return `${this.path}: ${bytesText(copiedBytes)} copied into ${OWN_MACHINE} (${method === 'extents' ? 'by its extents' : 'by a full scan'})`;
  }

  /** A new file where the image is ext and debugfs is there, so that the file system stays whole; else a block of new content. */
  async change(lab: EstatePort, name: string): Promise<string> {
    const content = join(this.#folder, `${name}.txt`);
    writeFileSync(content, `warmsite drill, ${name} change\n`.repeat(20_000));
    const written = this.#ext && spawnSync('debugfs', ['-w', '-R', `write ${content} warmsite-${name}`, this.#working]).status === 0;
    if (!written && !this.#ext) await overwriteEnd(this.#working, name);
    const machine = await this.#running(lab);
    const disk = await this.#diskOf(lab, machine);
    const { changedBytes } = await lab.call('lab.applyDisk', { machine: machine.machine, disk, path: this.#working });
    return `${OWN_MACHINE}: ${bytesText(changedBytes)} changed in the guest`;
  }

  /** Exports the machine that runs now, or its test copy, and compares it with the image that the guest should have. */
  async compare(lab: EstatePort, stage: string, expectCurrent: boolean): Promise<void> {
    if (!expectCurrent) return;
    const path = join(this.#folder, 'export.img');
    rmSync(path, { force: true });
    const machine = await this.#running(lab, stage.startsWith('test'));
    await lab.call('lab.exportDisk', { of: { machine: machine.machine }, disk: await this.#diskOf(lab, machine), path });
    const differsAt = await firstDifference(this.#working, path);
    this.findings.push({
      stage,
      ok: differsAt === undefined,
      seen:
        differsAt === undefined
          ? `export of ${machine.name} equals the image, ${bytesText(this.sizeBytes)}`
          : `export differs from byte ${differsAt}`,
    });
    if (this.#ext) this.#checkFileSystem(stage, path);
    rmSync(path, { force: true });
  }

  #checkFileSystem(stage: string, path: string): void {
    const { status, error } = spawnSync('e2fsck', ['-fn', path], { encoding: 'utf8' });
    if (error) return;
    this.findings.push({ stage, ok: status === 0, seen: status === 0 ? 'e2fsck -fn: clean' : `e2fsck -fn: exit ${String(status)}` });
  }

  async #place(lab: EstatePort): Promise<{ machine: MachineStatus; disk: DiskId }> {
    const [machine] = (await lab.call('lab.find', { name: OWN_MACHINE })).machines;
    if (!machine)
      throw new DrError('NOT_FOUND', `the lab has no machine ${OWN_MACHINE}`, { context: { kind: 'machine', name: OWN_MACHINE } });
    return { machine, disk: await this.#diskOf(lab, machine) };
  }

  async #diskOf(lab: EstatePort, machine: MachineStatus): Promise<DiskId> {
    const { spec } = await lab.call('lab.machine', { machine: machine.machine });
    const [disk] = spec.disks;
    if (!disk) throw new DrError('NOT_FOUND', `${machine.name} has no disk`, { context: { kind: 'disk', machine: machine.machine } });
    return disk.id;
  }

  async #running(lab: EstatePort, test = false): Promise<MachineStatus> {
    const { machines } = await lab.call('lab.status', {});
    const found = machines.find(
      (machine) =>
        machine.power === 'on' &&
        (test ? machine.name === `${OWN_MACHINE} (test)` : machine.name.startsWith(OWN_MACHINE) && !machine.name.endsWith('(test)')),
    );
    if (!found)
      throw new DrError('NOT_FOUND', `no ${test ? 'test copy' : 'copy'} of ${OWN_MACHINE} runs`, {
        context: { kind: 'machine', name: OWN_MACHINE },
      });
    return found;
  }
}

const isExt = async (path: string): Promise<boolean> => {
  await using file = await open(path, 'r');
  const magic = Buffer.alloc(2);
  await file.read(magic, 0, 2, EXT_MAGIC_AT);
  return magic.readUInt16LE() === 0xef53;
};

const overwriteEnd = async (path: string, name: string): Promise<void> => {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  const block = Buffer.alloc(512, `warmsite ${name} `);
  await file.write(block, 0, block.length, size - block.length);
};

const firstDifference = async (left: string, right: string): Promise<number | undefined> => {
  await using a = await open(left, 'r');
  await using b = await open(right, 'r');
  const [{ size }, other] = [await a.stat(), await b.stat()];
  if (size !== other.size) return Math.min(size, other.size);
  const [x, y] = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)];
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, size - at);
    await a.read(x, 0, length, at);
    await b.read(y, 0, length, at);
    if (x.compare(y, 0, length, 0, length) !== 0) return at + x.subarray(0, length).findIndex((byte, index) => byte !== y[index]);
  }
  return undefined;
};
