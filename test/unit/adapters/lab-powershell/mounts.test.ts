import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import { codeOf, HostBench, MIB, step } from './bench.ts';

const DRIVE = '\\\\.\\PhysicalDrive1';
const options = (forWriting: boolean) => ({ forWriting, deadlineMs: 1000 });

const off = async (bench: HostBench): Promise<string> => {
  await bench.onVm('Stop-VM');
  await bench.lab.clock.sleep(500);
  return bench.drivePath();
};

const mount = async (bench: HostBench, path: string, readOnly = false) =>
  (
    await bench.rows(
      step('Mount-VHD', { Path: path, NoDriveLetter: true, Passthru: true, ...(readOnly ? { ReadOnly: true } : {}) }, [
        'DiskNumber',
        'Attached',
      ]),
    )
  )[0]!;

const offline = (bench: HostBench, number = 1) => bench.run(step('Set-Disk', { Number: number, IsOffline: true }));

describe('disks that a simulated host mounts', () => {
  it('get the lowest free number, once at a time, and lose it when they are dismounted', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    for (const name of ['a', 'b']) await bench.run(step('New-VHD', { Path: `D:\\${name}.vhdx`, SizeBytes: MIB, Dynamic: true }));

    const first = await mount(bench, path);
    const second = await mount(bench, 'D:\\a.vhdx');
    const again = await codeOf(mount(bench, path));
    await bench.run(step('Dismount-VHD', { Path: path }));
    const third = await mount(bench, 'D:\\b.vhdx');

    expect([first, second, third]).to.deep.equal([
      { DiskNumber: 1, Attached: true },
      { DiskNumber: 2, Attached: true },
      { DiskNumber: 1, Attached: true },
    ]);
    expect(again).to.equal('FILE_LOCKED');
    expect(await codeOf(bench.run(step('Dismount-VHD', { Path: path })))).to.equal('STATE_CONFLICT');
  });

  it('are not those that a running machine writes to; what it has frozen can be read meanwhile', async () => {
    await using bench = await HostBench.open();
    const base = await bench.drivePath();

    const running = await codeOf(mount(bench, base, true));
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'a' });

    expect(running).to.equal('FILE_LOCKED');
    expect(await codeOf(mount(bench, base))).to.equal('FILE_LOCKED');
    expect(await codeOf(mount(bench, base, true))).to.equal('none');
  });

  it('are read and written by the agent at their number, with the bytes of the machine', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    const [disk] = bench.lab.estate.machine(bench.id()).spec.disks;
    await mount(bench, path);
    await offline(bench);
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    await using device = await agent.openDevice(DRIVE, options(true));

    const data = Buffer.alloc(4096, 'warm');
    await device.write(64 * 1024, data);
    await device.writeZeroes(128 * 1024, 4096);
    await device.flush();
    const read = Buffer.alloc(4096);
    await device.read(64 * 1024, read);
    const digests = [];
    for await (const one of device.digests(65_536, 0)) digests.push(one);

    const { data: seen } = await bench.lab.control.call('lab.read', {
      machine: bench.id(),
      disk: disk!.id,
      offset: 64 * 1024,
      length: 4096,
    });
    expect([device.sizeBytes, device.logicalSectorBytes]).to.deep.equal([MIB, 512]);
    expect(read.equals(data) && Buffer.from(seen).equals(data)).to.equal(true);
    expect(digests).to.have.lengthOf(16);
    expect(digests[1]!.offset).to.equal(65_536);
  });

  it('are written offline only, when there is something on them, and never where they are mounted for reading', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    await mount(bench, path);
    await bench.run(step('New-VHD', { Path: 'D:\\empty.vhdx', SizeBytes: MIB, Dynamic: true }));
    await mount(bench, 'D:\\empty.vhdx');
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    const sector = Buffer.alloc(512, 1);
    const device = await agent.openDevice(DRIVE, options(true));
    await using empty = await agent.openDevice('\\\\.\\PhysicalDrive2', options(true));

    const online = await codeOf(device.write(0, sector));
    await offline(bench);
    const written = await codeOf(device.write(0, sector));
    const first = await codeOf(empty.write(0, sector));
    await device[Symbol.asyncDispose]();
    await bench.run(step('Dismount-VHD', { Path: path }));
    await mount(bench, path, true);

    expect([online, written, first]).to.deep.equal(['PERMISSION_DENIED', 'none', 'none']);
    expect(await codeOf(agent.openDevice(DRIVE, options(true)))).to.equal('PERMISSION_DENIED');
    expect(await codeOf(agent.openDevice('\\\\.\\PhysicalDrive7', options(false)))).to.equal('NOT_FOUND');
    expect(await codeOf(agent.openDevice('C:\\secret.txt', options(false)))).to.equal('NOT_FOUND');
  });

  it('belong to one writer; a session that ends gives them up, and a dismount takes them away', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    await mount(bench, path);
    const first = createLabAgent(bench.lab.open(), 'hv-a');
    await using second = createLabAgent(bench.lab.open(), 'hv-a');
    await first.openDevice(DRIVE, options(true));

    const locked = await codeOf(second.openDevice(DRIVE, options(false)));
    await first[Symbol.asyncDispose]();
    const device = await second.openDevice(DRIVE, options(false));
    await bench.run(step('Dismount-VHD', { Path: path }));
    await mount(bench, path);

    expect(locked).to.equal('FILE_LOCKED');
    expect(await codeOf(device.read(0, Buffer.alloc(512))), 'the number is the same, the disk is mounted anew').to.equal('NOT_FOUND');
  });

  it('lose in part what was not flushed when the power goes, and nothing that was', async () => {
    await using bench = await HostBench.open();
    await bench.run(step('New-VHD', { Path: 'D:\\copy.vhdx', SizeBytes: MIB, Dynamic: true }));
    await mount(bench, 'D:\\copy.vhdx');
    await offline(bench);
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    const device = await agent.openDevice(DRIVE, options(true));
    const filled = async (from: number) => {
      const data = Buffer.alloc(256 * 1024);
      await using again = createLabAgent(bench.lab.open(), 'hv-a');
      await (await again.openDevice(DRIVE, options(false))).read(from, data);
      return data.filter((byte) => byte === 1).length;
    };

    await device.write(0, Buffer.alloc(256 * 1024, 1));
    await device.flush();
    await device.write(512 * 1024, Buffer.alloc(256 * 1024, 1));
    await bench.lab.control.call('lab.powerCut', { endpoint: 'hv-a' });
    await mount(bench, 'D:\\copy.vhdx', true);

    expect(await filled(0)).to.equal(256 * 1024);
    expect(await filled(512 * 1024))
      .to.be.greaterThan(0)
      .and.lessThan(256 * 1024);
  });

  it('lose what a flush that lies was to keep', async () => {
    await using bench = await HostBench.open();
    await bench.run(step('New-VHD', { Path: 'D:\\copy.vhdx', SizeBytes: MIB, Dynamic: true }));
    await mount(bench, 'D:\\copy.vhdx');
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    const device = await agent.openDevice(DRIVE, options(true));
    await bench.lab.control.call('lab.addFault', { rule: { method: 'agent.flush', act: { lie: 'noFlush' } } });

    await device.write(0, Buffer.alloc(256 * 1024, 1));
    await device.flush();
    await bench.lab.control.call('lab.powerCut', { endpoint: 'hv-a' });

    const { layer } = bench.lab.estate.endpoint('hv-a').hyperv!.files['d:\\copy.vhdx']!;
    const kept = Buffer.alloc(256 * 1024);
    bench.lab.estate.layer(layer).volume.read(0, kept);
    expect(kept.filter((byte) => byte === 1).length)
      .to.be.greaterThan(0)
      .and.lessThan(kept.length);
  });

  it('under a differencing disk take a write, which is a violation on record', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    await bench.run(step('New-VHD', { Path: 'D:\\child.vhdx', ParentPath: path, Differencing: true }));
    await mount(bench, path);
    await offline(bench);
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    await using device = await agent.openDevice(DRIVE, options(true));

    await device.write(0, Buffer.alloc(512, 1));
    await device.write(512, Buffer.alloc(512, 1));

    const { violations } = await bench.lab.control.call('lab.status', {});
    expect(violations.map(({ kind, identity }) => [kind, identity])).to.deep.equal([['parentWritten', path]]);
  });

  it('are full when their storage is', async () => {
    await using bench = await HostBench.open();
    await bench.run(step('New-VHD', { Path: 'E:\\large.vhdx', SizeBytes: { $type: 'uint64', value: String(512 * MIB) }, Dynamic: true }));
    await mount(bench, 'E:\\large.vhdx');
    await using agent = createLabAgent(bench.lab.open(), 'hv-a');
    await using device = await agent.openDevice(DRIVE, options(true));
    await offline(bench);

    let code = 'none';
    for (let at = 0; at < 300 && code === 'none'; at++) code = await codeOf(device.write(at * MIB, Buffer.alloc(MIB, 1)));

    expect(code).to.equal('TARGET_FULL');
  });

  it('fail, lie and lose their wire as rules ask', async () => {
    await using bench = await HostBench.open();
    const path = await off(bench);
    await mount(bench, path, true);
    const agent = createLabAgent(bench.lab.open(), 'hv-a');
    const device = await agent.openDevice(DRIVE, options(false));
    const rule = (act: object) =>
      bench.lab.control.call('lab.addFault', { rule: { method: 'agent.read', machine: bench.id(), nth: 1, act: act as never } });
    const whole = Buffer.alloc(8192);
    await device.read(0, whole);

    await rule({ lie: 'halfData' });
    const half = Buffer.alloc(8192);
    await device.read(0, half);
    await rule({ error: 'INTERNAL' });
    const failed = await codeOf(device.read(0, half));
    await rule({ cut: 'before' });

    expect(half.subarray(0, 4096).equals(whole.subarray(0, 4096)) && half.subarray(4096).every((byte) => byte === 0)).to.equal(true);
    expect(failed).to.equal('INTERNAL');
    expect(await codeOf(device.read(0, half))).to.equal('CONNECTION_LOST');
    expect(agent.lost.aborted).to.equal(true);
  });
});
