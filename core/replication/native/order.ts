// Tells a host one step: only when what it leads to is not there yet, and with every doubt about an answer settled by a look.
import { DrError, isDrError, type NativeStatus, type NativeStep } from '../../contract/index.ts';
import type { Item, Side } from '../../domain/item.ts';
import { isDone, obstacleTo, stageOf } from '../../domain/native.ts';
import { type Core, fencedCall } from '../core.ts';
import type { Doing } from '../replicator.ts';
import { type End, pairAt, sideOf, statusOf } from './look.ts';

/** A planned failover's last changes travel within it, with no copy running. */
const STEP_WAIT_MS = 3_600_000;
const POLL_MS = 1_000;
const MAX_POLL_MS = 15_000;

export const order = async (core: Core, item: Item, end: End, step: NativeStep, doing: Doing): Promise<NativeStatus> => {
  const side = sideOf(item, end);
  const before = await atRest(core, side, doing);
  if (isDone(step.do, before)) return before;
  const obstacle = obstacleTo(step.do, before);
  if (obstacle) {
    throw new DrError('STATE_CONFLICT', `${step.do} of ${item.name} at ${side.endpoint} is not possible: ${obstacle.reason}`, {
      context: { item: item.id, endpoint: side.endpoint, operation: step.do, state: before.vendorState },
      hint: obstacle.way,
    });
  }
  const after = await tell(core, item, end, step, doing);
  return isDone(step.do, after) || isEnough(step, after) ? after : awaitDone(core, item, end, step.do, doing);
};

/** A host that is in the middle of a step goes on with it, whoever has given it up: only then is it known what is done, and what may be told. */
export const atRest = async (core: Core, side: Side, doing: Doing): Promise<NativeStatus> => {
  const { clock } = core.runtime;
  const deadline = clock.now() + STEP_WAIT_MS;
  for (let pauseMs = POLL_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_POLL_MS)) {
    const status = await statusOf(core, side, doing);
    if (stageOf({ role: status.role, state: status.vendorState }) !== 'busy') return status;
    if (clock.now() >= deadline)
      throw new DrError('TIMED_OUT', `${side.name} at ${side.endpoint} is still in state ${status.vendorState} after an hour`, {
        context: { endpoint: side.endpoint, machine: side.machine, state: status.vendorState },
        hint: 'look at the event log of both hosts, then try again',
      });
    await clock.sleep(pauseMs, doing.signal);
  }
};

/** Hosts that reverse straight after a planned failover have nothing to commit and stay as they are; a short resync is over before it is seen. */
const isEnough = (step: NativeStep, { vendorState, role }: NativeStatus): boolean =>
  step.do === 'resync' || (step.do === 'commit' && stageOf({ role, state: vendorState }) === 'failed-over');

/** A failed call may have done its work, or do it yet: the host is asked before anybody is told. */
const tell = async (core: Core, item: Item, end: End, step: NativeStep, doing: Doing): Promise<NativeStatus> => {
  const side = sideOf(item, end);
  try {
    const call = fencedCall(core, item, `${doing.operationId}/${end}/${step.do}`, doing.signal);
    return await (await pairAt(core, side.endpoint)).act(side.machine, step, call);
  } catch (error) {
    if (!isDrError(error) || doing.signal.aborted) throw error;
    const seen = await atRest(core, side, doing).catch(() => undefined);
    if (seen && isDone(step.do, seen)) return seen;
    throw error;
  }
};

const awaitDone = async (core: Core, item: Item, end: End, step: NativeStep['do'], doing: Doing): Promise<NativeStatus> => {
  const { clock } = core.runtime;
  const side = sideOf(item, end);
  const deadline = clock.now() + STEP_WAIT_MS;
  for (let pauseMs = POLL_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_POLL_MS)) {
    const status = await statusOf(core, side, doing);
    if (isDone(step, status)) return status;
    const context = { item: item.id, endpoint: side.endpoint, operation: step, state: status.vendorState };
    if (stageOf({ role: status.role, state: status.vendorState }) === 'broken' || status.health === 'Critical') {
      throw new DrError(
        'STATE_CONFLICT',
        `${step} of ${item.name} has failed at ${side.endpoint}: ${status.because ?? status.vendorState}`,
        {
          context,
          hint: 'look at the event log of both hosts, then try again',
        },
      );
    }
    if (clock.now() >= deadline)
      throw new DrError('TIMED_OUT', `${step} of ${item.name} was accepted at ${side.endpoint} but is not done after an hour`, { context });
    await clock.sleep(pauseMs, doing.signal);
  }
};
