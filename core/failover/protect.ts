import { DrError, type Finding, type ItemId, isDrError, type Machine, type MachineId } from '../contract/index.ts';
import { fail } from '../domain/decide.ts';
import { type ItemDisk, machinesOfItems, type ReplicationMethod } from '../domain/item.ts';
import type { ProtectionGroup } from '../domain/policy.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { itemNow } from '../replication/changes.ts';
import { type Core, callFor, nowIso, openEndpoint } from '../replication/core.ts';
import { mappingMissing, unmappedNetworks } from '../replication/networks.ts';
import { REPLICATORS, replicatorOf } from '../replication/replicators.ts';
import { recordEvent } from '../state/events.ts';
import { deleteItem, findItem, findItemBySource, insertItem, listItems, updateItem } from '../state/items.ts';
import { deleteGroup, getEndpoint, getPolicy, listMappings, putGroup } from '../state/records.ts';
import { takeIn } from '../state/rules.ts';
import { concluded, eachMember, leaveFailed } from './members.ts';

export interface ProtectInput {
  readonly machines: readonly { readonly endpoint: string; readonly machine: MachineId; readonly name: string }[];
  readonly group: { readonly id: string; readonly name: string };
  readonly policy: string;
  readonly toSite: string;
  /** Target endpoint; absent: one of the same kind at the recovery site, else the first that can hold replicas. */
  readonly target?: string;
  /** An existing machine at the target that becomes the replica: only what differs is sent. */
  readonly seed?: string;
}

export interface ProtectPlan {
  readonly machine: Machine;
  readonly method: ReplicationMethod;
  readonly target: string;
  readonly findings: readonly Finding[];
  readonly allocatedBytes?: number;
}

/** What protecting would do and what is in its way. Changes nothing. */
export const planProtection = async (core: Core, input: ProtectInput, index: number, signal: AbortSignal): Promise<ProtectPlan> => {
  const asked = input.machines[index];
  if (!asked) throw new DrError('USAGE', 'no machine to protect was named');
  const source = await getEndpoint(core.store.db, asked.endpoint);
  if (source.site === input.toSite) {
    throw new DrError('CONFIG_INVALID', `${asked.name} is already at site ${input.toSite}`, {
      context: { machine: asked.machine, site: input.toSite },
      hint: 'name the other site with --to',
    });
  }
  const inUse = machinesOfItems(await listItems(core.store.db));
  const known = inUse.get(`${asked.endpoint}/${asked.machine}`);
  const isRetried = known?.state.protection === 'EnablingFailed' && known.source.machine === asked.machine;
  if (known && !isRetried) {
    const as = known.source.machine === asked.machine ? 'already protected' : `a copy of ${known.name}, which is protected`;
    throw new DrError('ALREADY_PROTECTED', `${asked.name} is ${as} (${known.state.protection})`, {
      context: { machine: asked.machine, item: known.id, state: known.state.protection },
    });
  }
  const session = await openEndpoint(core, asked.endpoint);
  const call = () => callFor(core, `assess/${asked.machine}`, signal);
  const machine = await session.inventory.getMachine(asked.machine, call());
  const findings = [...(await session.inventory.checkProtectable(asked.machine, 'source', call()))];
  if (machine.protectedElsewhere) {
    findings.push({
      code: 'protected-elsewhere',
      level: 'warning',
      message: `${machine.name} is also protected by ${machine.protectedElsewhere}`,
      hint: 'end the other protection first: two trackers may disturb each other',
    });
  }
  const { method } = await getPolicy(core.store.db, input.policy);
  const { target, findings: more } = await REPLICATORS[method].assess(
    core,
    {
      machine,
      source: session,
      sourcePlugin: source.plugin,
      toSite: input.toSite,
      policy: input.policy,
      ...(input.target ? { target: input.target } : {}),
      ...(input.seed ? { seed: input.seed as MachineId } : {}),
    },
    signal,
  );
  findings.push(...more);
  const other = input.seed && inUse.get(`${target.endpointId}/${input.seed}`);
  if (other && !(isRetried && other.id === known.id)) {
    throw new DrError('ALREADY_PROTECTED', `${input.seed} cannot become the replica of ${machine.name}: it belongs to ${other.name}`, {
      context: { machine: input.seed, item: other.id, state: other.state.protection },
      hint: 'name a machine that nobody needs with --seed, or leave it out: the replica is then made anew',
    });
  }
  const missing = unmappedNetworks(await listMappings(core.store.db), machine.spec, asked.endpoint, target.endpointId);
  if (missing.length > 0) throw mappingMissing(machine.name, missing, asked.endpoint, target.endpointId);
  return { machine, method, target: target.endpointId, findings };
};

export const createProtect = (
  core: Core,
): Verb<ProtectInput, { readonly items: readonly ItemId[]; readonly stalled: readonly ItemId[] }> => ({
  name: 'protect',
  run: async (flow, input) => {
    const group = await flow.step('group', async () => ({ id: input.group.id }), {
      commit: async (tx) => {
        const { site } = await getEndpoint(tx, input.machines[0]?.endpoint ?? '');
        const known: ProtectionGroup = {
          id: input.group.id,
          name: input.group.name,
          policy: input.policy,
          fromSite: site,
          toSite: input.toSite,
          createdAt: nowIso(core),
        };
        await putGroup(tx, known);
      },
    });
    const indexes = input.machines.map((_, index) => index);
    const ids = indexes.map((index) => itemIdOf(flow, index));
    const results = await eachMember(ids, (id) => enable(core, flow, input, ids.indexOf(id), id));
    for (const id of results.failed.keys()) await failEnabling(flow, id);
    const copied = results.done.size > 0 ? await firstCopy(core, flow, group.id, [...results.done.keys()]) : undefined;
    if (!copied) await dropEmptyGroup(flow, group.id);
    return {
      result: { items: [...results.done.keys()], stalled: copied?.failed ?? [] },
      partial: concluded(results).partial || (copied?.failed.length ?? 0) > 0,
    };
  },
  failed: async (flow, input) => {
    await leaveFailed(
      flow,
      input.machines.map((_, index) => itemIdOf(flow, index)),
    );
    await dropEmptyGroup(flow, input.group.id);
  },
});

const firstCopy = async (core: Core, flow: Flow, groupId: string, ids: readonly ItemId[]) =>
  replicatorOf(await itemNow(core, ids[0] as ItemId)).firstCopy(core, flow, groupId, ids);

const dropEmptyGroup = (flow: Flow, id: string): Promise<null> =>
  flow.step('drop an empty group', async () => null, {
    commit: async (tx) => {
      if ((await listItems(tx, id)).length === 0) await deleteGroup(tx, id);
    },
  });

const itemIdOf = (flow: Flow, index: number): ItemId => `it-${flow.jobId.slice(4)}-${index}` as ItemId;

const failEnabling = (flow: Flow, id: ItemId): Promise<null> =>
  flow.step(`failed ${id}`, async () => null, {
    commit: async (tx) => {
      if (await tx.selectFrom('item').select('id').where('id', '=', id).executeTakeFirst()) await updateItem(tx, id, fail);
    },
  });

/**
 * What an attempt that failed has made is taken back before the next one: the steps of another job would not find it again, and a second
 * replica would stand beside the first.
 */
const clearFailedAttempt = async (core: Core, flow: Flow, input: ProtectInput, index: number, id: ItemId): Promise<void> => {
  const asked = input.machines[index];
  const { earlier } = await flow.step(`find a failed attempt ${id}`, async () => {
    const known = asked && (await findItemBySource(core.store.db, asked.endpoint, asked.machine));
    return { earlier: known?.state.protection === 'EnablingFailed' ? known.id : null };
  });
  if (earlier === null) return;
  await flow.step(
    `clear the failed attempt ${id}`,
    async ({ operationId, signal }) => {
      const item = await findItem(core.store.db, earlier);
      if (!item) return null;
      await replicatorOf(item).forget(core, item, { keepReplica: false, operationId, signal }, async (_what, work) => {
        await work().catch((error: unknown) => {
          if (!isDrError(error, 'NOT_FOUND')) throw error;
        });
      });
      return null;
    },
    {
      commit: async (tx) => {
        const item = await findItem(tx, earlier);
        if (!item) return;
        await deleteItem(tx, earlier);
        if (item.groupId !== input.group.id && (await listItems(tx, item.groupId)).length === 0) await deleteGroup(tx, item.groupId);
      },
    },
  );
};

/** Everything up to the first copy: item, tracking, replica machine, fence. */
const enable = async (core: Core, flow: Flow, input: ProtectInput, index: number, id: ItemId): Promise<void> => {
  await clearFailedAttempt(core, flow, input, index, id);
  const planned = await flow.step(
    `assess ${id}`,
    async ({ signal }) => {
      const plan = await planProtection(core, input, index, signal);
      const blocking = plan.findings.find((finding) => finding.level === 'blocks');
      if (blocking)
        throw new DrError('CHECK_FAILED', `${plan.machine.name} cannot be protected: ${blocking.message}`, {
          hint: blocking.hint,
          context: { machine: plan.machine.id },
        });
      return { method: plan.method, spec: plan.machine.spec, name: plan.machine.name, target: plan.target };
    },
    {
      commit: async (tx, { method, spec, name, target }) => {
        const asked = input.machines[index];
        if (!asked) return;
        const { site } = await getEndpoint(tx, asked.endpoint);
        await takeIn(tx, asked);
        await insertItem(tx, {
          id,
          name,
          groupId: input.group.id,
          method,
          state: {
            protection: 'Enabling',
            sync: { is: 'None' },
            test: 'None',
            active: { site },
            direction: { from: site, to: input.toSite },
          },
          source: { site, endpoint: asked.endpoint, machine: asked.machine, name },
          disks: spec.disks.map((disk, position): ItemDisk => ({ key: `disk${position}`, sizeBytes: disk.sizeBytes, sourceDisk: disk.id })),
          nics: spec.nics.map((nic, position) => ({ key: `nic${position}`, sourceNic: nic.id })),
          epoch: { item: id, epoch: 1, holder: core.ownerId },
          traits: { targetForks: false, plannedPossible: false, sourceStreams: false, replicaAdopted: false },
          baselines: {},
        });
        await recordEvent(tx, {
          at: nowIso(core),
          kind: 'protect.begun',
          level: 'info',
          subject: name,
          jobId: flow.jobId,
          message: `protecting ${name}: replica at ${target}`,
        });
      },
    },
  );
  await replicatorOf(await itemNow(core, id)).place(core, flow, id, {
    target: planned.target,
    ...(input.seed ? { seed: input.seed as MachineId } : {}),
  });
};
