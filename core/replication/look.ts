// Looks at machines without changing anything.
import { DrError, isDrError, type Machine } from '../contract/index.ts';
import type { Side } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import { type Core, callFor, openEndpoint } from './core.ts';

export type Look =
  | { readonly reachable: false; readonly because: string }
  | { readonly reachable: true; readonly machine: Machine | undefined; readonly session: EndpointSession };

/** How long an endpoint gets that may be gone, when so many of its machines are looked at: it answers a few at a time. */
export const patienceMs = (machines: number): number => 15_000 + 100 * machines;

/**
 * Looks at a machine without changing anything. A machine that is gone from its endpoint is reachable without being there; an endpoint that does
 * not answer `withinMs` is unreachable.
 */
export const lookAt = async (
  core: Core,
  side: Side,
  operationId: string,
  signal: AbortSignal,
  withinMs = Number.POSITIVE_INFINITY,
): Promise<Look> => {
  try {
    const session = await openWithin(core, side.endpoint, signal, withinMs);
    try {
      const call = { ...callFor(core, operationId, signal), deadlineMs: withinMs };
      return { reachable: true, machine: await session.inventory.getMachine(side.machine, call), session };
    } catch (error) {
      if (isDrError(error, 'NOT_FOUND')) return { reachable: true, machine: undefined, session };
      throw error;
    }
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    return { reachable: false, because: `${error.code}: ${error.message}` };
  }
};

/** So many machines may be let go at once. */
const MANY = 1_000;

/** Asked before what may take long: a site that is gone for good is no reason to wait for it. Throws CONNECTION_REFUSED. */
export const answering = async (core: Core, side: Side, operationId: string, signal: AbortSignal): Promise<EndpointSession> => {
  const look = await lookAt(core, side, operationId, signal, patienceMs(MANY));
  if (look.reachable) return look.session;
  throw new DrError('CONNECTION_REFUSED', `endpoint ${side.endpoint} cannot be reached (${look.because})`, {
    context: { endpoint: side.endpoint, machine: side.machine },
  });
};

const openWithin = async (core: Core, endpoint: string, signal: AbortSignal, withinMs: number): Promise<EndpointSession> => {
  if (withinMs === Number.POSITIVE_INFINITY) return openEndpoint(core, endpoint, signal);
  const [late, done] = [new AbortController(), new AbortController()];
  core.runtime.clock.sleep(withinMs, done.signal).then(
    () =>
      late.abort(
        new DrError('TIMED_OUT', `endpoint ${endpoint} opened no session within ${withinMs / 1_000} s`, { context: { endpoint } }),
      ),
    () => undefined,
  );
  try {
    return await openEndpoint(core, endpoint, AbortSignal.any([signal, late.signal]));
  } finally {
    done.abort();
  }
};

/** Off as seen by its hypervisor: the only thing that counts as off. */
export const isSeenOff = (look: Look): boolean => look.reachable && look.machine?.power === 'off';

/** How long to wait before the next look at what somebody else is doing: soon at first, for an operator counts the seconds, then less often. */
export const pauseBeforeLook = (looks: number): number => Math.min(200 * 1.5 ** looks, 2_000);
