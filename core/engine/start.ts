// Starts verbs as jobs, each with its audit record.
import { DrError, type MachineId } from '../contract/index.ts';
import type { ProtectInput } from '../failover/protect.ts';
import { nowIso } from '../replication/core.ts';
import { recordAudit } from '../state/events.ts';
import { findItemBySource } from '../state/items.ts';
import { findGroup } from '../state/records.ts';
import type { FoundMachine } from './inventory.ts';
import type { Caller, Workbench } from './operation.ts';

export interface JobStarted {
  readonly job: string;
}

export const startJob = async (bench: Workbench, caller: Caller, verb: string, target: string, input: object): Promise<JobStarted> => {
  const { core } = bench;
  const job = core.runtime.newId('job');
  await core.store.transaction((tx) =>
    recordAudit(tx, {
      at: nowIso(core),
      actor: caller.actor,
      action: verb,
      target,
      ...(caller.reason ? { reason: caller.reason } : {}),
      data: { job, input },
    }),
  );
  await bench.jobs.start({ id: job, verb, target, input, actor: caller.actor, ...(caller.reason ? { reason: caller.reason } : {}) });
  return { job };
};

export interface ProtectChoice {
  /** The group to make or to join; absent: a new one with the name of the first machine. */
  readonly group?: string | undefined;
  readonly policy: string;
  readonly to: string;
  readonly target?: string | undefined;
  readonly seed?: string | undefined;
}

/** A machine whose protection could not be set up is tried again in its group, without that being named. */
const groupOfFailedAttempt = async ({ core }: Workbench, machine: FoundMachine | undefined) => {
  const known = machine && (await findItemBySource(core.store.db, machine.endpoint, machine.machine.id));
  return known?.state.protection === 'EnablingFailed' ? findGroup(core.store.db, known.groupId) : undefined;
};

/** What the verb gets for these machines. A group that is there keeps its policy and its recovery site. */
export const protectInput = async (bench: Workbench, found: readonly FoundMachine[], choice: ProtectChoice): Promise<ProtectInput> => {
  const { core } = bench;
  const failed = await groupOfFailedAttempt(bench, found[0]);
  const name = choice.group ?? failed?.name ?? found[0]?.machine.name ?? '';
  const known = await findGroup(core.store.db, name);
  if (known && !choice.group && known.id !== failed?.id)
    throw new DrError('STATE_CONFLICT', `there is a group ${JSON.stringify(name)} already`, {
      context: { group: name },
      hint: 'name the group to join, or another one, with --group',
    });
  return {
    machines: found.map(({ endpoint, machine }) => ({ endpoint, machine: machine.id as MachineId, name: machine.name })),
    group: { id: known?.id ?? core.runtime.newId('gr'), name },
    policy: known?.policy ?? choice.policy,
    toSite: known?.toSite ?? choice.to,
    ...(choice.target ? { target: choice.target } : {}),
    ...(choice.seed ? { seed: choice.seed } : {}),
  };
};
