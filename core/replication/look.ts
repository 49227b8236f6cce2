// Looks at machines without changing anything.
import { isDrError, type Machine } from '../contract/index.ts';
import type { Side } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import { type Core, callFor, openEndpoint } from './core.ts';

export type Look =
  | { readonly reachable: false; readonly because: string }
  | { readonly reachable: true; readonly machine: Machine | undefined; readonly session: EndpointSession };

/** Looks at a machine without changing anything. A machine that is gone from its endpoint is reachable without being there. */
export const lookAt = async (core: Core, side: Side, operationId: string, signal: AbortSignal): Promise<Look> => {
  try {
    const session = await openEndpoint(core, side.endpoint);
    try {
      return { reachable: true, machine: await session.inventory.getMachine(side.machine, callFor(core, operationId, signal)), session };
    } catch (error) {
      if (isDrError(error, 'NOT_FOUND')) return { reachable: true, machine: undefined, session };
      throw error;
    }
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    return { reachable: false, because: `${error.code}: ${error.message}` };
  }
};

/** Off as seen by its hypervisor: the only thing that counts as off. */
export const isSeenOff = (look: Look): boolean => look.reachable && look.machine?.power === 'off';

/** How long to wait before the next look at what somebody else is doing: soon at first, for an operator counts the seconds, then less often. */
export const pauseBeforeLook = (looks: number): number => Math.min(200 * 1.5 ** looks, 2_000);
