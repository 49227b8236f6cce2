// The estate behind the proxy: what the simulator of govmomi lacks is had from the lab's own model of a vCenter, under the simulator's references.
import type { Dispatcher } from '../../../adapters/lab/dispatch.ts';
import { Estate } from '../../../adapters/lab/estate.ts';
import type { InjectedError, Lie } from '../../../adapters/lab/port.ts';
import type { EndpointRecord } from '../../../adapters/lab/records.ts';
import { asVimFault, faultOf, localized } from '../../../adapters/lab/vsphere/fault-answers.ts';
import { handleFile } from '../../../adapters/lab/vsphere/files.ts';
import { answer, HttpError } from '../../../adapters/lab/vsphere/http.ts';
import { machineHandlers } from '../../../adapters/lab/vsphere/machine-handlers.ts';
import { machineProperty, snapshotProperty } from '../../../adapters/lab/vsphere/machine-properties.ts';
import { type TaskWork, type VimContext, VimFaultError } from '../../../adapters/lab/vsphere/model.ts';
import { type Property, readProperty } from '../../../adapters/lab/vsphere/properties.ts';
import { findSnapshot, findVm, type Vm } from '../../../adapters/lab/vsphere/vms.ts';
import type { MoRef, TaskInfo, VimArgs, VimMethod, WireAnswer, WireRequest } from '../../../adapters/vsphere/port.ts';
import type { MachineId } from '../../../core/contract/index.ts';

/** Ids by the prefix that the estate asks with. */
export type Ids = Readonly<Record<string, readonly string[]>>;

/** An estate whose next ids are given from outside: those that a simulator has chosen already. */
export class NamedEstate extends Estate {
  #given = new Map<string, string[]>();

  /** Runs the work; the ids are forgotten with it, used or not. */
  async giving<T>(ids: Ids, work: () => T | Promise<T>): Promise<T> {
    this.#given = new Map(Object.entries(ids).map(([prefix, values]) => [prefix, [...values]]));
    try {
      return await work();
    } finally {
      this.#given.clear();
    }
  }

  override nextId(prefix: string): string {
    return this.#given.get(prefix)?.shift() ?? super.nextId(prefix);
  }

  override newMachineId(endpoint: EndpointRecord): MachineId {
    return (this.#given.get('vm')?.shift() as MachineId | undefined) ?? super.newMachineId(endpoint);
  }
}

/** `task`: the model's own, which has ended so. */
export type Outcome = ({ readonly result: unknown } | { readonly fault: VimFaultError }) & { readonly task?: MoRef };

export interface Anchor {
  readonly networkSystem: MoRef;
  readonly vswitchName: string;
  switchGone: boolean;
}

interface Asked {
  readonly lies: ReadonlySet<Lie>;
  readonly userAgent: string;
  /** The task ends with it. */
  readonly taskError?: InjectedError;
}

/** One endpoint of the estate: the model of a vCenter behind a simulator's. */
export class Twin {
  readonly estate: NamedEstate;
  readonly endpoint: EndpointRecord;
  readonly dispatcher: Dispatcher;
  /** On whose behalf the next handlers run, and what the rules of the lab ask of them. */
  asked: Asked = { lies: new Set(), userAgent: '' };
  /** Networks that the simulator has, by name: at which host it knows them. */
  readonly anchors = new Map<string, Anchor>();
  readonly #tasks = new Map<string, TaskInfo>();

  constructor(estate: NamedEstate, dispatcher: Dispatcher, endpoint: EndpointRecord) {
    this.estate = estate;
    this.dispatcher = dispatcher;
    this.endpoint = endpoint;
  }

  vm(ref: MoRef): Vm | undefined {
    return findVm(this, ref);
  }

  /** The machine itself, or that of the snapshot. */
  owner(ref: MoRef): Vm | undefined {
    return this.vm(ref) ?? findSnapshot(this, ref)?.machine;
  }

  /** Runs a handler of the model to its end at once, its task included; `ids` are those that it will ask for. */
  async run<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, ids: Ids = {}): Promise<Outcome> {
    const handler = machineHandlers[method];
    if (!handler) throw new Error(`the model has no ${method}`);
    const outcomes = new Map<string, Outcome>();
    try {
      const result: unknown = await this.estate.giving(ids, () => handler(this.#context(method, outcomes), on, args));
      const task = (result as MoRef | undefined)?.value;
      return (task === undefined ? undefined : outcomes.get(task)) ?? { result };
    } catch (error) {
      return { fault: asVimFault(error) };
    } finally {
      this.estate.revision++;
    }
  }

  /** A file of a datastore: the simulator's disks are empty. */
  file(request: WireRequest): WireAnswer {
    try {
      return handleFile(this.#context(request.method, new Map()), request);
    } catch (error) {
      if (error instanceof HttpError) return answer(error.status, error.message, 'text/plain');
      if (error instanceof VimFaultError) return answer(500, error.message, 'text/plain');
      throw error;
    }
  }

  /** A task of the model's own: the simulator does not know it. */
  task(ref: MoRef): TaskInfo | undefined {
    return ref.type === 'Task' ? this.#tasks.get(ref.value) : undefined;
  }

  property(on: MoRef, path: string): Property | undefined {
    const info = this.task(on);
    return readProperty(
      (of, name) => {
        if (info) return name === 'info' ? info : undefined;
        return of.type === 'VirtualMachine' ? machineProperty(this, of, name) : snapshotProperty(this, of, name);
      },
      on,
      path,
    );
  }

  #context(method: string, outcomes: Map<string, Outcome>): VimContext {
    return {
      estate: this.estate,
      endpoint: this.endpoint,
      session: { key: '', userName: '', userAgent: this.asked.userAgent, loginMs: 0, lastActiveMs: 0, callCount: 0 },
      lies: this.asked.lies,
      startTask: (_, entity, work) => {
        const ref = { type: 'Task', value: `task-of-the-model-${this.#tasks.size + 1}` };
        const { taskError } = this.asked;
        const outcome = perform(work, taskError && faultOf(taskError, method, entity));
        outcomes.set(ref.value, { ...outcome, task: ref });
        this.#tasks.set(ref.value, this.#infoOf(ref, { method, entity }, outcome));
        return ref;
      },
      runningTask: () => undefined,
      requirePrivilege: () => undefined,
    };
  }

  #infoOf(task: MoRef, { method, entity }: { readonly method: string; readonly entity: MoRef }, outcome: Outcome): TaskInfo {
    const end =
      'fault' in outcome
        ? { state: 'error' as const, error: localized(outcome.fault, entity) as NonNullable<TaskInfo['error']> }
        : { state: 'success' as const, ...(outcome.result === undefined ? {} : { result: outcome.result }) };
    return {
      key: task.value,
      task,
      descriptionId: method,
      entity,
      cancelled: false,
      cancelable: false,
      reason: { $type: 'TaskReasonSystem' } as TaskInfo['reason'],
      queueTime: this.estate.now(),
      eventChainId: this.#tasks.size,
      ...end,
    };
  }
}

const perform = (work: TaskWork, error: VimFaultError | undefined): Outcome => {
  try {
    return error ? { fault: error } : { result: work.run() };
  } catch (thrown) {
    return { fault: asVimFault(thrown) };
  } finally {
    work.ended?.();
  }
};
