import { expect } from 'chai';
import { describe, it } from 'mocha';
import { demoEstate } from '../../../../adapters/lab/demo-estate.ts';
import type { FaultRule, Lie } from '../../../../adapters/lab/port.ts';
import { type ErrorCode, isDrError, type SnapshotSource } from '../../../../core/contract/index.ts';
import { Bench, callOf, createReplica, replicate } from '../../plugins/memory/replicate.ts';

const rejection = async (promise: Promise<unknown>): Promise<ErrorCode | 'none' | 'foreign'> =>
  promise.then(
    () => 'none' as const,
    (error: unknown) => (isDrError(error) ? error.code : 'foreign'),
  );

const setUp = async () => {
  const bench = new Bench(demoEstate({ diskBytes: 4 << 20, writesPerSecond: 200 }));
  const source = await bench.connect('vmm-a', 'hyperv');
  const target = await bench.connect('vmm-b', 'hyperv');
  const machine = await bench.machineNamed('erp-db');
  await source.source!.enableTracking(machine, callOf());
  const placed = await createReplica(target, await source.inventory.getMachine(machine, callOf()));
  const fault = (rule: FaultRule) => bench.lab.control.call('lab.addFault', { rule });
  const get = () => source.inventory.getMachine(machine, callOf());
  return { bench, source, target, machine, placed, fault, get };
};

describe('faults of the lab', () => {
  it('fail the n-th matching call, once, and no other', async () => {
    const { bench, fault, get } = await setUp();
    await using _ = bench;
    await fault({ method: 'inventory.machine', nth: 2, act: { error: 'HOST_BUSY' } });

    expect([await rejection(get()), await rejection(get()), await rejection(get())]).to.deep.equal(['none', 'HOST_BUSY', 'none']);
  });

  it('match by method prefix, endpoint and machine', async () => {
    const { bench, source, machine, fault, get } = await setUp();
    await using _ = bench;
    const other = await bench.machineNamed('erp-web');
    await fault({ method: 'inventory.*', endpoint: 'vmm-a', machine: other, act: { error: 'TIMED_OUT' } });
    await fault({ method: 'inventory.*', endpoint: 'vmm-b', machine, act: { error: 'TIMED_OUT' } });

    expect(await rejection(get())).to.equal('none');
    expect(await rejection(source.inventory.getMachine(other, callOf()))).to.equal('TIMED_OUT');
  });

  it('strike with a probability, the same calls for the same seed', async () => {
    const run = async () => {
      const { bench, fault, get } = await setUp();
      await using _ = bench;
      await fault({ method: 'inventory.machine', probability: 0.3, act: { error: 'HOST_BUSY' } });
      const outcomes: string[] = [];
      for (let call = 0; call < 40; call++) outcomes.push(await rejection(get()));
      return outcomes.join();
    };
    const first = await run();

    expect(first).to.contain('none').and.to.contain('HOST_BUSY');
    expect(await run()).to.equal(first);
  });

  it('delay a call by the estate’s clock, and its signal still ends it', async () => {
    const { bench, source, machine, fault, get } = await setUp();
    await using _ = bench;
    await fault({ method: 'inventory.machine', act: { delayMs: 3_600_000 } });
    const before = bench.lab.clock.now();

    await get();
    expect(bench.lab.clock.now() - before).to.be.at.least(3_600_000);
    const controller = new AbortController();
    const call = source.inventory.getMachine(machine, callOf({ signal: controller.signal }));
    controller.abort(new DOMException('stop', 'AbortError'));
    expect(await rejection(call)).to.equal('foreign');
  });

  for (const cut of ['before', 'after'] as const) {
    it(`cut the connection ${cut} the effect: the session is dead, a new one works`, async () => {
      const { bench, source, machine, fault } = await setUp();
      await using _ = bench;
      await fault({ method: 'power.set', nth: 1, act: { cut } });

      expect(await rejection(source.power!.set(machine, 'off', callOf()))).to.equal('CONNECTION_LOST');
      expect(await rejection(source.inventory.getMachine(machine, callOf()))).to.equal('CONNECTION_LOST');
      const again = await bench.connect('vmm-a', 'hyperv');
      expect((await again.inventory.getMachine(machine, callOf())).power).to.equal(cut === 'before' ? 'on' : 'off');
    });
  }

  it('take the power of an endpoint: machines off, trackers lost, what was not flushed gone in part', async () => {
    const { bench, source, target, machine, placed, fault } = await setUp();
    await using _ = bench;
    const { baselines } = await replicate(source, machine, target, placed);
    const [disk] = [...placed.disks.values()];
    const into = await target.target!.openReplicaDisk(placed.machine.id, disk!, callOf());
    const flushed = (await bench.inspect({ replica: placed.machine.id })).digests;
    await into.write(0, new Uint8Array(1 << 20).fill(0xee), callOf());
    const written = (await bench.inspect({ replica: placed.machine.id })).digests;
    await fault({ method: 'inventory.machine', act: { crash: 'after' }, times: 2 });

    expect(await rejection(target.inventory.getMachine(placed.machine.id, callOf()))).to.equal('CONNECTION_LOST');
    expect(await rejection(source.inventory.getMachine(machine, callOf()))).to.equal('CONNECTION_LOST');

    const after = (await bench.inspect({ replica: placed.machine.id })).digests;
    expect(after).not.to.deep.equal(flushed);
    expect(after).not.to.deep.equal(written);
    expect((await bench.status(machine)).power).to.equal('off');
    const again = await bench.connect('vmm-a', 'hyperv');
    const snapshots = again.source as SnapshotSource;
    const taken = await snapshots.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since: baselines }, callOf());
    const asked = snapshots.changedExtents(taken.id, taken.disks[0]!.disk, 0, callOf())[Symbol.asyncIterator]();
    expect(await rejection(asked.next())).to.equal('TRACKING_LOST');
  });

  it('leave a site that burns unreachable and dark, and give it back as it was', async () => {
    const { bench, source, machine, get } = await setUp();
    await using _ = bench;
    const before = await get();
    await bench.lab.control.call('lab.burnSite', { site: 'site-a' });
    expect(await rejection(get())).to.equal('CONNECTION_REFUSED');
    expect((await bench.status(machine)).guestUp).to.equal(false);
    await bench.advance(60_000);

    await bench.lab.control.call('lab.restoreSite', { site: 'site-a' });
    await bench.advance(60_000);

    const after = await source.inventory.getMachine(machine, callOf());
    expect(after.guestName).to.equal(before.guestName);
    expect(Date.parse(after.bootedAt!)).to.be.greaterThan(Date.parse(before.bootedAt!));
    expect((await bench.inspect({ machine })).verdict.consistent).to.equal(true);
  });

  it('start nothing at a site that comes back but what ran and starts by itself', async () => {
    const { bench, source, machine } = await setUp();
    await using _ = bench;
    const other = await bench.machineNamed('erp-web');
    await source.power!.set(machine, 'off', callOf());
    const { control } = bench.lab;

    await control.call('lab.burnSite', { site: 'site-a' });
    await control.call('lab.restoreSite', { site: 'site-a', autostart: false });
    expect((await bench.status(other)).power).to.equal('off');
    await control.call('lab.restoreSite', { site: 'site-a' });

    expect((await bench.status(machine)).power).to.equal('off');
    expect((await bench.status(other)).power).to.equal('on');
  });

  it('keep machines running behind a link that is cut', async () => {
    const { bench, machine, get } = await setUp();
    await using _ = bench;
    await bench.lab.control.call('lab.setLink', { site: 'site-a', up: false });
    expect(await rejection(get())).to.equal('CONNECTION_REFUSED');
    const { writes } = await bench.status(machine);
    await bench.advance(1000);
    expect((await bench.status(machine)).writes).to.be.greaterThan(writes);

    await bench.lab.control.call('lab.setLink', { site: 'site-a', up: true });
    expect(await rejection(get())).to.equal('none');
  });
});

/** Two honest cycles, then one with the lie; says whether the replica equals the truth of that cycle. */
const cycleWith = async (
  lie: Lie | undefined,
  method: string,
  prepare: (bench: Bench, machine: string) => Promise<void> = async () => undefined,
) => {
  const { bench, source, target, machine, placed, fault } = await setUp();
  await using _ = bench;
  const first = await replicate(source, machine, target, placed);
  await bench.advance(1000);
  if (lie) await fault({ method, act: { lie } });
  await prepare(bench, machine);
  const second = await replicate(source, machine, target, placed, first.baselines);
  const { truths } = await bench.lab.control.call('lab.truth', { snapshot: second.snapshot.id });
  const report = await bench.inspect({ replica: placed.machine.id });
  return {
    identical: report.digests.every((row, index) => row.digest === truths[0]!.digests[index]!.digest),
    consistent: report.verdict.consistent,
  };
};

describe('lies of the lab', () => {
  it('are absent: a cycle without one is identical and consistent', async () => {
    expect(await cycleWith(undefined, '')).to.deep.equal({ identical: true, consistent: true });
  });

  it('skipDirtyRange leaves a block stale', async () => {
    expect(await cycleWith('skipDirtyRange', 'source.changedExtents')).to.deep.equal({ identical: false, consistent: false });
  });

  it('halfData gives half of what was read', async () => {
    expect(await cycleWith('halfData', 'disk.read')).to.deep.equal({ identical: false, consistent: false });
  });

  it('tornSnapshot shows disks of different times', async () => {
    expect(await cycleWith('tornSnapshot', 'source.createSnapshot')).to.deep.equal({ identical: false, consistent: false });
  });

  it('liveCopy shows what was written after the snapshot', async () => {
    expect((await cycleWith('liveCopy', 'source.createSnapshot')).identical).to.equal(false);
  });

  it('resetBaseline hides what was written before the tracker was reset', async () => {
    const reset = async (bench: Bench, machine: string) => {
      await bench.lab.control.call('lab.resetTracker', { machine: machine as never });
      await bench.advance(100);
    };
    expect(await rejection(cycleWith(undefined, '', reset))).to.equal('TRACKING_LOST');
    expect((await cycleWith('resetBaseline', 'source.changedExtents', reset)).identical).to.equal(false);
  });

  it('noFlush loses at a power cut what a flush had promised', async () => {
    for (const lie of [false, true]) {
      const { bench, source, target, machine, placed, fault } = await setUp();
      await using _ = bench;
      if (lie) await fault({ method: 'disk.flush', act: { lie: 'noFlush' } });
      const { snapshot } = await replicate(source, machine, target, placed);
      await bench.lab.control.call('lab.powerCut', { machine: placed.machine.id });

      const { truths } = await bench.lab.control.call('lab.truth', { snapshot: snapshot.id });
      const { digests } = await bench.inspect({ replica: placed.machine.id });
      expect(digests.every((row, index) => row.digest === truths[0]!.digests[index]!.digest)).to.equal(!lie);
    }
  });
});
