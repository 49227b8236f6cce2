import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { connectLab } from '../../../../adapters/lab/client.ts';
import type { EstatePort } from '../../../../adapters/lab/port.ts';
import { isDrError, type MachineId, type SnapshotId } from '../../../../core/contract/index.ts';
import { LabProcess, temporary } from './lab-process.ts';

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (isDrError(error) ? error.code : String(error)),
  );

const AT = { endpoint: 'vcenter-a', owner: 'owner-1' } as const;
const SMALL = ['--disk-bytes', String(1 << 20)];

const firstMachine = async (port: EstatePort) => (await port.call('inventory.machines', AT)).machines[0]!;

const snapshotOf = async (port: EstatePort, machine: MachineId): Promise<SnapshotId> => {
  const want = { machines: [machine], consistency: 'crash', orElse: 'crash', notes: '', operationId: 'one' } as const;
  return (await port.call('source.createSnapshot', { ...AT, ...want })).snapshot.id;
};

describe('the lab as a process', () => {
  it('goes on where it was after an orderly end: machines, snapshots, baselines and content', async () => {
    using home = temporary();
    const before = await (async () => {
      await using lab = await LabProcess.start(home.path, ...SMALL);
      const port = await lab.connect();
      const { id } = await firstMachine(port);
      await port.call('source.enableTracking', { ...AT, machine: id });
      const snapshot = await snapshotOf(port, id);
      const report = await port.call('lab.inspect', { of: { snapshot } });
      const { transactions } = (await port.call('lab.machine', { machine: id })).status;
      const { baseline, disk } = (await port.call('source.listSnapshots', AT)).snapshots[0]!.disks[0]!;
      expect(await lab.end('SIGTERM')).to.equal(0);
      return { id, snapshot, report, transactions, baseline, disk };
    })();

    await using lab = await LabProcess.start(home.path);
    const port = await lab.connect();

    const { status } = await port.call('lab.machine', { machine: before.id });
    expect(status).to.include({ power: 'on', guestUp: true });
    expect(status.transactions).to.be.at.least(before.transactions);
    expect(await port.call('lab.inspect', { of: { snapshot: before.snapshot } })).to.deep.equal(before.report);
    expect((await port.call('lab.truth', { snapshot: before.snapshot })).truths[0]!.digests).to.deep.equal(before.report.digests);
    const changed = { ...AT, snapshot: before.snapshot, disk: before.disk, since: before.baseline, from: 0 };
    expect(await codeOf(port.call('source.changedExtents', changed))).to.equal('none');
    await port.call('lab.setWorkload', { machine: before.id, writesPerSecond: 2000 });
    const transactions = async () => (await port.call('lab.machine', { machine: before.id })).status.transactions;
    while ((await transactions()) < status.transactions + 200);
    expect(await port.call('lab.inspect', { of: { snapshot: before.snapshot } })).to.deep.equal(before.report);
    expect((await port.call('lab.inspect', { of: { machine: before.id } })).verdict.consistent).to.equal(true);
    expect(lab.said).to.equal('');
  });

  it('opens again after a kill as after a power cut: consistent, snapshots whole, trackers new', async () => {
    using home = temporary();
    const before = await (async () => {
      await using lab = await LabProcess.start(home.path, ...SMALL);
      const port = await lab.connect();
      const { id } = await firstMachine(port);
      await port.call('source.enableTracking', { ...AT, machine: id });
      const snapshot = await snapshotOf(port, id);
      const report = await port.call('lab.inspect', { of: { snapshot } });
      const { baseline, disk } = (await port.call('source.listSnapshots', AT)).snapshots[0]!.disks[0]!;
      await port.call('lab.setWorkload', { machine: id, writesPerSecond: 2000 });
      const { transactions } = (await port.call('lab.machine', { machine: id })).status;
      while ((await port.call('lab.machine', { machine: id })).status.transactions < transactions + 200);
      await lab.end('SIGKILL');
      return { id, snapshot, report, transactions, baseline, disk };
    })();

    await using lab = await LabProcess.start(home.path);
    const port = await lab.connect();

    expect(lab.said)
      .to.match(/every machine lost its power/)
      .and.not.to.match(/reading/);
    expect((await port.call('lab.inspect', { of: { snapshot: before.snapshot } })).digests).to.deep.equal(before.report.digests);
    const { verdict } = await port.call('lab.inspect', { of: { machine: before.id } });
    expect(verdict).to.include({ kind: 'guest', consistent: true });
    expect(verdict.sequence).to.be.at.least(before.transactions + 200);
    const changed = { ...AT, snapshot: before.snapshot, disk: before.disk, since: before.baseline, from: 0 };
    expect(await codeOf(port.call('source.changedExtents', changed))).to.equal('TRACKING_LOST');
  });

  it('reads a disk whose allocation map is gone, says so, and drops a snapshot that it cannot know', async () => {
    using home = temporary();
    const before = await (async () => {
      await using lab = await LabProcess.start(home.path, ...SMALL);
      const port = await lab.connect();
      const { id } = await firstMachine(port);
      await port.call('lab.power', { machine: id, to: 'off' });
      const snapshot = await snapshotOf(port, id);
      const { digests } = await port.call('lab.inspect', { of: { machine: id } });
      await lab.end('SIGKILL');
      return { id, snapshot, digests };
    })();
    for (const file of ['disk', 'snap']) {
      for (let n = 0; n < 100; n++) rmSync(join(home.path, 'disks', `${file}-${n}.map`), { force: true });
    }

    await using lab = await LabProcess.start(home.path);
    const port = await lab.connect();

    expect(lab.said).to.match(/allocation map of disk-\d+ is missing: reading/);
    expect((await port.call('lab.inspect', { of: { machine: before.id } })).digests).to.deep.equal(before.digests);
    expect(await codeOf(port.call('lab.inspect', { of: { snapshot: before.snapshot } }))).to.equal('NOT_FOUND');
  });

  it('lets only its owner in, and no second lab into its directory', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);

    expect(statSync(lab.socketPath).mode & 0o777).to.equal(0o600);
    expect(await codeOf(LabProcess.start(home.path))).to.match(/another lab runs/);
  });

  it('overlaps calls, cancels one by its signal, and fails what is open when it dies', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    const { id, spec } = await firstMachine(port);
    await port.call('lab.addFault', { rule: { method: 'inventory.machine', act: { delayMs: 60_000 } } });
    const controller = new AbortController();

    const slow = port.call('inventory.machine', { ...AT, machine: id }, { signal: controller.signal });
    const open = port.call('inventory.machine', { ...AT, machine: id });
    const quick = await port.call('lab.read', { machine: id, disk: spec.disks[0]!.id, offset: 0, length: 8192 });
    expect(quick.data).to.have.length(8192);
    controller.abort(new Error('enough'));
    expect(await codeOf(slow)).to.equal('Error: enough');
    const outcome = codeOf(open);
    await lab.end('SIGKILL');

    expect(await outcome).to.equal('CONNECTION_LOST');
    expect(await codeOf(port.call('lab.status', {}))).to.equal('CONNECTION_LOST');
    expect(await codeOf(connectLab(lab.socketPath))).to.equal('CONNECTION_REFUSED');
  });

  it('takes a call back that was cancelled before its effect', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    const at = { endpoint: 'servers-a', owner: 'owner-1' };
    const { id: machine, spec } = (await port.call('inventory.machines', at)).machines[0]!;
    const where = { machine, disk: spec.disks[0]!.id, offset: 12_288 };
    const before = await port.call('lab.read', { ...where, length: 512 });
    const frozen = { ...at, machine, operationId: 'one', consistency: 'crash', maxFreezeMs: 60_000 } as const;
    const { freeze } = await port.call('stream.freeze', frozen);
    const controller = new AbortController();

    const writing = port.call('lab.write', { ...where, data: new Uint8Array(512).fill(0xab) }, { signal: controller.signal });
    controller.abort(new Error('enough'));
    expect(await codeOf(writing)).to.equal('Error: enough');
    await port.call('stream.endFreeze', { ...at, machine, freeze, outcome: 'thaw' });

    expect(Buffer.from((await port.call('lab.read', { ...where, length: 512 })).data).equals(Buffer.from(before.data))).to.equal(true);
  });

  it('carries bytes both ways unchanged, whole pages of them', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, '--disk-bytes', String(4 << 20));
    const port = await lab.connect();
    const { id, spec } = await firstMachine(port);
    await port.call('lab.power', { machine: id, to: 'off' });
    const disk = spec.disks[0]!.id;
    const data = Uint8Array.from({ length: 3 << 20 }, (_, index) => (index * 7) % 251);

    await port.call('lab.write', { machine: id, disk, offset: 512, data });
    const back = await port.call('lab.read', { machine: id, disk, offset: 512, length: data.length });

    expect(Buffer.from(back.data).equals(Buffer.from(data))).to.equal(true);
    expect((await port.call('lab.read', { machine: id, disk, offset: 0, length: 0 })).data).to.have.length(0);
  });
});
