// What an operator names: a machine, a group or a plan, and the members and boot order that this means.
import { DrError, isDrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { RecoveryPlan } from '../domain/policy.ts';
import type { Wave } from '../failover/members.ts';
import type { Db } from '../state/database.ts';
import { getItemByName, listItems } from '../state/items.ts';
import { findGroup, findPlan, listGroups, notFound } from '../state/records.ts';

export interface Target {
  readonly kind: 'machine' | 'group' | 'plan';
  readonly name: string;
  readonly waves: readonly Wave[];
  readonly items: readonly Item[];
}

/** A plan, a group, or a protected machine by name or id, in this order. */
export const resolveTarget = async (db: Db, name: string): Promise<Target> => {
  const plan = await findPlan(db, name);
  if (plan) return planTarget(db, plan);
  const group = await findGroup(db, name);
  if (group) {
    const items = await listItems(db, group.id);
    // A machine protected alone has a group of its own name: to its operator it is a machine.
    const alone = items.length === 1 && items[0]?.name === group.name;
    return { kind: alone ? 'machine' : 'group', name: group.name, waves: [{ items: items.map((item) => item.id) }], items };
  }
  const item = await getItemByName(db, name).catch(async (error: unknown) => {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
    const known = [
      ...(await listItems(db)).map((candidate) => candidate.name),
      ...(await listGroups(db)).map((candidate) => candidate.name),
    ];
    throw notFound('protected machine, group or plan', name, known, 'status');
  });
  return { kind: 'machine', name: item.name, waves: [{ items: [item.id] }], items: [item] };
};

/** Resolves a plan's members; PLAN_INVALID names the step and the member that is not there. */
const planTarget = async (db: Db, plan: RecoveryPlan): Promise<Target> => {
  const waves: Wave[] = [];
  const items: Item[] = [];
  let waitSeconds = 0;
  for (const [index, step] of plan.steps.entries()) {
    if ('waitSeconds' in step) {
      waitSeconds += step.waitSeconds;
      continue;
    }
    const members: Item[] = [];
    for (const name of step.boot) members.push(...(await planMember(db, plan, index, name)));
    const twice = members.find((member) => items.some((item) => item.id === member.id));
    if (twice)
      throw new DrError('PLAN_INVALID', `plan ${plan.name} starts ${twice.name} twice`, {
        context: { plan: plan.name, name: twice.name, step: index + 1 },
        hint: 'name each machine once',
      });
    items.push(...members);
    waves.push({ items: members.map((member) => member.id), ...(waitSeconds > 0 ? { waitSecondsBefore: waitSeconds } : {}) });
    waitSeconds = 0;
  }
  return { kind: 'plan', name: plan.name, waves, items };
};

const planMember = async (db: Db, plan: RecoveryPlan, index: number, name: string): Promise<readonly Item[]> => {
  const group = await findGroup(db, name);
  if (group) return listItems(db, group.id);
  try {
    return [await getItemByName(db, name)];
  } catch (error) {
    if (!isDrError(error)) throw error;
    throw new DrError('PLAN_INVALID', `step ${index + 1} of plan ${plan.name} names ${JSON.stringify(name)}: ${error.message}`, {
      context: { plan: plan.name, step: index + 1, name },
      hint: error.hint,
    });
  }
};
