// An engine over the lab in process: no real time, no real disk, one seed. Everything that survives a crash of the engine lives in the world, not in the engine.

import { demoEstate } from '../../adapters/lab/demo-estate.ts';
import { createEstate, type InProcessEstate, type InProcessOptions } from '../../adapters/lab/in-process.ts';
import type { EndpointSpec, EstatePort, EstateSpec, MachineStatus, ProfileName, StateRef } from '../../adapters/lab/port.ts';
import { createLabAgent } from '../../adapters/lab/powershell/agent.ts';
import { labDevicesUrl, openLabDevices, parseLabDevices } from '../../adapters/lab/vsphere/lab-devices.ts';
import type { PowerShell } from '../../adapters/powershell/port.ts';
import { openVim25 } from '../../adapters/vsphere/vim25/client.ts';
import { DrError, type ItemId, type Plugin } from '../../core/contract/index.ts';
import type { Item } from '../../core/domain/item.ts';
import { Engine } from '../../core/engine.ts';
import type { JobRecord } from '../../core/flow/flow.ts';
import { Registry } from '../../core/host/registry.ts';
import { Secret } from '../../core/host/secret.ts';
import type { Clock } from '../../core/ports/runtime.ts';
import { type Db, openStore, type Store, storeOver } from '../../core/state/database.ts';
import { getItemByName } from '../../core/state/items.ts';
import { createHypervPlugin } from '../../plugins/hyperv/index.ts';
import { createMemoryPlugin } from '../../plugins/memory/index.ts';
import { createVmwarePlugin } from '../../plugins/vmware/index.ts';
import { type CallName, CrashError, Faults, MemoryFiles } from './memory-files.ts';
import { createTestRuntime, type TestRuntime } from './runtime.ts';
import { type Around, type CrashMoment, Wires } from './wires.ts';

/** Those that no plugin of their own reaches yet. */
const MEMORY: readonly ProfileName[] = ['physical', 'kvm'];

export interface WorldOptions {
  readonly seed?: number;
  readonly diskBytes?: number;
  readonly spec?: EstateSpec;
  readonly writesPerSecond?: number;
  /** Plugins beside those of the lab, whose endpoints a test adds itself. */
  readonly plugins?: (around: Around) => readonly Plugin[];
  /** In place of the lab's own: an estate whose vCenters are somebody else's. */
  readonly openEstate?: (options: Pick<InProcessOptions, 'spec' | 'seed' | 'clock'>) => Promise<InProcessEstate>;
}

export class World implements AsyncDisposable {
  readonly lab: InProcessEstate;
  readonly spec: EstateSpec;
  readonly runtime: TestRuntime;
  store: Store;
  readonly seed: number;
  files = new MemoryFiles();
  faults = new Faults();
  crashMoment: CrashMoment = 'after';
  engine: Engine;
  /** Content of each machine, by disk, at the moment when the engine powered it on. */
  readonly startedFrom = new Map<string, string[]>();
  readonly #plugins: WorldOptions['plugins'];
  #crashes = 0;
  #ports: EstatePort[] = [];
  #shells: PowerShell[] = [];

  private constructor(lab: InProcessEstate, spec: EstateSpec, store: Store, { seed = 1, plugins }: WorldOptions) {
    this.#plugins = plugins;
    this.lab = lab;
    this.spec = spec;
    this.store = store;
    this.seed = seed;
    this.runtime = createTestRuntime({ seed, clock: lab.clock });
    this.engine = undefined as unknown as Engine;
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    const seed = options.seed ?? 1;
    const spec = options.spec ?? demoEstate({ diskBytes: options.diskBytes ?? 2 ** 20, writesPerSecond: options.writesPerSecond ?? 20 });
    const lab = await (options.openEstate ?? createEstate)({ spec, seed, clock: 'jump' });
    const world = new World(lab, spec, await openStore(':memory:'), options);
    await world.boot();
    await world.setUp();
    return world;
  }

  /** A new engine over what is there. */
  async boot(): Promise<void> {
    const { faults } = this;
    const wires = new Wires(this, faults);
    const memory = MEMORY.map((profile) => createMemoryPlugin(profile, async () => this.#connect(wires)));
    const registry = new Registry([
      ...memory,
      this.#vmware(wires, faults),
      this.#hyperv(wires, faults),
      ...(this.#plugins?.(wires.around) ?? []),
    ]);
    this.files = this.#crashes === 0 ? new MemoryFiles(faults) : this.files;
    this.engine = await Engine.open({
      home: '/home',
      runtime: { ...this.runtime, clock: this.#clock(faults) },
      files: this.files,
      store: this.#store(faults),
      registry,
      resolveSecret: async () => new Secret('lab'),
      scratchDir: '/scratch',
    });
  }

  async setUp(): Promise<void> {
    const targets = this.spec.sites.flatMap((site) => site.endpoints.map((endpoint) => ({ site: site.name, ...endpoint })));
    for (const site of this.spec.sites) await this.engine.call('site.add', { id: site.name });
    for (const endpoint of targets) {
      await this.engine.call('endpoint.add', {
        id: endpoint.name,
        site: endpoint.site,
        ...(await this.#reached(endpoint)),
      });
    }
    for (const from of targets) {
      for (const to of targets) {
        if (from.site === to.site) continue;
        await this.engine.call('map.set', {
          kind: 'network',
          from: { endpoint: from.name, place: '*' },
          to: { endpoint: to.name, place: 'production' },
        });
      }
    }
  }

  /** The plugin of an endpoint, and how it is told where to find it. */
  async #reached({ name, profile }: EndpointSpec): Promise<{ readonly plugin: string; readonly config: object }> {
    if (profile === 'hyperv') {
      const { kind, address } = await this.lab.control.call('lab.powershell', { endpoint: name });
      return { plugin: 'hyperv', config: { address, kind, transport: 'local' } };
    }
    if (profile !== 'vmware') return { plugin: `memory-${profile}`, config: { endpoint: name } };
    const { appliance } = await this.lab.control.call('lab.vcenter', { endpoint: name });
    if (!appliance) throw new Error(`the vCenter ${name} has no appliance`);
    const devices = labDevicesUrl({ address: 'in-process', endpoint: name, appliance });
    return { plugin: 'vmware', config: { address: name, username: 'warmsite', password: { env: 'LAB' }, appliance, devices } };
  }

  /** The process is gone; files keep what was synced, the store what was committed, the lab goes on. */
  async crashAndRestart(): Promise<{ readonly resumed: readonly string[] }> {
    this.#crashes += 1;
    this.faults.crashed = true;
    await this.engine[Symbol.asyncDispose]().catch(() => {});
    // Connections die with their process.
    for (const wire of [...this.#ports.splice(0), ...this.#shells.splice(0)]) await wire[Symbol.asyncDispose]();
    await rollBackOpenTransaction(this.store.db);
    this.faults = new Faults();
    this.files = this.files.crash(this.seed + this.#crashes, this.faults);
    await this.boot();
    return this.engine.start();
  }

  /** The state store is gone with its disk; journals and the lab remain. */
  async loseStore(): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await this.store.close();
    this.store = await openStore(':memory:');
    this.#crashes += 1;
    await this.boot();
  }

  /** All rows of all tables. */
  async backUpStore(): Promise<ReadonlyMap<string, readonly Record<string, unknown>[]>> {
    const tables = await this.store.db.introspection.getTables();
    const rows = new Map<string, readonly Record<string, unknown>[]>();
    for (const { name } of tables)
      if (!name.startsWith('kysely'))
        rows.set(
          name,
          await this.store.db
            .selectFrom(name as never)
            .selectAll()
            .execute(),
        );
    return rows;
  }

  async restoreStore(backup: ReadonlyMap<string, readonly Record<string, unknown>[]>): Promise<void> {
    await this.loseStore();
    const order = [
      'meta',
      'site',
      'endpoint',
      'mapping',
      'policy',
      'protectionGroup',
      'item',
      'point',
      'cycle',
      'job',
      'step',
      'signal',
      'plan',
      'rule',
      'event',
      'audit',
    ];
    await this.store.transaction(async (tx) => {
      await tx.deleteFrom('meta').execute();
      for (const table of order)
        for (const row of backup.get(table) ?? [])
          await tx
            .insertInto(table as never)
            .values(row as never)
            .execute();
    });
    await this.engine[Symbol.asyncDispose]();
    await this.boot();
  }

  /** Runs the work until it ends or the chosen call is reached; whatever the dying engine then throws is nobody's. */
  async untilCrash<T>(work: Promise<T>): Promise<{ readonly crashed: true } | { readonly crashed: false; readonly result: T | unknown }> {
    const { faults } = this;
    let ended = false;
    const watch = async () => {
      while (!faults.crashed && !ended) await new Promise((resolve) => setImmediate(resolve));
    };
    const settled = work.catch((error: unknown) => error);
    const result = await Promise.race([settled, watch()]);
    ended = true;
    return faults.crashed ? { crashed: true } : { crashed: false, result };
  }

  /** Starts a verb and follows it to its end. */
  async run(operation: string, input: object, options: { readonly reason?: string } = {}): Promise<JobRecord> {
    const { job } = (await this.engine.call(operation, input, { actor: 'tester', ...options })) as { job: string };
    return this.engine.settled(job);
  }

  /** The same, and it must succeed. */
  async do(operation: string, input: object): Promise<JobRecord> {
    const job = await this.run(operation, input);
    if (job.state !== 'Succeeded') throw new Error(`${operation} ended ${job.state}: ${JSON.stringify(job.error ?? job.result)}`);
    return job;
  }

  async protect(machines: readonly string[], more: object = {}): Promise<JobRecord> {
    return this.do('protect', { machines, to: 'site-b', ...(machines.length > 1 ? { group: 'all' } : {}), ...more });
  }

  item(name: string): Promise<Item> {
    return getItemByName(this.store.db, name);
  }

  async itemId(name: string): Promise<ItemId> {
    return (await this.item(name)).id;
  }

  async advance(ms: number): Promise<void> {
    await this.lab.control.call('lab.advance', { ms });
  }

  status() {
    return this.lab.control.call('lab.status', {});
  }

  async machine(name: string, endpoint?: string): Promise<MachineStatus> {
    const { machines } = await this.lab.control.call('lab.find', { name, ...(endpoint ? { endpoint } : {}) });
    const [found] = machines;
    if (!found) throw new Error(`the lab has no machine ${name}`);
    return found;
  }

  /** Content by disk, in the order of the machine's disks. */
  async digests(of: StateRef): Promise<string[]> {
    return (await this.lab.control.call('lab.inspect', { of })).digests.map((disk) => disk.digest);
  }

  async verdict(of: StateRef) {
    return (await this.lab.control.call('lab.inspect', { of })).verdict;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]().catch(() => {});
    await this.store.close();
    await this.lab[Symbol.asyncDispose]();
  }

  #vmware(wires: Wires, faults: Faults): Plugin {
    const openWire = wires.wire();
    const clock = this.#clock(faults);
    return createVmwarePlugin({
      openVsphere: () => (config, options) => openVim25(openWire, config, options),
      openBlockDevices: (where) => openLabDevices(async () => this.#connect(wires), parseLabDevices(where)!),
      nbd: { startNbdkit: noNbd, openNbd: noNbd },
      time: { now: () => clock.now(), sleep: (ms, signal) => clock.sleep(ms, signal) },
    });
  }

  #hyperv(wires: Wires, faults: Faults): Plugin {
    const clock = this.#clock(faults);
    return createHypervPlugin({
      openPowerShell: async (target, options) => {
        const shell = await this.lab.openPowerShell(target, options);
        this.#shells.push(shell);
        return wires.shell(shell);
      },
      openAgent: async ({ host }) => createLabAgent(this.#connect(wires), host),
      time: { now: () => clock.now(), sleep: (ms, signal) => clock.sleep(ms, signal) },
    });
  }

  #connect(wires: Wires): EstatePort {
    const port = this.lab.open();
    this.#ports.push(port);
    return wires.port(port);
  }

  #store(faults: Faults): Store {
    const alive = this.store.db.withPlugin({
      transformQuery: ({ node }) => {
        if (faults.crashed) throw new CrashError();
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    const store = storeOver(alive as Db);
    return {
      ...store,
      transaction: async (work) => {
        const dies = faults.enter('store.transaction' as CallName);
        faults.check();
        if (!dies) return store.transaction(work);
        if (this.crashMoment === 'after') {
          // The commit itself is on disk; nobody hears of it.
          faults.crashed = false;
          try {
            await store.transaction(work);
          } finally {
            faults.crashed = true;
          }
        }
        throw new CrashError();
      },
    };
  }

  #clock(faults: Faults): Clock {
    const { clock } = this.runtime;
    return {
      now: () => clock.now(),
      sleep: async (ms, signal) => {
        if (faults.crashed) throw new CrashError();
        await clock.sleep(ms, signal);
        if (faults.crashed) throw new CrashError();
      },
    };
  }
}

/** A transaction that a crash cut off holds the one connection: the database itself would have rolled it back. */
const rollBackOpenTransaction = async (db: Db): Promise<void> => {
  await db.transaction().execute(async () => {});
};

const noNbd = (): never => {
  throw new DrError('CONFIG_INVALID', 'there is no nbdkit here');
};
