import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openNbd } from '../../../../adapters/nbd/client.ts';
import type { NbdExport } from '../../../../adapters/nbd/port.ts';
import { codeOf, errorOf, Folder, needTools, pauseFilter, randomBytes, Server } from './servers.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const readAll = async (nbd: NbdExport): Promise<Uint8Array> => {
  const into = new Uint8Array(nbd.sizeBytes);
  await nbd.read(0, into);
  return into;
};

const extentsOf = async (nbd: NbdExport, from = 0): Promise<[number, number][]> =>
  (await Array.fromAsync(nbd.extents!(from))).map(({ offset, length }) => [offset, length]);

/** Data where `ranges` say, holes elsewhere. */
const sparseFile = (path: string, sizeBytes: number, ranges: readonly [number, number][]): void => {
  const file = openSync(path, 'w');
  for (const [offset, length] of ranges) writeSync(file, randomBytes(length, offset + 1), 0, length, offset);
  closeSync(file);
  truncateSync(path, sizeBytes);
};

describe('NBD client against nbdkit', () => {
  before(function () {
    needTools(this, 'nbdkit');
  });

  it('reads what is on the disk, whatever number of requests of whatever size overlap', async () => {
    using folder = new Folder();
    const content = randomBytes(8 * MiB);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(folder, 'file', folder.file('disk'));
    await using nbd = await server.open({ maxInFlight: 7 });
    const pieces = Array.from({ length: 200 }, (_, index) => {
      const length = 512 * (1 + ((index * 37) % 600));
      return { offset: 512 * ((index * 7919) % ((8 * MiB - length) / 512)), into: new Uint8Array(length) };
    });

    await Promise.all(pieces.map(({ offset, into }) => nbd.read(offset, into)));

    expect(nbd).to.include({ sizeBytes: 8 * MiB, readOnly: false, minimumBlockBytes: 512, maxRequestBytes: 32 * MiB, maxInFlight: 7 });
    expect(pieces.filter(({ offset, into }) => !equal(into, content.subarray(offset, offset + into.length)))).to.deep.equal([]);
  });

  it('writes, clears and flushes, in the file itself', async () => {
    using folder = new Folder();
    const content = randomBytes(2 * MiB);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(folder, 'file', folder.file('disk'));
    await using nbd = await server.open({ forWriting: true });
    const expected = content.slice();
    const data = randomBytes(300 * KiB, 99);
    expected.set(data, 4096);
    expected.fill(0, MiB, MiB + 64 * KiB);

    await Promise.all([nbd.write(4096, data), nbd.writeZeroes(MiB, 64 * KiB)]);
    await nbd.flush();

    expect(equal(readFileSync(folder.file('disk')), expected)).to.equal(true);
    expect(equal(await readAll(nbd), expected)).to.equal(true);
  });

  it('writes zeroes by itself where the server has no command for them', async () => {
    using folder = new Folder();
    writeFileSync(folder.file('disk'), randomBytes(4 * MiB));
    await using server = await Server.nbdkit(folder, '--filter=nozero', 'file', folder.file('disk'));
    await using nbd = await server.open({ forWriting: true });

    await nbd.writeZeroes(512, 3 * MiB);

    const after = readFileSync(folder.file('disk'));
    expect(after.subarray(512, 512 + 3 * MiB).every((byte) => byte === 0)).to.equal(true);
    expect(equal(after.subarray(512 + 3 * MiB), randomBytes(4 * MiB).subarray(512 + 3 * MiB))).to.equal(true);
  });

  it('stays within the block sizes of the server, which refuses everything else', async () => {
    using folder = new Folder();
    const content = randomBytes(MiB);
    writeFileSync(folder.file('disk'), content);
    const limits = ['blocksize-minimum=4096', 'blocksize-preferred=4096', 'blocksize-maximum=65536', 'blocksize-error-policy=error'];
    await using server = await Server.nbdkit(
      folder,
      '--filter=nozero',
      '--filter=blocksize-policy',
      'file',
      folder.file('disk'),
      ...limits,
    );
    await using nbd = await server.open({ forWriting: true });
    expect(nbd).to.include({ minimumBlockBytes: 4096, maxRequestBytes: 65_536 });

    expect(equal(await readAll(nbd), content)).to.equal(true);
    await nbd.write(4096, content.subarray(0, 300 * KiB));
    await nbd.writeZeroes(0, 128 * KiB);
    expect(await codeOf(nbd.read(512, new Uint8Array(4096)))).to.equal('INTERNAL');
    expect(await codeOf(nbd.write(0, new Uint8Array(100)))).to.equal('INTERNAL');
    expect(await codeOf(nbd.read(MiB - 4096, new Uint8Array(8192)))).to.equal('INTERNAL');
    expect(await codeOf(nbd.read(-4096, new Uint8Array(4096)))).to.equal('INTERNAL');

    const expected = content.slice();
    expected.set(content.subarray(0, 300 * KiB), 4096);
    expected.fill(0, 0, 128 * KiB);
    expect(equal(readFileSync(folder.file('disk')), expected)).to.equal(true);
  });

  it('reads an odd end of a disk', async () => {
    using folder = new Folder();
    const content = randomBytes(MiB + 100);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(folder, 'file', folder.file('disk'));
    await using nbd = await server.open();

    expect(equal(await readAll(nbd), content)).to.equal(true);
  });

  it('tells which ranges hold data, joined and in order, from any byte on', async () => {
    using folder = new Folder();
    sparseFile(folder.file('disk'), 3 * 1024 * MiB, [
      [0, 64 * KiB],
      [MiB, 2 * MiB],
      [2 * 1024 * MiB, 128 * KiB],
    ]);
    await using server = await Server.nbdkit(folder, 'file', folder.file('disk'));
    await using nbd = await server.open();

    expect(await extentsOf(nbd)).to.deep.equal([
      [0, 64 * KiB],
      [MiB, 2 * MiB],
      [2 * 1024 * MiB, 128 * KiB],
    ]);
    expect(await extentsOf(nbd, 2 * MiB)).to.deep.equal([
      [2 * MiB, MiB],
      [2 * 1024 * MiB, 128 * KiB],
    ]);
    expect(await extentsOf(nbd, 2 * 1024 * MiB + 1)).to.deep.equal([[2 * 1024 * MiB + 1, 128 * KiB - 1]]);
    expect(await extentsOf(nbd, 3 * 1024 * MiB)).to.deep.equal([]);
  });

  it('takes a hole that may hold anything for data, and widens what is finer than a block', async () => {
    using folder = new Folder();
    writeFileSync(folder.file('list'), '0 4K hole,zero\n4K 4K hole\n8K 4K zero\n12K 100\n12388 1M hole,zero\n');
    await using server = await Server.nbdkit(
      folder,
      '--readonly',
      '--filter=extentlist',
      'memory',
      '1M',
      `extentlist=${folder.file('list')}`,
    );
    await using nbd = await server.open();

    expect(await extentsOf(nbd)).to.deep.equal([
      [4096, 4096],
      [12_288, 512],
    ]);
  });

  it('works with a server that knows no answers in parts, and so tells no extents', async () => {
    using folder = new Folder();
    const content = randomBytes(MiB);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(folder, '--no-sr', 'file', folder.file('disk'));
    await using nbd = await server.open();

    expect(nbd.extents).to.equal(undefined);
    expect(equal(await readAll(nbd), content)).to.equal(true);
  });

  const failures = [
    { error: 'EPERM', code: 'PERMISSION_DENIED' },
    { error: 'EIO', code: 'CONNECTION_LOST' },
    { error: 'ENOMEM', code: 'HOST_BUSY' },
    { error: 'EINVAL', code: 'PROTOCOL_ERROR' },
    { error: 'ENOSPC', code: 'TARGET_FULL' },
    { error: 'ESHUTDOWN', code: 'CONNECTION_LOST' },
  ];
  for (const { error, code } of failures) {
    it(`makes ${code} of ${error}, and goes on with other requests`, async () => {
      using folder = new Folder();
      const rates = [`error=${error}`, 'error-pwrite-rate=100%', 'error-zero-rate=100%'];
      for (const answers of [[], ['--no-sr']]) {
        await using server = await Server.nbdkit(folder, ...answers, '--filter=error', 'memory', '1M', ...rates);
        await using nbd = await server.open({ forWriting: true });

        const failed = await errorOf(nbd.write(4096, new Uint8Array(512)));
        expect(failed).to.include({ code, message: `write of 512 bytes at 4096 failed at the server with ${error}` });
        expect(failed).to.have.nested.property('context.vendorCode', error);
        expect(await codeOf(nbd.writeZeroes(0, 512))).to.equal(code);
        expect(await codeOf(nbd.read(0, new Uint8Array(512)))).to.equal('none');
      }
    });
  }

  it('refuses to write to what the server gives read-only, or what was opened for reading', async () => {
    using folder = new Folder();
    await using server = await Server.nbdkit(folder, '--readonly', 'memory', '1M');
    await using nbd = await server.open();

    expect(nbd.readOnly).to.equal(true);
    expect(await codeOf(server.open({ forWriting: true }))).to.equal('PERMISSION_DENIED');
    expect(await codeOf(nbd.write(0, new Uint8Array(512)))).to.equal('INTERNAL');
    expect(await codeOf(nbd.writeZeroes(0, 512))).to.equal('INTERNAL');
  });

  it('refuses to write where nothing can be made durable', async () => {
    using folder = new Folder();
    const methods = ['get_size=echo 1M', 'pread=cat /dev/zero | head -c $3', 'pwrite=cat >/dev/null'];
    await using server = await Server.nbdkit(folder, 'eval', ...methods);

    expect(await codeOf(server.open({ forWriting: true }))).to.equal('CAPABILITY_MISSING');
    expect(await codeOf(server.open())).to.equal('none');
  });

  it('tells each request when nbdkit is killed in the middle of them', async () => {
    using folder = new Folder();
    await using server = await Server.nbdkit(folder, '--filter=pause', 'memory', '64M', `pause-control=${folder.file('control')}`);
    using filter = await pauseFilter(folder.file('control'));
    await using nbd = await server.open({ forWriting: true, maxInFlight: 4 });
    await nbd.read(0, new Uint8Array(512));
    await filter.pause();

    const outcomes = Promise.all([
      ...Array.from({ length: 8 }, (_, index) => codeOf(nbd.read(index * MiB, new Uint8Array(MiB)))),
      codeOf(nbd.write(0, new Uint8Array(8 * MiB))),
      codeOf(nbd.flush()),
    ]);
    await server.kill();

    expect(new Set(await outcomes)).to.deep.equal(new Set(['CONNECTION_LOST']));
    expect(await codeOf(nbd.read(0, new Uint8Array(512)))).to.equal('CONNECTION_LOST');
    expect(await codeOf(server.open())).to.equal('CONNECTION_REFUSED');
  });

  it('lets go of an aborted request at once, and of no other', async () => {
    using folder = new Folder();
    const content = randomBytes(MiB);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(
      folder,
      '--filter=pause',
      'file',
      folder.file('disk'),
      `pause-control=${folder.file('control')}`,
    );
    using filter = await pauseFilter(folder.file('control'));
    await using nbd = await server.open({ maxInFlight: 2 });
    await filter.pause();
    const [aborted, kept, queued] = [new Uint8Array(64 * KiB), new Uint8Array(64 * KiB), new Uint8Array(64 * KiB)];
    const [first, third] = [new AbortController(), new AbortController()];

    const reads = [
      codeOf(nbd.read(0, aborted, { signal: first.signal })),
      codeOf(nbd.read(64 * KiB, kept)),
      codeOf(nbd.read(128 * KiB, queued, { signal: third.signal })),
    ];
    first.abort(new Error('enough'));
    third.abort(new Error('not begun'));
    expect([await reads[0], await reads[2]]).to.deep.equal(['Error: enough', 'Error: not begun']);
    await filter.resume();

    expect(await reads[1]).to.equal('none');
    expect(equal(kept, content.subarray(64 * KiB, 128 * KiB))).to.equal(true);
    expect(equal(await readAll(nbd), content)).to.equal(true);
    expect([...aborted, ...queued].some((byte) => byte !== 0)).to.equal(false);
    expect(await codeOf(nbd.read(0, aborted, { signal: first.signal }))).to.equal('Error: enough');
  });

  it('does not wait for ever for a server that opens its disk for ever', async () => {
    using folder = new Folder();
    await using server = await Server.nbdkit(folder, '--filter=delay', 'memory', '1M', 'delay-open=60');
    const controller = new AbortController();

    expect(await codeOf(server.open({ deadlineMs: 100 }))).to.equal('TIMED_OUT');
    const opening = codeOf(server.open({ signal: controller.signal }));
    controller.abort(new Error('enough'));
    expect(await opening).to.equal('Error: enough');
    expect(await codeOf(server.open({ signal: controller.signal }))).to.equal('Error: enough');
  });

  it('reads over TCP as over a unix socket', async () => {
    using folder = new Folder();
    const content = randomBytes(4 * MiB);
    writeFileSync(folder.file('disk'), content);
    await using server = await Server.nbdkit(folder, 'file', folder.file('disk'));
    const relay = createServer((near) => {
      const far = connect(server.socketPath);
      // Who closes first resets the other; what matters is what the client has read.
      for (const side of [near, far]) side.on('error', () => undefined);
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const { port } = relay.address() as AddressInfo;

    const nbd = await openNbd({ host: '127.0.0.1', port }, { forWriting: false, signal: new AbortController().signal });
    const seen = await readAll(nbd);
    await nbd[Symbol.asyncDispose]();
    relay.close();

    expect(equal(seen, content)).to.equal(true);
  });

  it('says who does not answer', async () => {
    using folder = new Folder();
    const options = { forWriting: false, signal: new AbortController().signal };

    const nobody = await errorOf(openNbd({ socketPath: folder.file('none') }, options));
    const closed = await errorOf(openNbd({ host: '127.0.0.1', port: 1 }, options));

    expect(nobody).to.include({ code: 'CONNECTION_REFUSED', message: `no NBD server answers at ${folder.file('none')} (ENOENT)` });
    expect(closed).to.include({ code: 'CONNECTION_REFUSED', message: 'no NBD server answers at 127.0.0.1:1 (ECONNREFUSED)' });
  });
});

describe('NBD client against qemu-nbd', () => {
  before(function () {
    needTools(this, 'qemu-nbd', 'qemu-img');
  });

  it('writes a sparse image of another format, tells its extents and reads it back', async () => {
    using folder = new Folder();
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', folder.file('disk'), '64M']);
    const data = randomBytes(3 * MiB);
    await using server = await Server.qemu(folder, '--format=qcow2', folder.file('disk'));
    await using nbd = await server.open({ forWriting: true });

    await Promise.all([nbd.write(MiB, data), nbd.write(32 * MiB, data.subarray(0, 64 * KiB))]);
    await nbd.writeZeroes(2 * MiB, 64 * KiB);
    await nbd.flush();

    const expected = new Uint8Array(64 * MiB);
    expected.set(data, MiB);
    expected.set(data.subarray(0, 64 * KiB), 32 * MiB);
    expected.fill(0, 2 * MiB, 2 * MiB + 64 * KiB);
    expect(await extentsOf(nbd)).to.deep.equal([
      [MiB, MiB],
      [2 * MiB + 64 * KiB, 2 * MiB - 64 * KiB],
      [32 * MiB, 64 * KiB],
    ]);
    expect(equal(await readAll(nbd), expected)).to.equal(true);
    await nbd[Symbol.asyncDispose]();
    await server.kill();
    execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', folder.file('disk'), folder.file('raw')]);
    expect(equal(readFileSync(folder.file('raw')), expected)).to.equal(true);
  });

  it('finds an export by its name, and no other', async () => {
    using folder = new Folder();
    writeFileSync(folder.file('disk'), randomBytes(MiB));
    await using server = await Server.qemu(folder, '--format=raw', '--export-name=vda', folder.file('disk'));
    const options = { forWriting: false, signal: new AbortController().signal };

    await using nbd = await openNbd({ socketPath: server.socketPath, exportName: 'vda' }, options);

    expect(equal(await readAll(nbd), randomBytes(MiB))).to.equal(true);
    expect(await codeOf(openNbd({ socketPath: server.socketPath, exportName: 'vdb' }, options))).to.equal('NOT_FOUND');
  });
});
