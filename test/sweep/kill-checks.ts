// What must hold of a home at rest after a kill: asked of the lab, of the store and journals, and of the system.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EstatePort } from '../../adapters/lab/port.ts';
import { composeEngine } from '../../cli/container.ts';
import { applySealed } from '../../core/replication/replica.ts';
import { listItems } from '../../core/state/items.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import type { World } from '../support/world.ts';

/** Broken rules in words. No process of the home may run: an engine is opened for the checks, and does a clean-up first. */
export const brokenAtRest = async (home: string, lab: EstatePort): Promise<string[]> => {
  const broken = processesOf(home).map((pid) => `promise 5: process ${pid} is left`);
  await using composed = await composeEngine({ home, env: {}, debug: false });
  const { engine } = composed;
  const { store, ownerId } = engine.core;
  await engine.sweep();
  const status = () => lab.call('lab.status', {});
  // The rules ask no more of a world than this.
  const world = {
    engine,
    store,
    lab: { control: lab },
    status,
    item: async (name: string) => (await listItems(store.db)).find((item) => item.name === name),
    digests: async (of: Parameters<World['digests']>[0]) => (await lab.call('lab.inspect', { of })).digests.map((disk) => disk.digest),
  } as unknown as World;
  broken.push(...(await brokenInvariants(world)));

  const items = await listItems(store.db);
  for (const item of items) {
    if (!['Protected', 'CommitPending'].includes(item.state.protection)) continue;
    // A kill may have come in the middle of an apply, or before the first: until somebody goes on, the replica stands between two points.
    if (item.state.protection === 'Protected') await applySealed(engine.core, item.id, new AbortController().signal, 'replication');
    const differs = await replicaDiffers(world, item.name);
    if (differs) broken.push(`promise 1: ${differs}`);
  }
  const live = items.map((item) => item.fork?.machine ?? (item.state.protection === 'Protected' ? item.source.machine : undefined));
  for (const machine of live) {
    if (machine === undefined) continue;
    const { verdict } = await lab.call('lab.inspect', { of: { machine } });
    if (!verdict.consistent) broken.push(`promise 1: what runs as ${machine} could not have come from a crash: ${JSON.stringify(verdict)}`);
  }
  const testing = items.some((item) => item.state.test !== 'None');
  for (const left of (await status()).leftovers) {
    if (left.owner !== ownerId) broken.push(`promise 5: ${left.kind} ${left.id} belongs to ${left.owner}, not to this home`);
    if (left.kind === 'testNetwork' && !testing) broken.push(`promise 5: test network ${left.id} is left`);
  }
  broken.push(...temporaryFiles(home).map((path) => `J2: ${path} is left`));
  broken.push(...strayJournals(home, new Set(items.map((item) => item.id))).map((path) => `promise 5: journal ${path} is of no item`));
  return broken;
};

const journalsOf = (home: string): string[] =>
  readdirSync(join(home, 'sites'))
    .map((site) => join(home, 'sites', site, 'journal'))
    .filter((folder) => existsSync(folder));

const temporaryFiles = (home: string): string[] =>
  journalsOf(home)
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.name.endsWith('.tmp'))
    .map((entry) => join(entry.parentPath, entry.name));

const strayJournals = (home: string, items: ReadonlySet<string>): string[] =>
  journalsOf(home).flatMap((folder) =>
    readdirSync(folder)
      .filter((item) => !items.has(item))
      .map((item) => join(folder, item)),
  );

/** Processes that were started for the home, whatever their parent has become. */
export const processesOf = (home: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`WARMSITE_HOME=${home}`);
      } catch {
        return false;
      }
    })
    .map(Number);
