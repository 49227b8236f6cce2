// Tasks of one simulated vCenter, on the estate's timeline: queued, running with progress, then what came of them.
import type { MoRef, TaskInfo } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import type { InjectedError } from '../model.ts';
import { asVimFault, faultOf, localized, vimFault } from './fault-answers.ts';
import type { TaskWork, VimFaultError } from './model.ts';
import { notFound } from './objects.ts';

const QUEUED_MS = 20;
const STEPS = [0.25, 0.5, 0.75] as const;
/** A vCenter lists a task that has ended for about ten minutes. */
const KEPT_MS = 10 * 60_000;

interface Entry {
  readonly ref: MoRef;
  readonly entity: MoRef;
  readonly work: TaskWork;
  readonly stalled: boolean;
  info: TaskInfo;
  endedMs?: number;
  callOff: (() => void)[];
}

export interface NewTask {
  readonly descriptionId: string;
  readonly entity: MoRef;
  readonly entityName?: string | undefined;
  readonly userName: string;
  readonly work: TaskWork;
  /** It never ends. */
  readonly stall: boolean;
  readonly error?: InjectedError | undefined;
}

export class Tasks {
  readonly #estate: Estate;
  readonly #entries = new Map<string, Entry>();
  readonly #orphans = new Set<Entry>();
  /** Told of each change of a task; of its entity when the task has ended. */
  readonly #onChange: (changed: MoRef) => void;

  constructor(estate: Estate, onChange: (changed: MoRef) => void) {
    this.#estate = estate;
    this.#onChange = onChange;
  }

  start(task: NewTask): MoRef {
    this.#forgetOld();
    const ref = { type: 'Task', value: this.#estate.nextId('task') };
    const entry: Entry = { ref, entity: task.entity, work: task.work, stalled: task.stall, info: this.#newInfo(ref, task), callOff: [] };
    this.#entries.set(ref.value, entry);
    const { durationMs } = task.work;
    const queuedMs = Math.min(QUEUED_MS, durationMs / 4);
    this.#later(entry, queuedMs, () => this.#update(entry, { state: 'running', progress: 0, startTime: this.#estate.now() }));
    for (const part of STEPS) this.#later(entry, queuedMs + (durationMs - queuedMs) * part, () => this.#progress(entry, part));
    if (!task.stall) this.#later(entry, durationMs, () => this.#finish(entry, task));
    return ref;
  }

  /** Throws ManagedObjectNotFound for one that has ended long ago. */
  info(ref: MoRef): TaskInfo {
    this.#forgetOld();
    return this.#entry(ref).info;
  }

  has(ref: MoRef): boolean {
    this.#forgetOld();
    return ref.type === 'Task' && this.#entries.has(ref.value);
  }

  /** The newest last. */
  recent(entity?: MoRef): MoRef[] {
    this.#forgetOld();
    const all = [...this.#entries.values()];
    return all.filter((entry) => entity === undefined || entry.entity.value === entity.value).map(({ ref }) => ref);
  }

  running(entity: MoRef): MoRef | undefined {
    for (const entry of [...this.#entries.values(), ...this.#orphans]) {
      if (entry.endedMs === undefined && entry.entity.value === entity.value && entry.entity.type === entity.type) return entry.ref;
    }
    return undefined;
  }

  cancel(ref: MoRef): void {
    const entry = this.#entry(ref);
    if (entry.endedMs !== undefined) throw vimFault('InvalidState');
    if (!entry.info.cancelable) throw vimFault('NotSupported');
    this.#end(entry, { state: 'error', cancelled: true, error: this.#errorOf(vimFault('RequestCanceled'), entry) });
  }

  /** After a start anew nobody knows them; what they do goes on, but for one that would never end. */
  forget(): void {
    for (const entry of this.#entries.values()) {
      if (entry.endedMs !== undefined) continue;
      if (entry.stalled) entry.work.ended?.();
      else this.#orphans.add(entry);
    }
    this.#entries.clear();
  }

  #entry(ref: MoRef): Entry {
    return (ref.type === 'Task' ? this.#entries.get(ref.value) : undefined) ?? notFound(ref);
  }

  #newInfo(task: MoRef, { descriptionId, entity, entityName, userName, work }: NewTask): TaskInfo {
    const name = descriptionId.slice(descriptionId.lastIndexOf('.') + 1);
    return {
      key: task.value,
      task,
      name: `${name.charAt(0).toUpperCase()}${name.slice(1)}_Task`,
      descriptionId,
      entity,
      ...(entityName === undefined ? {} : { entityName }),
      state: 'queued',
      cancelled: false,
      cancelable: work.cancelable ?? false,
      reason: { $type: 'TaskReasonUser', userName } as TaskInfo['reason'],
      queueTime: this.#estate.now(),
      eventChainId: Number(task.value.slice('task-'.length)),
    };
  }

  #later(entry: Entry, afterMs: number, run: () => void): void {
    entry.callOff.push(this.#estate.timeline.schedule(afterMs, run, true));
  }

  #progress(entry: Entry, part: number): void {
    this.#update(entry, { progress: Math.round(part * 100) });
  }

  #finish(entry: Entry, { descriptionId, error }: NewTask): void {
    try {
      if (error) throw faultOf(error, descriptionId, entry.entity);
      const result = entry.work.run();
      this.#end(entry, { state: 'success', ...(result === undefined ? {} : { result }) });
    } catch (thrown) {
      this.#end(entry, { state: 'error', error: this.#errorOf(asVimFault(thrown), entry) });
    }
  }

  #errorOf(fault: VimFaultError, { entity }: Entry): NonNullable<TaskInfo['error']> {
    return localized(fault, entity) as NonNullable<TaskInfo['error']>;
  }

  #end(entry: Entry, more: Partial<TaskInfo>): void {
    for (const callOff of entry.callOff) callOff();
    entry.endedMs = this.#estate.timeline.now();
    this.#orphans.delete(entry);
    entry.work.ended?.();
    const { progress: _, ...rest } = entry.info;
    entry.info = { ...rest, ...more, cancelable: false, completeTime: this.#estate.now() };
    this.#estate.revision++;
    this.#onChange(entry.ref);
    this.#onChange(entry.entity);
  }

  #update(entry: Entry, more: Partial<TaskInfo>): void {
    entry.info = { ...entry.info, ...more };
    this.#onChange(entry.ref);
  }

  #forgetOld(): void {
    const before = this.#estate.timeline.now() - KEPT_MS;
    for (const [value, { endedMs }] of this.#entries) if (endedMs !== undefined && endedMs < before) this.#entries.delete(value);
  }
}
