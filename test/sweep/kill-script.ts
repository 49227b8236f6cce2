// The main job as a story of commands: what each has to reach, and the way on from wherever a kill has left the machines.
import type { EstatePort } from '../../adapters/lab/port.ts';
import type { ItemView } from '../../core/engine/status.ts';

export const MACHINES = ['erp-db', 'shop-web', 'ledger'] as const;
export const GROUP = 'all';

export interface Step {
  readonly name: string;
  /** The command for the group or for one of its machines. */
  command(target: string): readonly string[];
  done(item: ItemView): boolean;
  /** It can be asked for at any time, and must have succeeded after the kill. */
  readonly again?: true;
  /** Afterwards nothing is protected any more. */
  readonly last?: true;
  /** What happens to the estate before. Never killed. */
  before?(lab: EstatePort): Promise<unknown>;
  /** How long it takes on a machine whose `lab up` takes LAB_UP_MS: kills are spread over this time. Milliseconds. */
  readonly expectedMs: number;
}

export const LAB_UP_MS = 1_800;

const AWAY = 'site-a -> site-b';
const HOME = 'site-b -> site-a';

const isProtected = (direction: string) => (item: ItemView) =>
  item.protection === 'Protected' && item.direction === direction && item.test === 'None';
const isOver = (item: ItemView): boolean => item.protection === 'CommitPending' || item.protection === 'FailedOver';

const verb =
  (...words: readonly string[]) =>
  (target: string) => [...words, target];
const severe =
  (...words: readonly string[]) =>
  (target: string) => [...words, target, '--confirm', target];

const sync = (direction: string): Step => ({
  name: 'sync now',
  command: verb('sync', 'now'),
  done: isProtected(direction),
  again: true,
  expectedMs: 650,
});
const planned: Step = { name: 'planned failover', command: severe('failover', 'planned'), done: isOver, expectedMs: 2_000 };
const failback: Step = { name: 'failback', command: severe('failback'), done: isProtected(AWAY), expectedMs: 2_400 };

export const STORY: readonly Step[] = [
  {
    name: 'protect',
    command: (target) =>
      target === GROUP
        ? ['protect', ...MACHINES, '--group', GROUP, '--policy', 'lab', '--to', 'site-b']
        : ['protect', target, '--group', GROUP, '--policy', 'lab', '--to', 'site-b'],
    done: isProtected(AWAY),
    expectedMs: 750,
  },
  sync(AWAY),
  { name: 'test failover', command: verb('failover', 'test'), done: (item) => item.test === 'Running', expectedMs: 1_700 },
  { name: 'clean-up', command: verb('failover', 'cleanup'), done: (item) => item.test === 'None', expectedMs: 450 },
  planned,
  { name: 'cancel', command: severe('failover', 'cancel'), done: isProtected(AWAY), expectedMs: 1_500 },
  sync(AWAY),
  planned,
  { name: 'commit', command: severe('failover', 'commit'), done: isProtected(HOME), expectedMs: 950 },
  sync(HOME),
  failback,
  sync(AWAY),
  { name: 'resync', command: severe('sync', 'resync'), done: isProtected(AWAY), again: true, expectedMs: 700 },
  {
    name: 'unplanned failover',
    before: (lab) => lab.call('lab.burnSite', { site: 'site-a' }),
    command: (target) => ['failover', 'unplanned', target, '--source-is', 'unreachable', '--confirm', target],
    done: isOver,
    expectedMs: 1_800,
  },
  {
    name: 'commit without a source',
    command: severe('failover', 'commit'),
    done: (item) => item.protection === 'FailedOver',
    expectedMs: 600,
  },
  {
    name: 're-protect',
    before: (lab) => lab.call('lab.restoreSite', { site: 'site-a', autostart: false }),
    command: severe('reprotect'),
    done: isProtected(HOME),
    expectedMs: 800,
  },
  sync(HOME),
  failback,
  {
    name: 'unprotect',
    command: severe('unprotect'),
    done: () => false,
    last: true,
    expectedMs: 700,
  },
];

const NEXT_BY_STATE: Readonly<Record<string, (target: string) => readonly string[]>> = {
  CommitPending: severe('failover', 'commit'),
  CommittingFailed: severe('failover', 'commit'),
  FailedOver: severe('reprotect'),
  ReprotectingFailed: severe('reprotect'),
  FailingOverFailed: severe('failover', 'planned'),
  EnablingFailed: severe('unprotect'),
};

/** The step itself, unless it has come so far that something else leads on: a failback is three verbs, a commit two. */
export const wayOn = (step: Step, item: ItemView): readonly string[] => {
  const own = step.command(item.name);
  // A first copy that has stalled is tried again by a cycle, as the planner would.
  if (item.protection === 'InitialReplication' && !step.last) return ['sync', 'now', item.name];
  if (step.name === 'protect' && item.protection === 'EnablingFailed') return severe('unprotect')(item.name);
  const composite = step.name === 'failback' || step.name === 'commit';
  return (composite ? NEXT_BY_STATE[item.protection]?.(item.name) : undefined) ?? own;
};
