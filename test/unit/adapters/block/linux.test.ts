import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openBlockDevices } from '../../../../adapters/block/linux.ts';
import type { BlockDevice, OpenBlockOptions } from '../../../../adapters/block/port.ts';
import { isDrError } from '../../../../core/contract/errors.ts';

const MiB = 1 << 20;
const UUID = '6000C297-8b5c-1234-abcd-0123456789ab';
const WWN = 'wwn-0x6000c2978b5c1234abcd0123456789ab';
const SCSI = 'scsi-36000c2978b5c1234abcd0123456789ab';

const random = (length: number, seed = 1): Uint8Array => {
  const words = new Uint32Array(length / 4);
  let state = seed;
  for (let at = 0; at < words.length; at++) words[at] = state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return new Uint8Array(words.buffer);
};

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

/** A folder in the shape of /dev, with images to be used as disks. */
class Dev implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'ws-block-'));

  constructor() {
    mkdirSync(join(this.path, 'disk', 'by-id'), { recursive: true });
  }

  image(content: Uint8Array): string {
    const path = join(this.path, 'image');
    writeFileSync(path, content);
    return path;
  }

  link(name: string, to: string): void {
    symlinkSync(to, join(this.path, 'disk', 'by-id', name));
  }

  open(options: Partial<OpenBlockOptions> = {}): Promise<BlockDevice> {
    const given = { forWriting: false, signal: new AbortController().signal, deadlineMs: 0, ...options };
    return openBlockDevices(this.path).open({ uuid: UUID }, given);
  }

  /** How opening ends; what was opened is closed. */
  async outcome(options: Partial<OpenBlockOptions> = {}): Promise<string> {
    return codeOf(this.open(options).then((device) => device[Symbol.asyncDispose]()));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const readAll = async (device: BlockDevice): Promise<Uint8Array> => {
  const into = new Uint8Array(device.sizeBytes);
  await device.read(0, into);
  return into;
};

describe('block devices', () => {
  it('finds a disk by its identity under either name, and reads and writes it', async () => {
    for (const name of [WWN, SCSI]) {
      using dev = new Dev();
      const content = random(5 * MiB);
      const image = dev.image(content);
      dev.link(name, image);
      dev.link(`${name}-part1`, '/nowhere');
      await using device = await dev.open({ forWriting: true });
      expect(device).to.include({ sizeBytes: 5 * MiB, logicalSectorBytes: 512, path: join(dev.path, 'disk', 'by-id', name) });

      const data = random(3 * MiB, 7);
      await device.write(512, data);
      await device.writeZeroes(4 * MiB, 512 * 1024);
      await device.flush();

      content.set(data, 512);
      content.fill(0, 4 * MiB, 4 * MiB + 512 * 1024);
      expect(equal(readFileSync(image), content)).to.equal(true);
      expect(equal(await readAll(device), content)).to.equal(true);
    }
  });

  it('keeps many overlapping requests apart', async () => {
    using dev = new Dev();
    const content = random(8 * MiB);
    dev.link(WWN, dev.image(content));
    await using device = await dev.open();
    const pieces = Array.from({ length: 60 }, (_, index) => ({
      offset: 512 * ((index * 7919) % 8000),
      into: new Uint8Array(512 * (1 + ((index * 131) % 3000))),
    }));

    await Promise.all(pieces.map(({ offset, into }) => device.read(offset, into)));

    expect(pieces.every(({ offset, into }) => equal(into, content.subarray(offset, offset + into.length)))).to.equal(true);
  });

  it('waits for a disk that appears later, even if its name is there first', async () => {
    using dev = new Dev();
    const image = join(dev.path, 'late');
    dev.link(WWN, image);

    const opening = dev.open({ deadlineMs: 60_000 });
    // One that does not look again finds nothing: it has asked for what is not there before this comes back.
    await stat(image).catch(() => undefined);
    writeFileSync(image, random(MiB));
    await using device = await opening;

    expect(equal(await readAll(device), random(MiB))).to.equal(true);
  });

  it('says what to set when the disk does not appear, and stops with the signal', async () => {
    using dev = new Dev();
    const controller = new AbortController();

    const error = await dev.open({ deadlineMs: 20 }).catch((reason: unknown) => reason);
    const aborted = dev.outcome({ deadlineMs: 60_000, signal: controller.signal });
    controller.abort(new Error('enough'));

    expect(error).to.include({ code: 'TIMED_OUT' });
    expect(error).to.have.property('hint').that.includes('disk.EnableUUID');
    expect(await aborted).to.equal('Error: enough');
  });

  it('refuses what is outside, not in whole sectors, not for writing, or no disk', async () => {
    using dev = new Dev();
    dev.link(WWN, dev.image(random(MiB)));
    const device = await dev.open();

    for (const [offset, length] of [
      [MiB, 512],
      [512, MiB],
      [100, 512],
      [0, 100],
      [-512, 512],
      [Number.NaN, 512],
    ] as const) {
      expect(await codeOf(device.read(offset, new Uint8Array(length)))).to.equal('INTERNAL');
    }
    expect(await codeOf(device.write(0, new Uint8Array(512)))).to.equal('INTERNAL');
    expect(await codeOf(device.writeZeroes(0, 512))).to.equal('INTERNAL');
    expect(
      await codeOf(
        openBlockDevices(dev.path).open({ uuid: '../../sda' }, { forWriting: true, signal: new AbortController().signal, deadlineMs: 0 }),
      ),
    ).to.equal('INTERNAL');
    await device[Symbol.asyncDispose]();
    await device[Symbol.asyncDispose]();
    expect(await codeOf(device.read(0, new Uint8Array(512)))).to.equal('INTERNAL');

    using folder = new Dev();
    folder.link(WWN, '/dev/null');
    expect(await folder.outcome()).to.equal('STATE_CONFLICT');
  });

  it('tells a disk that ends before its end as lost', async () => {
    using dev = new Dev();
    const image = dev.image(random(MiB));
    dev.link(WWN, image);
    await using device = await dev.open();
    truncateSync(image, MiB / 2);

    expect(await codeOf(device.read(MiB / 4, new Uint8Array(MiB / 2)))).to.equal('CONNECTION_LOST');
  });

  it('returns from an aborted call at once, and touches its buffer no more', async () => {
    using dev = new Dev();
    const content = random(16 * MiB);
    dev.link(WWN, dev.image(content));
    await using device = await dev.open({ forWriting: true });
    const controller = new AbortController();
    const into = new Uint8Array(8 * MiB);
    const data = new Uint8Array(MiB).fill(1);

    const calls = [
      codeOf(device.read(0, into, { signal: controller.signal })),
      codeOf(device.write(0, data, { signal: controller.signal })),
      ...Array.from({ length: 8 }, (_, index) => codeOf(device.read(index * MiB, into.subarray(0, MiB), { signal: controller.signal }))),
    ];
    controller.abort(new Error('enough'));
    expect(new Set(await Promise.all(calls))).to.deep.equal(new Set(['Error: enough']));
    const before = into.slice();
    data.fill(2);
    await device.write(0, data);

    expect(equal(await readAll(device).then((all) => all.subarray(0, MiB)), data)).to.equal(true);
    expect(equal(into, before)).to.equal(true);
    expect(await codeOf(device.flush({ signal: controller.signal }))).to.equal('Error: enough');
  });
});

describe('block devices over loop devices', () => {
  let loopOf: (image: string, ...options: readonly string[]) => { readonly path: string } & Disposable;

  before(function () {
    using dev = new Dev();
    loopOf = (image, ...options) => {
      const path = execFileSync('losetup', ['--find', '--show', ...options, image], { encoding: 'utf8' }).trim();
      return { path, [Symbol.dispose]: () => void spawnSync('losetup', ['--detach', path]) };
    };
    const tried = spawnSync('losetup', ['--find', '--show', dev.image(random(MiB))], { encoding: 'utf8' });
    if (tried.status === 0) spawnSync('losetup', ['--detach', tried.stdout.trim()]);
    else {
      const why = `needs root and a loop device, with losetup from apt-get install mount: ${String(tried.stderr ?? tried.error).trim()}`;
      this.test!.parent!.eachTest((test) => {
        test.title += ` [${why}]`;
      });
      this.skip();
    }
  });

  it('knows size and sector, and writes what the device then holds', async () => {
    using dev = new Dev();
    const content = random(8 * MiB);
    const image = dev.image(content);
    using loop = loopOf(image, '--sector-size', '4096');
    dev.link(WWN, loop.path);
    await using device = await dev.open({ forWriting: true });
    expect(device).to.include({ sizeBytes: 8 * MiB, logicalSectorBytes: 4096 });

    await device.write(4096, random(3 * MiB, 9));
    await device.writeZeroes(5 * MiB, 2 * MiB);
    await device.flush();

    content.set(random(3 * MiB, 9), 4096);
    content.fill(0, 5 * MiB, 7 * MiB);
    expect(equal(readFileSync(image), content)).to.equal(true);
    expect(equal(await readAll(device), content)).to.equal(true);
    expect(await codeOf(device.write(512, new Uint8Array(4096)))).to.equal('INTERNAL');
  });

  it('reads the disk and not what the kernel remembers of it', async () => {
    using dev = new Dev();
    const image = dev.image(random(MiB));
    using loop = loopOf(image);
    dev.link(WWN, loop.path);
    const other = openSync(loop.path, 'r');
    try {
      readSync(other, new Uint8Array(MiB), 0, MiB, 0);
      const file = openSync(image, 'r+');
      writeSync(file, random(MiB, 5), 0, MiB, 0);
      closeSync(file);
      const remembered = new Uint8Array(MiB);
      readSync(other, remembered, 0, MiB, 0);

      await using device = await dev.open();

      expect(equal(remembered, random(MiB))).to.equal(true);
      expect(equal(await readAll(device), random(MiB, 5))).to.equal(true);
    } finally {
      closeSync(other);
    }
  });

  it('empties the cache of the disk itself on a flush', async () => {
    using dev = new Dev();
    using loop = loopOf(dev.image(random(MiB)));
    dev.link(WWN, loop.path);
    const { rdev } = statSync(loop.path);
    const flushes = (): number =>
      Number(
        readFileSync(`/sys/dev/block/7:${rdev % 256}/stat`, 'utf8')
          .trim()
          .split(/\s+/)[15],
      );
    await using device = await dev.open({ forWriting: true });
    await device.write(0, random(4096, 3));
    const before = flushes();

    await device.flush();

    expect(flushes()).to.be.greaterThan(before);
  });

  it('refuses to write to a disk that somebody else has claimed, but reads it', async () => {
    using dev = new Dev();
    using loop = loopOf(dev.image(random(MiB)));
    dev.link(WWN, loop.path);
    const mounted = openSync(loop.path, constants.O_RDWR | constants.O_EXCL);
    try {
      const error = await dev.open({ forWriting: true, deadlineMs: 60_000 }).catch((reason: unknown) => reason);

      expect(error).to.include({ code: 'FILE_LOCKED' });
      expect(await dev.outcome()).to.equal('none');
    } finally {
      closeSync(mounted);
    }
    await using writer = await dev.open({ forWriting: true });
    expect(writer.sizeBytes).to.equal(MiB);
    expect(await dev.outcome({ forWriting: true })).to.equal('FILE_LOCKED');
  });

  it('refuses to write to a disk that is attached read-only', async () => {
    using dev = new Dev();
    using loop = loopOf(dev.image(random(MiB)), '--read-only');
    dev.link(WWN, loop.path);

    expect(await dev.outcome({ forWriting: true })).to.equal('PERMISSION_DENIED');
    expect(await dev.outcome()).to.equal('none');
  });

  it('waits for a device that has no medium yet', async () => {
    using dev = new Dev();
    using loop = loopOf(dev.image(random(MiB)));
    dev.link(WWN, loop.path);
    spawnSync('losetup', ['--detach', loop.path]);

    expect(await dev.outcome({ deadlineMs: 20 })).to.equal('TIMED_OUT');
  });
});
