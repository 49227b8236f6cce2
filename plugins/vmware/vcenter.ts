// What the facets share: properties, tasks and waiting, over one session at a vCenter or ESXi host.
import {
  type CallOptions,
  localizedFault,
  type MoRef,
  type ObjectContent,
  type TaskInfo,
  toError,
  typed,
  type VimArgs,
  type VimMethod,
  type VimResult,
  type VsphereClient,
} from '../../adapters/vsphere/port.ts';
import { type Call, DrError, isDrError } from '../../core/contract/index.ts';
import { pollTask, type TaskState, type Time } from '../../core/plugin-kit/index.ts';

/** Of a page: bounded, so that an inventory of 10,000 machines never stands in memory as one answer. */
const PAGE_OBJECTS = 100;
const FIRST_PAUSE_MS = 20;
const MOST_PAUSE_MS = 2_000;
/** A single answer of the server; what takes longer is a task. */
const ANSWER_MS = 60_000;

/** Values by property path; a path without a value is absent. */
export type Props = Readonly<Record<string, unknown>>;

/** Methods that answer with a task. */
type TaskMethod = Extract<VimMethod, `${string}_Task`>;

export interface Found {
  readonly ref: MoRef;
  readonly props: Props;
  /** The account may not read it. */
  readonly refused?: DrError;
}

export const vmRef = (id: string): MoRef => ({ type: 'VirtualMachine', value: id });

export class Vcenter {
  readonly client: VsphereClient;
  readonly ownerId: string;
  readonly time: Time;

  constructor(client: VsphereClient, ownerId: string, time: Time) {
    this.client = client;
    this.ownerId = ownerId;
    this.time = time;
  }

  call<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, call: Call): Promise<VimResult<M>> {
    call.signal.throwIfAborted();
    return this.client.call(method, on, args, options(call));
  }

  /** Starts a task and waits for its end; answers with its result. An abort ends the waiting, the task goes on at the server. */
  async task<M extends TaskMethod>(method: M, on: MoRef, args: VimArgs<M>, call: Call): Promise<unknown> {
    const task = (await this.call(method, on, args, call)) as MoRef;
    return this.awaitTask(task, `${method} on ${on.type} ${on.value}`, { method, on }, call);
  }

  async awaitTask(task: MoRef, what: string, { method, on }: { method: string; on: MoRef }, call: Call): Promise<unknown> {
    const look = async (): Promise<TaskState<unknown>> => {
      const {
        'info.state': state,
        'info.error': error,
        'info.result': result,
      } = await this.props(task, ['info.state', 'info.error', 'info.result'], call).catch((cause: unknown) => {
        // A server that was started anew. It must not look as if the machine were what is gone.
        throw isGone(cause) ? new DrError('CONNECTION_LOST', `the server has forgotten the task ${what}`, { cause }) : cause;
      });
      if (state === 'success') return { done: true, value: result };
      if (state !== 'error') return { done: false };
      throw toError(localizedFault(error as TaskInfo['error']), `${what} failed`, {
        method,
        ...(on.type === 'VirtualMachine' ? { machine: on.value } : {}),
      });
    };
    return pollTask(call, what, look, { firstPauseMs: FIRST_PAUSE_MS, maxPauseMs: MOST_PAUSE_MS, time: this.time });
  }

  /**
   * Waits for tasks of one kind at a machine, however they end. A call that was killed has left its task to the server, and what that makes is
   * seen only when it has ended.
   */
  async awaitUnderWay(id: string, descriptionId: string, call: Call): Promise<void> {
    const { recentTask = [] } = await this.props(vmRef(id), ['recentTask'], call);
    for (const task of recentTask as readonly MoRef[]) {
      const look = async (): Promise<TaskState<void>> => {
        const { info } = await this.props(task, ['info'], call).catch((error: unknown) => {
          if (!isGone(error)) throw error;
          return { info: undefined };
        });
        const { state, descriptionId: is } = (info ?? {}) as Partial<TaskInfo>;
        return is === descriptionId && (state === 'running' || state === 'queued') ? { done: false } : { done: true, value: undefined };
      };
      await pollTask(call, `the task of machine ${id} that is under way`, look, {
        firstPauseMs: FIRST_PAUSE_MS,
        maxPauseMs: MOST_PAUSE_MS,
        time: this.time,
      });
    }
  }

  /** Throws NOT_FOUND. */
  async props(ref: MoRef, paths: readonly string[], call: Call): Promise<Props> {
    const [found] = await this.propsOf([ref], paths, call);
    if (!found) throw notFound(ref);
    return found.props;
  }

  /** Of several objects of one type, in no order. Throws NOT_FOUND when one does not exist. */
  async propsOf(refs: readonly MoRef[], paths: readonly string[], call: Call): Promise<Found[]> {
    const [first] = refs;
    if (!first) return [];
    for (const ref of refs) if (!REFERENCE.test(ref.value)) throw notFound(ref);
    const found: Found[] = [];
    for await (const one of this.#retrieve(
      first.type,
      paths,
      refs.map((obj) => ({ obj })),
      call,
    )) {
      // An answer without the disks of a machine must not pass for a machine without disks.
      if (one.refused) throw one.refused;
      found.push(one);
    }
    return found;
  }

  /**
   * Every object of a type below the root folder, in bundles: an old server or a simulator that pages by no limit of ours would give
   * thousands in one answer. What the account may not read is left out, unless that is all there is.
   */
  async *list(type: string, paths: readonly string[], call: Call): AsyncGenerator<Found> {
    const view = await this.view(type, call);
    try {
      const { view: refs = [] } = await this.props(view, ['view'], call);
      let isAnyRead = false;
      let refused: DrError | undefined;
      for (let at = 0; at < (refs as readonly MoRef[]).length; at += PAGE_OBJECTS) {
        for await (const one of this.#retrieveThere(type, paths, (refs as readonly MoRef[]).slice(at, at + PAGE_OBJECTS), call)) {
          refused ??= one.refused;
          if (one.refused) continue;
          isAnyRead = true;
          yield one;
        }
      }
      if (refused && !isAnyRead) throw refused;
    } finally {
      await this.client.call('DestroyView', view, {}, { deadlineMs: ANSWER_MS }).catch(() => undefined);
    }
    call.signal.throwIfAborted();
  }

  /** One that was removed since it was named is left out; the others are not its victims. */
  async *#retrieveThere(type: string, paths: readonly string[], refs: readonly MoRef[], call: Call): AsyncGenerator<Found> {
    const found: Found[] = [];
    try {
      for await (const one of this.#retrieve(
        type,
        paths,
        refs.map((obj) => ({ obj })),
        call,
      ))
        found.push(one);
    } catch (error) {
      if (!isDrError(error, 'NOT_FOUND')) throw error;
      const [only, ...more] = refs;
      if (!only || more.length === 0) return;
      const middle = refs.length >> 1;
      yield* this.#retrieveThere(type, paths, refs.slice(0, middle), call);
      yield* this.#retrieveThere(type, paths, refs.slice(middle), call);
      return;
    }
    for (const one of found) {
      call.signal.throwIfAborted();
      yield one;
    }
  }

  view(type: string, call: Call): Promise<MoRef> {
    const { viewManager, rootFolder } = this.client.content;
    if (!viewManager) throw new DrError('PROTOCOL_ERROR', 'the server has no view manager');
    return this.call('CreateContainerView', viewManager, { container: rootFolder, type: [type], recursive: true }, call);
  }

  async *#retrieve(
    type: string,
    paths: readonly string[],
    objectSet: VimArgs<'RetrievePropertiesEx'>['specSet'][number]['objectSet'],
    call: Call,
  ): AsyncGenerator<Found> {
    const { propertyCollector } = this.client.content;
    const specSet = [{ propSet: [{ type, pathSet: paths }], objectSet }];
    let page = await this.call('RetrievePropertiesEx', propertyCollector, { specSet, options: { maxObjects: PAGE_OBJECTS } }, call);
    let token: string | undefined;
    try {
      for (;;) {
        token = page?.token;
        for (const object of page?.objects ?? []) {
          call.signal.throwIfAborted();
          yield toFound(object);
        }
        if (token === undefined) return;
        page = await this.call('ContinueRetrievePropertiesEx', propertyCollector, { token }, call);
        token = undefined;
      }
    } finally {
      // A reader that left early: the server need not keep the rest.
      if (token !== undefined)
        await this.client
          .call('CancelRetrievePropertiesEx', propertyCollector, { token }, { deadlineMs: ANSWER_MS })
          .catch(() => undefined);
    }
  }
}

/** The object itself does not exist (any more). A file that is missing is NOT_FOUND too, and something else. */
export const isGone = (error: unknown): boolean =>
  isDrError(error, 'NOT_FOUND') && ['ManagedObjectNotFound', undefined].includes(error.context.vendorCode as string | undefined);

/**
 * What a machine lies in, nearest first: folders, then its datacenter, and what the account may see above that. One in a vApp has no folder
 * of its own; its host lies in the same datacenter.
 */
export const placesAbove = async (vcenter: Vcenter, id: string, call: Call): Promise<Found[]> => {
  const { parent, 'runtime.host': host } = await vcenter.props(vmRef(id), ['parent', 'runtime.host'], call);
  const above: Found[] = [];
  for (let at = (parent ?? host) as MoRef | undefined; at; ) {
    const isEnough = above.some(({ ref }) => ref.type === 'Datacenter');
    const props = await vcenter.props(at, ['name', 'parent'], call).catch((error: unknown) => {
      if (isEnough && isDrError(error, 'PERMISSION_DENIED')) return undefined;
      throw error;
    });
    if (!props) break;
    above.push({ ref: at, props });
    at = props['parent'] as MoRef | undefined;
  }
  return above;
};

/** What no server gives as an id is not even asked for. */
const REFERENCE = /^[\x21-\x7e]{1,255}$/;

const notFound = ({ type, value }: MoRef): DrError =>
  new DrError('NOT_FOUND', `there is no ${type} ${JSON.stringify(value)}`, { context: { kind: type, name: value } });

const options = ({ signal, deadlineMs }: Call): CallOptions => ({ signal, deadlineMs: Math.min(deadlineMs, ANSWER_MS) });

export const throughView = (view: MoRef) => ({
  obj: view,
  skip: true,
  selectSet: [typed('TraversalSpec', { name: 'view', type: 'ContainerView', path: 'view', skip: false })],
});

const toFound = ({ obj, propSet = [], missingSet = [] }: ObjectContent): Found => {
  const props = Object.fromEntries(propSet.map(({ name, val }) => [name, val]));
  const missing = missingSet.map(({ fault }) => localizedFault(fault)).find(({ $type }) => $type === 'NoPermission');
  return { ref: obj, props, ...(missing ? { refused: toError(missing, `${obj.type} ${obj.value} cannot be read`) } : {}) };
};
