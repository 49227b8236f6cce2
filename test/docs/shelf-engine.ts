// An engine that runs the plugin of the tutorial, between two shelves.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DrError, type MachineId, type Plugin } from '../../core/contract/index.ts';
import { Engine } from '../../core/engine.ts';
import type { JobRecord } from '../../core/flow/flow.ts';
import { Registry } from '../../core/host/registry.ts';
import { systemFiles } from '../../core/ports/files.ts';
import { newSystemId, systemClock } from '../../core/ports/runtime.ts';
import { openStore, type Store } from '../../core/state/database.ts';
import { createCollectingLog } from '../support/runtime.ts';

interface ShelfRecord {
  readonly id: MachineId;
  readonly name: string;
  readonly power: 'on' | 'off';
  readonly spec: { readonly disks: readonly { readonly id: string }[] };
}

interface OneShelf {
  readonly folder: string;
  machines(): Promise<ShelfRecord[]>;
}

/** What the page exports, as far as it is used here. */
interface Tutorial {
  readonly shelf: Plugin;
  readonly Shelf: new (folder: string) => OneShelf;
  stock(at: OneShelf, name: string, disks: number): Promise<MachineId>;
}

const load = async (folder: string): Promise<Tutorial> => {
  const modules = ['plugin.ts', 'shelf.ts', 'stock.ts'].map((name) => import(pathToFileURL(join(folder, name)).href) as Promise<object>);
  return Object.assign({}, ...(await Promise.all(modules))) as Tutorial;
};

export class ShelfWorld implements AsyncDisposable {
  readonly #folder: string;
  readonly #store: Store;
  readonly #engine: Engine;
  readonly #sites: ReadonlyMap<string, OneShelf>;

  private constructor(folder: string, store: Store, engine: Engine, sites: ReadonlyMap<string, OneShelf>) {
    this.#folder = folder;
    this.#store = store;
    this.#engine = engine;
    this.#sites = sites;
  }

  /** Two sites with a shelf each; on the first there is a machine of two disks. */
  static async create(plugin: string, machine: string): Promise<ShelfWorld> {
    const { shelf, Shelf, stock } = await load(plugin);
    const folder = mkdtempSync(join(tmpdir(), 'ws-shelf-'));
    const sites = new Map(['site-a', 'site-b'].map((site) => [site, new Shelf(join(folder, site))]));
    for (const [site, at] of sites) await stock(at, site === 'site-a' ? machine : 'another machine', 2);
    const store = await openStore(':memory:');
    const engine = await Engine.open({
      home: join(folder, 'home'),
      runtime: { clock: systemClock, newId: newSystemId, log: createCollectingLog() },
      files: systemFiles,
      store,
      registry: new Registry([shelf]),
      resolveSecret: () => Promise.reject(new DrError('SECRET_MISSING', 'a shelf has no secrets')),
      scratchDir: folder,
    });
    for (const [site, at] of sites) {
      await engine.call('site.add', { id: site });
      await engine.call('endpoint.add', { id: `shelf-${site}`, site, plugin: 'shelf', config: { folder: at.folder } });
    }
    return new ShelfWorld(folder, store, engine, sites);
  }

  /** Runs a verb to its end; it must succeed. */
  async do(operation: string, input: object): Promise<void> {
    const { job } = (await this.#engine.call(operation, input, { actor: 'tester' })) as { job: string };
    const ended: JobRecord = await this.#engine.settled(job);
    if (ended.state !== 'Succeeded') throw new Error(`${operation} ended ${ended.state}: ${JSON.stringify(ended.error ?? ended.result)}`);
  }

  /** As a guest writes. */
  async write(site: string, machine: string, data: Uint8Array): Promise<void> {
    for (const path of await this.#disks(site, machine)) writeFileSync(path, data, { flag: 'r+' });
  }

  /** The beginning of each disk of the machine of this name that runs here, or of its replica. */
  async read(site: string, machine: string, length: number): Promise<string[]> {
    return (await this.#disks(site, machine)).map((path) => readFileSync(path).subarray(0, length).toString('utf8'));
  }

  /** One line a machine. */
  async machines(site: string): Promise<string[]> {
    return (await this.#shelf(site).machines()).map(({ name, power }) => `${name} is ${power}`).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
    await this.#store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #shelf(site: string): OneShelf {
    const at = this.#sites.get(site);
    if (!at) throw new Error(`there is no ${site}`);
    return at;
  }

  async #disks(site: string, name: string): Promise<string[]> {
    const at = this.#shelf(site);
    const machine = (await at.machines()).find((one) => one.name === name);
    if (!machine) throw new Error(`there is no machine ${name} at ${site}`);
    return machine.spec.disks.map((disk) => join(at.folder, 'machines', machine.id, `${disk.id}.raw`));
  }
}
