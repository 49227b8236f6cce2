import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { demoEstate } from '../../../../adapters/lab/demo-estate.ts';
import { isDrError } from '../../../../core/contract/index.ts';
import { Bench, callOf } from '../../plugins/memory/replicate.ts';
import { temporary } from './lab-process.ts';

const MIB = 2 ** 20;

const setUp = async () => {
  const bench = new Bench(demoEstate({ diskBytes: MIB }));
  const session = await bench.connect('vcenter-a', 'vmware');
  const machine = await bench.machineNamed('shop-web');
  const disk = (await session.inventory.getMachine(machine, callOf())).spec.disks[0]!.id;
  await session.power!.set(machine, 'off', callOf());
  const home = temporary();
  const path = join(home.path, 'image.raw');
  writeFileSync(path, Buffer.alloc(100_000, 'x'));
  truncateSync(path, 8 * MIB);
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(512, 'y'), 0, 512, 5 * MIB + 1024);
  // Zeros that take room in the file are not copied either.
  await file.write(Buffer.alloc(MIB / 2), 0, MIB / 2, 6 * MIB);
  await file.close();
  const { control } = bench.lab;
  const content = async () => Buffer.from((await control.call('lab.read', { machine, disk, offset: 0, length: 8 * MIB })).data);
  return { home, bench, session, machine, disk, path, control, content };
};

describe("a user's disk image", () => {
  it('is copied in as it is, only where it has something, and never changed', async () => {
    const { home, bench, session, machine, disk, path, control, content } = await setUp();
    using _ = home;
    await using __ = bench;
    const before = statSync(path);

    const { copiedBytes } = await control.call('lab.importDisk', { machine, disk, path });

    expect((await content()).equals(readFileSync(path))).to.equal(true);
    expect(copiedBytes).to.equal(3 * 65_536);
    expect(statSync(path).mtimeMs).to.equal(before.mtimeMs);
    expect((await session.inventory.getMachine(machine, callOf())).spec.disks[0]!.sizeBytes).to.equal(8 * MIB);
  });

  it('boots when there is something on it, and runs no database of ours', async () => {
    const { home, bench, session, machine, disk, path, control } = await setUp();
    using _ = home;
    await using __ = bench;
    await control.call('lab.importDisk', { machine, disk, path });

    await session.power!.set(machine, 'on', callOf());
    await bench.advance(5000);

    expect(await bench.status(machine)).to.include({ guestUp: true, writes: 0 });
  });

  it('is applied again as the writes that make the difference, which the tracker sees', async () => {
    const { home, bench, session, machine, disk, path, control, content } = await setUp();
    using _ = home;
    await using __ = bench;
    await control.call('lab.importDisk', { machine, disk, path });
    await session.source!.enableTracking(machine, callOf());
    if (session.source?.kind !== 'snapshot') throw new Error('no snapshots');
    const { source } = session;
    const take = (since = new Map()) => source.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since }, callOf());
    const first = await take();
    truncateSync(path, 4 * MIB);
    truncateSync(path, 8 * MIB);
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(512, 'z'), 0, 512, 3 * MIB);
    await file.write(Buffer.alloc(100_000), 0, 100_000, 0);
    await file.close();

    const { changedBytes } = await control.call('lab.applyDisk', { machine, disk, path });

    const second = await take(new Map([[disk, first.disks[0]!.baseline]]));
    const offsets = [];
    for await (const extent of source.changedExtents(second.id, disk, 0, callOf())) offsets.push(extent.offset);
    expect((await content()).equals(readFileSync(path))).to.equal(true);
    expect(offsets).to.deep.equal([0, 3 * MIB, 5 * MIB]);
    expect(changedBytes).to.equal(4 * 65_536);
  });

  it('comes out again equal, as a sparse file, and over no file that is there', async () => {
    const { home, bench, machine, disk, path, control } = await setUp();
    using _ = home;
    await using __ = bench;
    await control.call('lab.importDisk', { machine, disk, path });
    const out = join(home.path, 'out.raw');

    await control.call('lab.exportDisk', { of: { machine }, disk, path: out });

    expect(readFileSync(out).equals(readFileSync(path))).to.equal(true);
    expect(statSync(out).blocks * 512).to.be.lessThan(MIB);
    const again = await control.call('lab.exportDisk', { of: { machine }, disk, path: out }).catch((error: unknown) => error);
    expect(isDrError(again)).to.equal(true);
  });

  it('is refused while the machine runs, and when it is no image', async () => {
    const { home, bench, session, machine, disk, path, control } = await setUp();
    using _ = home;
    await using __ = bench;
    const odd = join(home.path, 'odd');
    writeFileSync(odd, 'not a disk');
    const codeOf = (from: string) =>
      control.call('lab.importDisk', { machine, disk, path: from }).catch((error: unknown) => (isDrError(error) ? error.code : error));

    expect(await codeOf(odd)).to.equal('CONFIG_INVALID');
    expect(await codeOf(join(home.path, 'none'))).to.equal('NOT_FOUND');
    await session.power!.set(machine, 'on', callOf());
    expect(await codeOf(path)).to.equal('STATE_CONFLICT');
  });
});
