import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef, PropertyFilterSpec, UpdateSet } from '../../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import type { MachineId, PlaceId } from '../../../../../core/contract/index.ts';
import { failure, VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const MIB = 2 ** 20;

const many = (count: number) =>
  vcenterSpec(
    Array.from({ length: count }, (_, index) => ({ name: `m-${index}`, disks: [{ sizeBytes: MIB }], workload: 'none', power: 'off' })),
  );

const through = (obj: MoRef, type: string, path: string) => ({
  obj,
  skip: true,
  selectSet: [typed('TraversalSpec', { type, path, skip: false })],
});

const viewOf = (bench: VcenterBench, ...type: string[]): Promise<MoRef> =>
  bench.call('CreateContainerView', bench.client.content.viewManager!, {
    container: bench.client.content.rootFolder,
    type,
    recursive: true,
  });

const machinesIn = (view: MoRef, ...pathSet: string[]): PropertyFilterSpec => ({
  propSet: [{ type: 'VirtualMachine', pathSet }],
  objectSet: [through(view, 'ContainerView', 'view')],
});

const retrieve = (bench: VcenterBench, spec: PropertyFilterSpec, maxObjects?: number) =>
  bench.call('RetrievePropertiesEx', bench.client.content.propertyCollector, { specSet: [spec], options: { maxObjects } });

describe('RetrievePropertiesEx of a simulated vCenter', () => {
  it('answers in pages, each object once, and takes each token once', async () => {
    await using bench = await VcenterBench.open(many(25));
    const { propertyCollector } = bench.client.content;
    const spec = machinesIn(await viewOf(bench, 'VirtualMachine'), 'name');

    const pages = [await retrieve(bench, spec, 10)];
    for (let token = pages[0]!.token; token !== undefined; token = pages.at(-1)!.token)
      pages.push(await bench.call('ContinueRetrievePropertiesEx', propertyCollector, { token }));

    expect(pages.map(({ objects }) => objects.length)).to.deep.equal([10, 10, 6]);
    expect(new Set(pages.flatMap(({ objects }) => objects.map(({ obj }) => obj.value)))).to.have.property('size', 26);
    const [{ token = '' } = {}] = pages;
    expect(await failure(bench.call('ContinueRetrievePropertiesEx', propertyCollector, { token }))).to.match(/^InvalidArgument /);
    const again = await retrieve(bench, spec, 10);
    await bench.call('CancelRetrievePropertiesEx', propertyCollector, { token: again.token! });
    expect(await failure(bench.call('ContinueRetrievePropertiesEx', propertyCollector, { token: again.token! }))).to.match(
      /^InvalidArgument /,
    );
  });

  it('cuts an answer by itself where the client sets no limit', async () => {
    await using bench = await VcenterBench.open(many(1005));

    const { objects, token } = await retrieve(bench, machinesIn(await viewOf(bench, 'VirtualMachine'), 'name'));

    expect(objects).to.have.length(1000);
    expect(token).to.be.a('string');
  });

  it('follows traversals that name each other, down to every machine', async () => {
    await using bench = await VcenterBench.open(
      vcenterSpec([{ name: 'deep', disks: [{ sizeBytes: MIB }], workload: 'none', labels: { folder: 'production' } }]),
    );
    const named = (name: string) => ({ name });
    const folder = typed('TraversalSpec', {
      name: 'folder',
      type: 'Folder',
      path: 'childEntity',
      skip: true,
      selectSet: [named('folder'), named('datacenter')],
    });
    const datacenter = typed('TraversalSpec', {
      name: 'datacenter',
      type: 'Datacenter',
      path: 'vmFolder',
      skip: true,
      selectSet: [named('folder')],
    });

    const nothing = await retrieve(bench, {
      propSet: [{ type: 'VirtualMachine', pathSet: ['name'] }],
      objectSet: [{ obj: bench.client.content.rootFolder, skip: true, selectSet: [folder, datacenter] }],
    });

    expect(nothing).to.equal(undefined);
    const up = typed('TraversalSpec', { name: 'up', type: 'ManagedEntity', path: 'parent', skip: true, selectSet: [named('folder')] });
    const shown = { ...folder, skip: false, selectSet: [...(folder.selectSet ?? []), up] };
    const found = await retrieve(bench, {
      propSet: [{ type: 'ManagedEntity', pathSet: ['name'] }],
      objectSet: [{ obj: bench.client.content.rootFolder, skip: true, selectSet: [shown, datacenter] }],
    });
    expect(found.objects.map(({ propSet }) => propSet![0]!.val)).to.include.members(['dc-a', 'production', 'deep']);
  });

  it('reads nested paths, one element of a list by its key, and leaves out what has no value', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');

    const { objects } = await retrieve(bench, {
      propSet: [
        {
          type: 'VirtualMachine',
          pathSet: ['config.hardware.device[2000].controllerKey', 'runtime.powerState', 'summary.config.memorySizeMB', 'parentVApp'],
        },
      ],
      objectSet: [{ obj: machine }],
    });

    expect(objects[0]!.propSet).to.deep.equal([
      { name: 'config.hardware.device[2000].controllerKey', val: 1000 },
      { name: 'runtime.powerState', val: 'poweredOn' },
      { name: 'summary.config.memorySizeMB', val: 2048 },
    ]);
  });
});

interface Watch {
  /** What came, or undefined when nothing had changed. */
  next(options?: { maxWaitSeconds?: number; maxObjectUpdates?: number; version?: string }): Promise<UpdateSet | undefined>;
  readonly collector: MoRef;
}

const watch = async (bench: VcenterBench, ...specs: PropertyFilterSpec[]): Promise<Watch> => {
  const collector = await bench.call('CreatePropertyCollector', bench.client.content.propertyCollector, {});
  for (const spec of specs) await bench.call('CreateFilter', collector, { spec, partialUpdates: false });
  let held = '';
  return {
    collector,
    next: async ({ version = held, ...options } = {}) => {
      const update: UpdateSet | undefined = await bench.call('WaitForUpdatesEx', collector, {
        version,
        options: { maxWaitSeconds: 0, ...options },
      });
      held = update?.version ?? held;
      return update;
    },
  };
};

const seen = (update: UpdateSet | undefined): string[] =>
  (update?.filterSet ?? []).flatMap(({ objectSet = [] }) =>
    objectSet.map(({ kind, obj, changeSet = [] }) =>
      [kind, obj.value, ...changeSet.map(({ name, val }) => `${name}=${String(val)}`)].join(' '),
    ),
  );

const power = (bench: VcenterBench, machine: MoRef, to: 'on' | 'off') =>
  bench.lab.control.call('lab.power', { machine: machine.value as MachineId, to });

describe('WaitForUpdatesEx of a simulated vCenter', () => {
  it('tells what there is, then what changes, comes and goes, under rising versions', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');
    const watcher = await watch(bench, machinesIn(await viewOf(bench, 'VirtualMachine'), 'runtime.powerState'));

    const first = await watcher.next();
    expect(seen(first)).to.include(`enter ${machine.value} runtime.powerState=poweredOn`);
    expect(await watcher.next()).to.equal(undefined);
    await power(bench, machine, 'off');
    const second = await watcher.next();
    expect(seen(second)).to.deep.equal([`modify ${machine.value} runtime.powerState=poweredOff`]);
    expect(Number(second!.version)).to.be.greaterThan(Number(first!.version));
    await bench.run('Destroy_Task', machine, {});
    expect(seen(await watcher.next())).to.deep.equal([`leave ${machine.value}`]);
    const folder = { type: 'Folder', value: 'group-v3' };
    const config = { name: 'new', files: { vmPathName: '[ds-1]' } };
    const made = (await bench.run('CreateVM_Task', folder, { config, pool: { type: 'ResourcePool', value: 'resgroup-0' } })) as MoRef;
    expect(seen(await watcher.next())).to.deep.equal([`enter ${made.value} runtime.powerState=poweredOff`]);
  });

  it('tells of a network that comes and goes', async () => {
    await using bench = await VcenterBench.open();
    const view = await viewOf(bench, 'Network');
    const watcher = await watch(bench, {
      propSet: [{ type: 'Network', pathSet: ['summary.accessible'] }],
      objectSet: [through(view, 'ContainerView', 'view')],
    });
    await watcher.next();
    const at = { endpoint: 'vcenter-a', owner: 'owner-1' };
    const port = bench.lab.open();
    await port.call('session.open', { ...at, username: 'warmsite', password: 'secret' });

    const { place } = await port.call('network.createTest', {
      ...at,
      operationId: 'one',
      like: bench.place('production').value as PlaceId,
    });
    expect(seen(await watcher.next())).to.deep.equal([`enter ${place.id} summary.accessible=true`]);
    await port.call('network.deleteTest', { ...at, place: place.id });
    expect(seen(await watcher.next())).to.deep.equal([`leave ${place.id}`]);
  });

  it('answers a waiting client when something changes, and sends nothing where only others changed', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');
    const watcher = await watch(bench, {
      propSet: [{ type: 'VirtualMachine', pathSet: ['runtime.powerState'] }],
      objectSet: [{ obj: machine }],
    });
    await watcher.next();

    const waiting = watcher.next({ maxWaitSeconds: 3600 });
    await power(bench, bench.appliance, 'off');
    await power(bench, machine, 'off');

    expect(seen(await waiting)).to.deep.equal([`modify ${machine.value} runtime.powerState=poweredOff`]);
  });

  it('sends in parts of the size that the client wants, or of its own', async () => {
    await using bench = await VcenterBench.open(many(149));
    const watcher = await watch(bench, machinesIn(await viewOf(bench, 'VirtualMachine'), 'name'));

    const own = [await watcher.next(), await watcher.next(), await watcher.next()];
    const again = await watcher.next({ version: '', maxObjectUpdates: 60 });

    expect(own.map((update) => [seen(update).length, update?.truncated ?? false])).to.deep.equal([
      [100, true],
      [50, false],
      [0, false],
    ]);
    expect([seen(again).length, again!.truncated]).to.deep.equal([60, true]);
  });

  it('sends again what the client has not confirmed, together with what came since', async () => {
    await using bench = await VcenterBench.open();
    const machine = bench.vm('shop-db');
    const watcher = await watch(bench, machinesIn(await viewOf(bench, 'VirtualMachine'), 'name', 'runtime.powerState'));
    const held = (await watcher.next())!.version;
    await power(bench, machine, 'off');
    await watcher.next();
    await bench.lab.control.call('lab.rename', { machine: machine.value as MachineId, name: 'renamed' });

    const again = await watcher.next({ version: held });

    expect(seen(again)).to.deep.equal([`modify ${machine.value} name=renamed runtime.powerState=poweredOff`]);
    await watcher.next();
    expect(await failure(watcher.next({ version: held }))).to.match(/^InvalidCollectorVersion /);
  });

  it('follows a task to its end, at the estate’s pace', async () => {
    await using bench = await VcenterBench.open();
    const task = await bench.call('PowerOffVM_Task', bench.vm('shop-db'), {});
    const watcher = await watch(bench, { propSet: [{ type: 'Task', pathSet: ['info.state'] }], objectSet: [{ obj: task }] });

    const states: string[] = [];
    while (!states.some((state) => state.includes('success'))) states.push(...seen(await watcher.next({ maxWaitSeconds: 60 })));

    expect(states).to.deep.equal([
      `enter ${task.value} info.state=queued`,
      `modify ${task.value} info.state=running`,
      `modify ${task.value} info.state=success`,
    ]);
  });

  it('ends when it is cancelled, when its collector goes, and when its time is over', async () => {
    await using bench = await VcenterBench.open();
    const watcher = await watch(bench);

    const cancelled = failure(watcher.next({ maxWaitSeconds: 3600 }));
    await bench.call('CancelWaitForUpdates', watcher.collector, {});
    expect(await cancelled).to.match(/^RequestCanceled /);
    const orphaned = failure(watcher.next({ maxWaitSeconds: 3600 }));
    await bench.call('DestroyPropertyCollector', watcher.collector, {});
    expect(await orphaned).to.match(/^RequestCanceled /);
    expect(await failure(watcher.next())).to.match(/^ManagedObjectNotFound /);
    const late = (await watch(bench)).next({ maxWaitSeconds: 60 });
    await bench.lab.clock.sleep(60_000);
    expect(await late).to.equal(undefined);
  });

  it('is of one session: another one knows neither its filters nor its views', async () => {
    await using bench = await VcenterBench.open();
    const view = await viewOf(bench);
    const { collector } = await watch(bench);
    await bench.lab.control.call('lab.setVcenter', { endpoint: 'vcenter-a', restart: true });

    expect(await failure(bench.call('WaitForUpdatesEx', collector, {}))).to.match(/^ManagedObjectNotFound /);
    expect(
      await failure(
        bench.call('CreateFilter', bench.client.content.propertyCollector, { spec: machinesIn(view, 'name'), partialUpdates: false }),
      ),
    ).to.match(/^ManagedObjectNotFound /);
  });
});
