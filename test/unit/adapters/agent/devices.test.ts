// Which disks an agent opens, for whom, and how it finds out about them on either system.
import { spawnSync } from 'node:child_process';
import { constants, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { HostDevices } from '../../../../adapters/agent/devices.ts';
import { linuxPlatform, type Platform, platformOf, windowsPlatform } from '../../../../adapters/agent/platform.ts';
import { probe } from '../../../../adapters/agent/probe.ts';
import { AgentProcess, codeOf, equal, errorOf, Folder, LocalAgent, loopOf, MiB, needLoop, random } from './agents.ts';

/** How opening ends; what was opened is closed. */
const outcome = (platform: Platform | HostDevices, path: string, forWriting = false): Promise<string> => {
  const devices = platform instanceof HostDevices ? platform : new HostDevices(platform);
  return codeOf(devices.open(path, forWriting).then((device) => device[Symbol.asyncDispose]()));
};

describe('the disks of an agent on Linux', () => {
  it('are block devices below /dev, and regular files only where it was told', async () => {
    using outside = new Folder();
    const inside = outside.file('files');
    for (const name of ['files', 'files-beside']) {
      mkdirSync(outside.file(name));
      outside.file(`${name}/disk`, random(MiB));
    }
    const path = join(inside, 'disk');
    symlinkSync(outside.file('files-beside/disk'), join(inside, 'link'));
    symlinkSync('/etc', join(inside, 'etc'));
    const platform = linuxPlatform(inside);

    expect(await outcome(platform, path)).to.equal('none');
    for (const refused of [
      join(inside, 'link'),
      join(inside, 'etc/passwd'),
      outside.file('files-beside/disk'),
      `${inside}/../files-beside/disk`,
      inside,
      '/etc/passwd',
      '/dev/null',
      '/dev/tty',
      '/dev',
      '/proc/self/mem',
      'disk',
      '',
      `${path}\0`,
      '\\\\.\\PhysicalDrive0',
    ]) {
      expect([refused, await outcome(platform, refused)]).to.deep.equal([refused, 'PERMISSION_DENIED']);
    }
    expect(await outcome(linuxPlatform(undefined), path)).to.equal('PERMISSION_DENIED');
    expect(await outcome(platform, '/dev/no-such-disk')).to.equal('NOT_FOUND');
  });

  it('have one writer or many readers, by whatever name they come', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(MiB));
    symlinkSync(path, folder.file('alias'));
    const devices = new HostDevices(linuxPlatform(folder.path));

    const readers = [await devices.open(path, false), await devices.open(folder.file('alias'), false)];
    expect(await outcome(devices, path, true)).to.equal('FILE_LOCKED');
    await readers[0]![Symbol.asyncDispose]();
    await readers[0]![Symbol.asyncDispose]();
    expect(await outcome(devices, path, true)).to.equal('FILE_LOCKED');
    await readers[1]![Symbol.asyncDispose]();
    const writer = await devices.open(folder.file('alias'), true);
    expect(await outcome(devices, path, true)).to.equal('FILE_LOCKED');
    expect(await outcome(devices, path, false)).to.equal('FILE_LOCKED');
    await writer[Symbol.asyncDispose]();

    expect(await outcome(devices, path, true)).to.equal('none');
  });

  it('are free again after an opening that failed', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(1024));
    truncateSync(path, 1000);
    const devices = new HostDevices(linuxPlatform(folder.path));

    expect(await outcome(devices, path, true)).to.equal('STATE_CONFLICT');
    truncateSync(path, 512);

    expect(await outcome(devices, path, true)).to.equal('none');
  });

  it('end where they end, and say so when they have shrunk', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(MiB));
    await using session = await LocalAgent.over(folder).session();
    await using device = await session.agent.openDevice(path, { forWriting: false });
    truncateSync(path, MiB / 2);

    expect(await codeOf(device.read(MiB / 4, new Uint8Array(MiB / 2)))).to.equal('CONNECTION_LOST');
    expect(session.agent.lost.aborted).to.equal(false);
  });
});

describe('the disks of an agent on Linux, as loop devices', () => {
  before(function () {
    needLoop(this);
  });

  it('are read and written as they are, by the program', async () => {
    using folder = new Folder();
    const content = random(8 * MiB);
    const image = folder.file('image', content);
    using loop = loopOf(image, '--sector-size', '4096');
    await using child = new AgentProcess('--stdio');
    await using agent = await child.open();
    await using device = await agent.openDevice(loop.path, { forWriting: true });
    expect(device).to.include({ sizeBytes: 8 * MiB, logicalSectorBytes: 4096 });

    await device.write(4096, random(3 * MiB, 9));
    await device.writeZeroes(5 * MiB, 2 * MiB);
    await device.flush();
    const into = new Uint8Array(8 * MiB);
    await device.read(0, into);

    content.set(random(3 * MiB, 9), 4096);
    content.fill(0, 5 * MiB, 7 * MiB);
    expect(equal(into, content)).to.equal(true);
    expect(equal(readFileSync(image), content)).to.equal(true);
    expect(await codeOf(device.read(512, new Uint8Array(4096)))).to.equal('INTERNAL');
  });

  it('are for one writer over all agents of the host', async () => {
    using folder = new Folder();
    using loop = loopOf(folder.file('image', random(MiB)));
    await using first = new AgentProcess('--stdio');
    await using second = new AgentProcess('--stdio');
    await using one = await first.open();
    await using other = await second.open();
    await one.openDevice(loop.path, { forWriting: true });

    expect(await codeOf(other.openDevice(loop.path, { forWriting: true }))).to.equal('FILE_LOCKED');
    await first.kill();

    await using device = await other.openDevice(loop.path, { forWriting: true });
    expect(device.sizeBytes).to.equal(MiB);
  });

  it('are not written where a file system of them is mounted, nor where they are attached read-only', async function () {
    using folder = new Folder();
    using loop = loopOf(folder.file('image', new Uint8Array(16 * MiB)));
    using readOnly = loopOf(folder.file('other', random(MiB)), '--read-only');
    mkdirSync(folder.file('mnt'));
    const made = spawnSync('mkfs.ext4', ['-q', loop.path]);
    const mounted = spawnSync('mount', [loop.path, folder.file('mnt')]);
    if (made.status !== 0 || mounted.status !== 0) {
      this.test!.title += ' [needs mkfs.ext4 and mount: apt-get install e2fsprogs mount]';
      this.skip();
    }
    try {
      const platform = linuxPlatform(undefined);

      expect(await outcome(platform, loop.path, true)).to.equal('FILE_LOCKED');
      expect(await outcome(platform, loop.path, false)).to.equal('none');
      expect(await outcome(platform, readOnly.path, true)).to.equal('PERMISSION_DENIED');
    } finally {
      spawnSync('umount', [folder.file('mnt')]);
    }
  });

  it('may be partitions, whose disk is then not for writing', async function () {
    using folder = new Folder();
    using loop = loopOf(folder.file('image', random(16 * MiB)), '--partscan');
    if (spawnSync('addpart', [loop.path, '1', '2048', '8192']).status !== 0) {
      this.test!.title += ' [needs addpart: apt-get install util-linux]';
      this.skip();
    }
    const devices = new HostDevices(linuxPlatform(undefined));

    const partition = await devices.open(`${loop.path}p1`, true);

    expect(partition).to.include({ sizeBytes: 4 * MiB, logicalSectorBytes: 512 });
    expect(await outcome(devices, loop.path, true)).to.equal('FILE_LOCKED');
    await partition[Symbol.asyncDispose]();
    expect(await outcome(devices, loop.path, true)).to.equal('none');
  });

  it('say so when the storage below them is full', async function () {
    using folder = new Folder();
    const small = folder.file('small');
    mkdirSync(small);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]).status !== 0) {
      this.test!.title += ' [needs root for a tmpfs]';
      this.skip();
    }
    try {
      writeFileSync(join(small, 'disk'), '');
      truncateSync(join(small, 'disk'), 8 * MiB);
      await using session = await LocalAgent.over(folder).session();
      await using device = await session.agent.openDevice(join(small, 'disk'), { forWriting: true });

      const error = await errorOf(device.write(0, random(4 * MiB)));

      expect(error).to.include({ code: 'TARGET_FULL' });
      expect(error).to.have.deep.nested.property('context.vendorCode', 'ENOSPC');
      await device.read(0, new Uint8Array(512));
    } finally {
      spawnSync('umount', [small]);
    }
  });

  it('have their size found out by reads alone, as it must be on Windows', async () => {
    using folder = new Folder();
    for (const [bytes, sector] of [
      [512, 512],
      [MiB, 512],
      [MiB + 512, 512],
      [5 * MiB - 512, 512],
      [3 * MiB, 4096],
      [2 ** 41, 512],
    ] as const) {
      const image = folder.file('image', '');
      truncateSync(image, bytes);
      using loop = loopOf(image, '--sector-size', String(sector));
      await using file = await open(loop.path, constants.O_RDONLY | constants.O_DIRECT);

      expect(await probe(file, loop.path)).to.deep.equal({ path: loop.path, sizeBytes: bytes, logicalSectorBytes: sector });
    }
  });
});

/** A disk of Windows, as far as its file is asked: sectors, and errors as libuv translates them. */
const fakeDisk = (sectors: number, sector: number, past: string | undefined, bad = -1): FileHandle => {
  const failing = (code: string): Error => Object.assign(new Error(code), { code });
  const read = (_: Uint8Array, __: number, length: number, offset: number): Promise<{ bytesRead: number }> => {
    if (offset % sector !== 0 || length % sector !== 0) return Promise.reject(failing('EINVAL'));
    if (offset / sector === bad) return Promise.reject(failing('EIO'));
    if (offset + length <= sectors * sector) return Promise.resolve({ bytesRead: length });
    return past === undefined ? Promise.resolve({ bytesRead: 0 }) : Promise.reject(failing(past));
  };
  return { read, close: () => Promise.resolve() } as unknown as FileHandle;
};

describe('the disks of an agent on Windows', () => {
  let claims = 0;
  // Names of Linux that end with their process, as pipes of Windows do.
  const pipes = (): string => `\0ws-test ${process.pid} ${++claims} `;
  const over = (file: FileHandle, names = pipes()): { readonly platform: Platform; readonly opened: string[] } => {
    const opened: string[] = [];
    const call = (path: string, flags: string): Promise<FileHandle> => {
      opened.push(`${path} ${flags}`);
      return Promise.resolve(file);
    };
    return { platform: windowsPlatform({ open: call, pipes: names }), opened };
  };

  it('are physical drives by their number, and nothing else', async () => {
    const { platform, opened } = over(fakeDisk(4096, 512, undefined));

    expect(await outcome(platform, '\\\\.\\PhysicalDrive3')).to.equal('none');
    expect(await outcome(platform, '\\\\.\\PHYSICALDRIVE12', true)).to.equal('none');
    for (const refused of [
      'C:\\Windows\\System32\\config\\SAM',
      '\\\\.\\C:',
      '\\\\.\\PhysicalDrive',
      '\\\\.\\PhysicalDrive03',
      '\\\\.\\PhysicalDrive-1',
      '\\\\.\\PhysicalDrive3\\x',
      '\\\\.\\PhysicalDrive3\n',
      '\\\\?\\PhysicalDrive3',
      '\\\\server\\share',
      '\\\\.\\pipe\\x',
      '/dev/sda',
      '',
    ]) {
      expect([refused, await outcome(platform, refused)]).to.deep.equal([refused, 'PERMISSION_DENIED']);
    }
    expect(opened).to.deep.equal(['\\\\.\\PhysicalDrive3 r', '\\\\.\\PhysicalDrive12 r+']);
  });

  it('have their size found out whichever way the system says that there is no more', async () => {
    for (const past of [undefined, 'EINVAL', 'UNKNOWN']) {
      for (const [sectors, sector] of [
        [1, 512],
        [2047, 512],
        [2048, 512],
        [2049, 4096],
        [2 ** 37 - 1, 512],
      ] as const) {
        const { sizeBytes, logicalSectorBytes } = await probe(fakeDisk(sectors, sector, past), 'disk');

        expect([past, sectors, sizeBytes / sector, logicalSectorBytes]).to.deep.equal([past, sectors, sectors, sector]);
      }
    }
  });

  it('are not taken for smaller because of a bad sector, nor opened without a medium', async () => {
    const bad = over(fakeDisk(4096, 512, undefined, 2048)).platform;
    const empty = over(fakeDisk(0, 512, 'UNKNOWN')).platform;

    expect(await outcome(bad, '\\\\.\\PhysicalDrive3')).to.equal('CONNECTION_LOST');
    expect(await outcome(empty, '\\\\.\\PhysicalDrive3')).to.equal('STATE_CONFLICT');
  });

  it('are for one writer over all agents of the host', async () => {
    const names = pipes();
    // Each platform is another program's: they share the system's table of names alone.
    const [first, second] = [
      new HostDevices(over(fakeDisk(9, 512, undefined), names).platform),
      over(fakeDisk(9, 512, undefined), names).platform,
    ];
    const path = '\\\\.\\PhysicalDrive3';
    const writer = await first.open(path, true);

    expect(await outcome(second, path, true)).to.equal('FILE_LOCKED');
    expect(await outcome(second, '\\\\.\\PhysicalDrive4', true)).to.equal('none');
    await writer[Symbol.asyncDispose]();

    expect(await outcome(second, path, true)).to.equal('none');
  });

  it('give their claim back when they cannot be opened', async () => {
    const names = pipes();
    const refusing = windowsPlatform({ open: () => Promise.reject(Object.assign(new Error(), { code: 'EPERM' })), pipes: names });
    const path = '\\\\.\\PhysicalDrive3';

    expect(await outcome(refusing, path, true)).to.equal('PERMISSION_DENIED');
    expect(await outcome(over(fakeDisk(9, 512, undefined), names).platform, path, true)).to.equal('none');
  });

  it('are all that an agent serves there: files are for Linux', async () => {
    expect(platformOf('win32', undefined).name).to.equal('windows');
    expect(await codeOf((async () => platformOf('win32', '/tmp'))())).to.equal('USAGE');
    expect(await codeOf((async () => platformOf('darwin', undefined))())).to.equal('USAGE');
  });
});
