import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createEstate } from '../../../../../adapters/lab/in-process.ts';
import type { FaultAct } from '../../../../../adapters/lab/port.ts';
import type { MoRef, TaskInfo } from '../../../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../../../adapters/vsphere/vim25/client.ts';
import { DrError, type ErrorCode, type MachineId } from '../../../../../core/contract/index.ts';
import { VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const SERVICE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
const MIB = 2 ** 20;

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof DrError ? error.code : String(error)),
  );

const vendorCodeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof DrError ? error.context.vendorCode : error),
  );

const arm = (bench: VcenterBench, method: string, act: FaultAct, more: { machine?: string; times?: number } = {}) =>
  bench.lab.control.call('lab.addFault', { rule: { method, act, times: 1, ...more } });

const now = (bench: VcenterBench) => bench.call('CurrentTime', SERVICE, {});

const ROUND_TRIP: readonly ErrorCode[] = [
  ...(['PERMISSION_DENIED', 'NOT_FOUND', 'TARGET_FULL', 'FILE_LOCKED', 'STATE_CONFLICT', 'TASK_IN_PROGRESS', 'TIMED_OUT'] as const),
  ...(['SHUTDOWN_REFUSED', 'SNAPSHOT_LIMIT_REACHED', 'QUIESCE_FAILED', 'CAPABILITY_MISSING', 'PROTOCOL_ERROR', 'HOST_BUSY'] as const),
  'CONNECTION_LOST',
];

describe('the gate of a simulated vCenter', () => {
  for (const code of ROUND_TRIP) {
    it(`lets ${code} of a rule come over the wire as what a client takes for it`, async () => {
      await using bench = await VcenterBench.open();
      await arm(bench, 'vim.CurrentTime', { error: code });

      expect(await codeOf(now(bench))).to.equal(code);
      expect(await codeOf(now(bench))).to.equal('none');
    });
  }

  it('gives a vendor’s fault by its name, with its fields and all that the schema demands', async () => {
    await using bench = await VcenterBench.open();
    await arm(bench, 'vim.*', { vimFault: 'NoDiskSpace', detail: { datastore: 'ds-1' }, message: 'full' });

    const error = await now(bench).catch((thrown: unknown) => thrown as DrError);

    expect(error).to.be.instanceOf(DrError).with.property('code', 'TARGET_FULL');
    expect((error as DrError).cause).to.deep.include({
      faultstring: 'full',
      detail: { $type: 'NoDiskSpace', file: '', datastore: 'ds-1' },
    });
  });

  it('names a fault that the subset does not have, on the call and in a task', async () => {
    await using bench = await VcenterBench.open();
    await arm(bench, 'vim.CurrentTime', { vimFault: 'HostNotConnected' });
    await arm(bench, 'vim.PowerOffVM_Task', { vimFault: 'HostNotConnected', inTask: true });

    expect(await vendorCodeOf(now(bench))).to.equal('HostNotConnected');
    const failed = await bench.run('PowerOffVM_Task', bench.vm('shop-db'), {}).catch((error: unknown) => String(error));
    expect(failed).to.contain('HostNotConnected: Unable to communicate with the remote host');
    expect(await bench.read(bench.vm('shop-db'), 'runtime.powerState')).to.equal('poweredOn');
  });

  it('logs a client out for NotAuthenticated, whose view is then gone', async () => {
    await using bench = await VcenterBench.open();
    const before = bench.client.sessionKey;
    await arm(bench, 'vim.CurrentTime', { error: 'AUTH_REJECTED' });

    expect(await codeOf(now(bench))).to.equal('none');
    expect(bench.client.sessionKey).not.to.equal(before);
  });

  it('acts on the machine that a rule names, wherever the call names it', async () => {
    await using bench = await VcenterBench.open(
      vcenterSpec(['one', 'two'].map((name) => ({ name, disks: [{ sizeBytes: MIB }], workload: 'none' as const }))),
    );
    const [one, two] = [bench.vm('one'), bench.vm('two')];
    await arm(bench, 'vim.PowerOffVM_Task', { error: 'TASK_IN_PROGRESS' }, { machine: one.value });
    await arm(bench, 'vim.HasPrivilegeOnEntities', { error: 'TIMED_OUT' }, { machine: two.value });

    expect(await codeOf(bench.run('PowerOffVM_Task', two, {}))).to.equal('none');
    expect(await vendorCodeOf(bench.run('PowerOffVM_Task', one, {}))).to.equal('TaskInProgress');
    const ask = (entity: MoRef) =>
      bench.call('HasPrivilegeOnEntities', bench.client.content.authorizationManager!, {
        entity: [entity],
        sessionId: bench.client.sessionKey,
        privId: [],
      });
    expect(await codeOf(ask(one))).to.equal('none');
    expect(await codeOf(ask(two))).to.equal('TIMED_OUT');
  });

  it('lets a call take effect and its answer be lost', async () => {
    await using bench = await VcenterBench.open();
    const folder = (name: string) => bench.call('CreateFolder', { type: 'Folder', value: 'group-v3' }, { name });
    await arm(bench, 'vim.CreateFolder', { cut: 'before' });
    expect(await codeOf(folder('a'))).to.equal('CONNECTION_LOST');
    await arm(bench, 'vim.CreateFolder', { cut: 'after' });

    expect(await codeOf(folder('a'))).to.equal('CONNECTION_LOST');
    expect(await vendorCodeOf(folder('a'))).to.equal('DuplicateName');
  });

  it('lets the hosts lose power with a call', async () => {
    await using bench = await VcenterBench.open();
    await arm(bench, 'vim.CurrentTime', { crash: 'before' });

    expect(await codeOf(now(bench))).to.equal('CONNECTION_LOST');
    expect(await bench.read(bench.vm('shop-db'), 'runtime.powerState')).to.equal('poweredOff');
  });

  it('keeps an answer back until the client gives up, and a task from ever ending', async () => {
    await using bench = await VcenterBench.open();
    await arm(bench, 'vim.CurrentTime', { stall: true });
    await arm(bench, 'vim.PowerOffVM_Task', { stall: true });
    const gaveUp = new Error('gave up');
    const controller = new AbortController();

    const stalled = bench.client.call('CurrentTime', SERVICE, {}, { signal: controller.signal }).catch((error: unknown) => error);
    const task = await bench.call('PowerOffVM_Task', bench.vm('shop-db'), {});
    controller.abort(gaveUp);
    await bench.lab.clock.sleep(24 * 3600_000);

    expect(await stalled).to.equal(gaveUp);
    expect(await bench.read<TaskInfo>(task, 'info')).to.include({ state: 'running', progress: 75 });
  });

  it('takes its time where a rule says so', async () => {
    await using bench = await VcenterBench.open();
    await arm(bench, 'vim.CurrentTime', { delayMs: 5000 });
    const before = bench.lab.estate.timeline.now();

    await now(bench);

    expect(bench.lab.estate.timeline.now() - before).to.be.at.least(5000);
  });

  it('lets calls cost time, so that guests go on writing', async () => {
    await using bench = await VcenterBench.open();
    const before = bench.lab.estate.timeline.now();

    for (let call = 0; call < 100; call++) await now(bench);

    expect(bench.lab.estate.timeline.now() - before).to.be.at.least(100);
  });

  for (const [title, lose, restore] of [
    [
      'burns',
      (bench: VcenterBench) => bench.lab.control.call('lab.burnSite', { site: 'site-a' }),
      (bench: VcenterBench) => bench.lab.control.call('lab.restoreSite', { site: 'site-a' }),
    ],
    [
      'is cut off',
      (bench: VcenterBench) => bench.lab.control.call('lab.setLink', { site: 'site-a', up: false }),
      (bench: VcenterBench) => bench.lab.control.call('lab.setLink', { site: 'site-a', up: true }),
    ],
  ] as const) {
    it(`breaks calls under way and refuses new ones when the site ${title}`, async () => {
      await using bench = await VcenterBench.open();
      const waiting = codeOf(bench.call('WaitForUpdatesEx', bench.client.content.propertyCollector, {}));
      await now(bench);

      await lose(bench);

      expect(await waiting).to.equal('CONNECTION_LOST');
      expect(await codeOf(now(bench))).to.equal('CONNECTION_REFUSED');
      await restore(bench);
      expect(await codeOf(now(bench))).to.equal('none');
    });
  }

  it('cuts connections and leaves sessions', async () => {
    await using bench = await VcenterBench.open();
    const before = bench.client.sessionKey;
    const waiting = codeOf(bench.call('WaitForUpdatesEx', bench.client.content.propertyCollector, {}));
    await now(bench);

    await bench.lab.control.call('lab.cutConnections', { endpoint: 'vcenter-a' });

    expect(await waiting).to.equal('CONNECTION_LOST');
    expect(await codeOf(now(bench))).to.equal('none');
    expect(bench.client.sessionKey).to.equal(before);
  });
});

describe('tasks of a simulated vCenter', () => {
  it('are kept for a while after their end, and listed for their machine', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');
    const task = await bench.call('PowerOffVM_Task', machine, {});
    const ended = async (): Promise<TaskInfo> => {
      const info = await bench.read<TaskInfo>(task, 'info');
      if (info.completeTime !== undefined) return info;
      await bench.lab.clock.sleep(10);
      return ended();
    };

    const info = await ended();

    expect(info).to.include({ state: 'success', cancelled: false, cancelable: false, entityName: 'shop-db', key: task.value });
    expect(info.reason).to.deep.equal({ $type: 'TaskReasonUser', userName: 'warmsite' });
    expect(await bench.read(machine, 'recentTask')).to.deep.equal([task]);
    await bench.lab.clock.sleep(11 * 60_000);
    expect(await vendorCodeOf(bench.read(task, 'info'))).to.equal('ManagedObjectNotFound');
    expect(await bench.read(machine, 'recentTask')).to.deep.equal([]);
  });

  it('progress on a manual clock only as it is moved', async () => {
    await using lab = createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [vcenterSpec()] }] }, clock: 'manual', msPerCall: 0 });
    await using client = await openVim25(lab.openWire, { address: 'vcenter-a', username: 'warmsite', password: 'secret' });
    const machine = { type: 'VirtualMachine', value: [...lab.estate.machines.keys()][0]! };
    const task = await client.call('PowerOffVM_Task', machine, {});
    const states: unknown[] = [];
    const look = async () => {
      const spec = { propSet: [{ type: 'Task', pathSet: ['info.state'] }], objectSet: [{ obj: task }] };
      const { objects } = await client.call('RetrievePropertiesEx', client.content.propertyCollector, { specSet: [spec], options: {} });
      states.push(objects[0]!.propSet![0]!.val);
    };

    await look();
    await look();
    for (let step = 0; step < 1000 && states.at(-1) !== 'success'; step++) {
      await lab.control.call('lab.advance', { ms: 5 });
      await look();
    }

    expect(states.slice(0, 2)).to.deep.equal(['queued', 'queued']);
    expect([...new Set(states)]).to.deep.equal(['queued', 'running', 'success']);
  });

  it('cannot all be cancelled', async () => {
    await using bench = await VcenterBench.open();
    const task = await bench.call('PowerOffVM_Task', bench.vm('shop-db'), {});

    expect(await vendorCodeOf(bench.call('CancelTask', task, {}))).to.equal('NotSupported');
    await bench.lab.clock.sleep(60_000);
    expect(await vendorCodeOf(bench.call('CancelTask', task, {}))).to.equal('InvalidState');
  });

  it('tell of power in the events, with their time', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');
    const at = await now(bench);
    await bench.lab.control.call('lab.power', { machine: machine.value as MachineId, to: 'off' });
    await bench.lab.control.call('lab.power', { machine: machine.value as MachineId, to: 'on' });
    const { eventManager } = bench.client.content;
    const entity = { entity: machine, recursion: 'self' as const };

    const all = await bench.call('QueryEvents', eventManager!, { filter: { entity } });
    const starts = await bench.call('QueryEvents', eventManager!, {
      filter: { entity, time: { beginTime: at }, eventTypeId: ['vim.event.VmPoweredOnEvent'] },
    });

    expect(all.map(({ $type }) => $type)).to.deep.equal(['VmPoweredOnEvent', 'VmPoweredOffEvent', 'VmPoweredOnEvent']);
    expect(starts.map(({ vm }) => vm?.name)).to.deep.equal(['shop-db']);
  });
});
