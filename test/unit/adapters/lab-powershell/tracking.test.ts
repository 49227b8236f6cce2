import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, errorOf, HostBench, hostSpec, MIB, step } from './bench.ts';
import { Wmi } from './wmi.ts';

const GRANULE = 32_768;
const SPEC = hostSpec([{ name: 'shop-db', workload: 'none', disks: [{ sizeBytes: MIB }, { sizeBytes: 2 * MIB }] }]);

const cycle = async (bench: HostBench): Promise<Wmi> => {
  const wmi = new Wmi(bench);
  await wmi.convert(await wmi.checkpoint());
  await bench.lab.clock.sleep(1000);
  return wmi;
};

const diskIds = (bench: HostBench) => bench.lab.estate.machine(bench.id()).spec.disks.map(({ id }) => id);

describe('change tracking of a simulated host', () => {
  it('tells in units of its own what was written between two points, and nothing from before or after', async () => {
    await using bench = await HostBench.open(SPEC);
    const [first, second] = diskIds(bench);
    await bench.write(first!, 0, 512);
    const wmi = await cycle(bench);
    const limits = await wmi.trackingIds();
    await bench.write(first!, 5 * GRANULE + 4096, 512);
    await bench.write(second!, 40 * GRANULE - 512, 1024);
    const checkpoint = await wmi.checkpoint();
    await bench.write(first!, 20 * GRANULE, 512);

    const [one, two] = await wmi.frozen(checkpoint);

    expect(await wmi.changes(one!, limits[0]!, MIB)).to.deep.equal([{ offset: 5 * GRANULE, length: GRANULE }]);
    expect(await wmi.changes(two!, limits[1]!, 2 * MIB)).to.deep.equal([{ offset: 39 * GRANULE, length: 2 * GRANULE }]);
  });

  it('answers in pages that may be shorter than asked, and may be empty', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);
    const [limit] = await wmi.trackingIds();
    await bench.write(diskIds(bench)[0]!, MIB - 512, 512);
    const [path] = await wmi.frozen(await wmi.checkpoint());

    const page = await wmi.changesPage(path!, limit!, 0, MIB);

    expect(page).to.deep.include({ ReturnValue: 0, ProcessedByteLength: MIB / 4, ChangedByteOffsets: [], ChangedByteLengths: [] });
    expect(await wmi.changes(path!, limit!, MIB)).to.deep.equal([{ offset: MIB - GRANULE, length: GRANULE }]);
  });

  it('gives no more than 256 ranges at once, and goes on where it stopped', async () => {
    const sizeBytes = 128 * MIB;
    await using bench = await HostBench.open(hostSpec([{ name: 'shop-db', workload: 'none', disks: [{ sizeBytes }] }]));
    const wmi = await cycle(bench);
    const [limit] = await wmi.trackingIds();
    const offsets = Array.from({ length: 300 }, (_, at) => at * 2 * GRANULE);
    for (const offset of offsets) await bench.write(diskIds(bench)[0]!, offset, 512);
    const [path] = await wmi.frozen(await wmi.checkpoint());

    const page = await wmi.changesPage(path!, limit!, 0, sizeBytes);
    const all = await wmi.changes(path!, limit!, sizeBytes);

    expect(page['ChangedByteOffsets']).to.have.lengthOf(256);
    expect(page['ProcessedByteLength']).to.equal(offsets[256]);
    expect(all.map(({ offset }) => offset)).to.deep.equal(offsets);
  });

  it('does not count backwards: a point that is newer than the file is unknown to it', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);
    const [older] = await wmi.frozen(await wmi.checkpoint());
    await bench.write(diskIds(bench)[0]!, 0, 512);
    await wmi.convert(await wmi.checkpoint());
    const [newer] = await wmi.trackingIds();

    expect(await codeOf(wmi.changes(older!, newer!, MIB))).to.equal('TRACKING_LOST');
  });

  it('knows no id that is another disk’s, made up, or of a point that was destroyed', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);
    const [one, two] = await wmi.trackingIds();
    const [point] = await wmi.points();
    const [path] = await wmi.frozen(await wmi.checkpoint());
    const ask = (id: string) => errorOf(wmi.changes(path!, id, MIB)).then(({ code, error }) => [code, (error?.innerHresult ?? 0) >>> 0]);

    expect(await ask(two!)).to.deep.equal(['TRACKING_LOST', 0xc03a0030]);
    expect(await ask('nonsense')).to.deep.equal(['TRACKING_LOST', 0xc03a0029]);
    expect(await ask(one!)).to.deep.equal(['none', 0]);
    await wmi.destroyPoint(String(point!['InstanceID']));
    expect(await ask(one!)).to.deep.equal(['TRACKING_LOST', 0xc03a0030]);
  });

  it('says that nothing is tracked of a disk that no recovery checkpoint has begun', async () => {
    await using bench = await HostBench.open(SPEC);
    await bench.onVm('Stop-VM', { TurnOff: true });
    await bench.lab.clock.sleep(1000);
    const wmi = new Wmi(bench);

    const { error } = await errorOf(wmi.changes(await bench.drivePath(), `rctX:${bench.id()}:00000001`, MIB));

    expect(error!.innerHresult >>> 0).to.equal(0xc03a002a);
  });

  it('is not asked about a disk that is being written', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);

    expect(await codeOf(wmi.changes(await bench.drivePath(), (await wmi.trackingIds())[0]!, MIB))).to.equal('FILE_LOCKED');
  });

  it('outlives a start, a stop, a migration and a power cut, after which it tells more and never less', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);
    const [limit] = await wmi.trackingIds();
    const [disk] = diskIds(bench);
    await bench.write(disk!, 9 * GRANULE, 512);
    await bench.onVm('Stop-VM', { TurnOff: true });
    await bench.lab.clock.sleep(1000);
    await bench.onVm('Start-VM');
    const before = await wmi.changes((await wmi.frozen(await wmi.checkpoint()))[0]!, limit!, MIB);

    await bench.lab.control.call('lab.powerCut', { machine: bench.id() });
    await bench.lab.clock.sleep(1000);
    await bench.onVm('Start-VM');
    const checkpoint = await wmi.checkpoint();
    const after = await wmi.changes((await wmi.frozen(checkpoint))[0]!, limit!, MIB);

    expect(before).to.deep.equal([{ offset: 9 * GRANULE, length: GRANULE }]);
    expect(after).to.deep.equal([{ offset: 8 * GRANULE, length: 8 * GRANULE }]);
  });

  it('is lost when the disk is resized, or was written while it was mounted', async () => {
    for (const edit of ['resize', 'write'] as const) {
      await using bench = await HostBench.open(SPEC);
      const wmi = await cycle(bench);
      const [limit] = await wmi.trackingIds();
      await bench.onVm('Stop-VM', { TurnOff: true });
      await bench.lab.clock.sleep(2000);
      const path = await bench.drivePath();
      if (edit === 'resize') await bench.run(step('Resize-VHD', { Path: path, SizeBytes: { $type: 'uint64', value: String(2 * MIB) } }));
      else {
        await bench.run(step('Mount-VHD', { Path: path, NoDriveLetter: true }), step('Set-Disk', { Number: 1, IsOffline: true }));
        await using port = bench.lab.open();
        const { handle } = await port.call('agent.open', { host: 'hv-a', path: '\\\\.\\PhysicalDrive1', forWriting: true });
        await port.call('agent.write', { host: 'hv-a', handle, offset: 0, data: Buffer.alloc(512, 1) });
        await bench.run(step('Dismount-VHD', { Path: path }));
      }

      expect(await codeOf(wmi.changes(path, limit!, MIB)), edit).to.equal('TRACKING_LOST');
    }
  });

  it('leaves a range out, or answers for an id that it does not know, only where a rule asks for the lie', async () => {
    await using bench = await HostBench.open(SPEC);
    const wmi = await cycle(bench);
    const [limit] = await wmi.trackingIds();
    const [disk] = diskIds(bench);
    await bench.write(disk!, 0, 512);
    const [path] = await wmi.frozen(await wmi.checkpoint());
    const lie = (what: 'skipDirtyRange' | 'resetBaseline') =>
      bench.lab.control.call('lab.addFault', {
        rule: { method: 'ps.Msvm_ImageManagementService.GetVirtualDiskChanges', times: 4, act: { lie: what } },
      });

    await lie('skipDirtyRange');
    const skipped = await wmi.changes(path!, limit!, MIB);
    await bench.lab.control.call('lab.clearFaults', {});
    await lie('resetBaseline');
    const made = await codeOf(wmi.changes(path!, `rctX:${bench.id()}:00000001`, MIB));

    expect(skipped).to.deep.equal([]);
    expect(made).to.equal('none');
  });
});
