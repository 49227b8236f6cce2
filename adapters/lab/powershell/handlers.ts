// How cmdlets are written down, and what many of them begin with.
import type { Cmdlet } from '../../powershell/allowed.ts';
import type { Bound } from './arguments.ts';
import type { PsObject } from './cells.ts';
import { inStep } from './equipment.ts';
import { hostOf, vmAt } from './fabric.ts';
import { gone, unknownId } from './failures.ts';
import type { At, Hv, OnHost, PsContext } from './model.ts';
import { type OfMachine, VM } from './vm-object.ts';

export type Handler = (context: PsContext, args: Bound) => readonly PsObject[] | Promise<readonly PsObject[]>;
export type Handlers = { readonly [C in Cmdlet]?: Handler };

export const nothing: readonly PsObject[] = [];

/** For what an object keeps: the step that made it is over when it is read. */
export const placeOf = ({ estate, endpoint, hyperv }: At): At => ({ estate, endpoint, hyperv });

/** Of this host; another node does not know it. */
export const machineHere = (at: OnHost, id: string): Hv => {
  const machine = vmAt(at, id);
  if (machine && hostOf(at, machine) === at.host) return inStep(at, machine);
  throw unknownId('virtual machine', id);
};

/** The machine of an object of an earlier step: it may have gone, or to another node. */
export const stillThere = (at: OnHost, { machine }: { readonly machine: Hv }): Hv => {
  if (at.estate.machines.get(machine.id) !== machine || hostOf(at, machine) !== at.host) throw gone('virtual machine');
  return inStep(at, machine);
};

/** Each machine that -VM names, one after the other: about each one an error of its own. */
export const eachMachine = async (
  context: PsContext,
  args: Bound,
  work: (machine: Hv) => readonly PsObject[] | Promise<readonly PsObject[]> | undefined,
): Promise<readonly PsObject[]> => each(context, args.records('VM', VM), (of: OfMachine) => work(stillThere(context, of)));

export const each = async <T>(
  context: PsContext,
  all: readonly T[],
  work: (one: T) => readonly PsObject[] | Promise<readonly PsObject[]> | undefined,
): Promise<readonly PsObject[]> => {
  const found: PsObject[] = [];
  for (const one of all) {
    try {
      for (const made of (await work(one)) ?? []) found.push(made);
    } catch (error) {
      context.report(error);
    }
  }
  return found;
};
