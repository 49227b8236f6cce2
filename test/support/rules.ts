// What must hold of a world at rest, whatever happened before. Each check names the rule or promise that it proves.

import type { Item } from '../../core/domain/item.ts';
import { brokenRules } from '../../core/domain/validity.ts';
import { ENDED } from '../../core/flow/flow.ts';
import type { Point } from '../../core/journal/journal.ts';
import { listItems } from '../../core/state/items.ts';
import { listJobs } from '../../core/state/jobs.ts';
import { listOpenCycles, listPoints } from '../../core/state/points.ts';
import type { World } from './world.ts';

/** Broken rules, in words; empty when all hold. Needs a running engine without jobs under way. */
export const brokenInvariants = async (world: World): Promise<string[]> => {
  const broken: string[] = [];
  const say = (rule: string, what: string) => broken.push(`${rule}: ${what}`);
  const status = await world.status();
  for (const violation of status.violations) say('promise 3', `two live copies: ${JSON.stringify(violation)}`);
  for (const job of await listJobs(world.store.db)) if (!ENDED.includes(job.state)) say('jobs', `${job.verb} ${job.id} is ${job.state}`);
  for (const cycle of await listOpenCycles(world.store.db)) say('T2', `cycle ${cycle.id} is still ${cycle.phase}`);

  const items = await listItems(world.store.db);
  for (const item of items) {
    for (const rule of brokenRules(item)) say('V10', `${item.name}: ${rule}`);
    if (/ing$/.test(item.state.protection) && !['CommitPending'].includes(item.state.protection))
      say('jobs', `${item.name} is left in ${item.state.protection}`);
    await checkJournal(world, item, say);
  }
  const snapshots = status.leftovers.filter((entry) => entry.owner === world.engine.core.ownerId && entry.kind === 'snapshot');
  if (snapshots.length > 0) say('promise 5', `snapshots left behind: ${snapshots.map((entry) => entry.id).join(', ')}`);
  const networks = status.leftovers.filter((entry) => entry.kind === 'testNetwork');
  if (networks.length > 0 && items.every(({ state }) => state.test === 'None'))
    say('promise 5', `test networks left behind: ${networks.map((entry) => entry.id).join(', ')}`);
  const inUse = new Set(items.flatMap((item) => [item.fork?.id as string | undefined, item.testFork?.id as string | undefined]));
  const forks = status.leftovers.filter((entry) => entry.kind === 'fork' && !inUse.has(entry.id));
  if (forks.length > 0) say('promise 5', `forks left behind: ${forks.map((entry) => entry.id).join(', ')}`);
  return broken;
};

const checkJournal = async (world: World, item: Item, say: (rule: string, what: string) => void): Promise<void> => {
  // A journal whose removal was cut short is neither whole nor needed.
  if (item.method === 'native' || !item.replica || ['EnablingFailed', 'DisablingFailed'].includes(item.state.protection)) return;
  const journal = await world.engine.core.journals.journal(item.state.direction.to, item.id);
  const verdict = await journal.verify();
  if (!verdict.ok) say('J12', `${item.name}: journal damaged: ${JSON.stringify(verdict)}`);
  const stored = (await listPoints(world.store.db, item.id)).map((point) => point.id);
  const visible = journal.points.filter((point) => point.kind !== 'divergent').map((point) => point.point);
  if (item.state.protection === 'Protected' && stored.filter((id) => id !== '').join() !== visible.join()) {
    say('J12', `${item.name}: the store has points ${stored.join(', ')}, the journal ${visible.join(', ')}`);
  }
  const newest = journal.newest();
  if (
    item.state.protection === 'Protected' &&
    newest &&
    newest.kind !== 'divergent' &&
    JSON.stringify(item.baselines) !== JSON.stringify(newest.baselines)
  ) {
    say('promise 2', `${item.name}: stored baselines are not those of the newest seal`);
  }
};

/** What the guest had truly written at a point's instant: digests by disk, as the lab recorded them. */
export const truthOf = async (world: World, point: Point, machine: string): Promise<string[] | undefined> => {
  const prefixes = [point.cycle];
  for (const prefix of prefixes) {
    const { truths } = await world.lab.control.call('lab.truth', {});
    const found = truths
      .filter((truth) => truth.machine === machine && (truth.operationId === prefix || truth.operationId.startsWith(`${prefix}/`)))
      .at(-1);
    if (found) return found.digests.map((disk) => disk.digest);
  }
  return undefined;
};

/** The replica holds byte for byte what the source held at the head's instant (after everything is applied). */
export const replicaDiffers = async (world: World, name: string): Promise<string | undefined> => {
  const item = await world.item(name);
  const journal = await world.engine.core.journals.journal(item.state.direction.to, item.id);
  const head = journal.head();
  if (!head || !item.replica) return `${name} has no head`;
  const truth = await truthOf(world, head, item.source.machine);
  if (!truth) return `${name}: the lab recorded no truth for ${head.cycle}`;
  const replica = await world.digests({ replica: item.replica.machine });
  return replica.join() === truth.join() ? undefined : `${name}: replica differs from the source at point ${head.point} (${head.kind})`;
};
