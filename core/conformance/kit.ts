// Runs cases one after the other on one session, cleans up after each, and says what was left.
import { AssertionError } from 'node:assert';
import { DrError, type HostContext, type Log, type Machine, type MachineId, type Session } from '../contract/index.ts';
import { type Case, type Ground, LEVELS, type Level, missingNeed } from './case.ts';
import { CASES } from './cases.ts';
import { Context, Skip } from './context.ts';
import { collect, describeError, refusal } from './probe.ts';
import { Recorder } from './recorder.ts';
import { DEFAULT_SCALE, type Scale, type Subject } from './subject.ts';

export interface Selection {
  readonly levels?: readonly Level[];
  /** Ids, or beginnings of ids: 'CHG' means every case of change tracking. */
  readonly only?: readonly string[];
}

interface Ran {
  readonly id: string;
  readonly level: Level;
  readonly title: string;
  readonly promise: string;
  readonly durationMs: number;
}

export type CaseResult =
  | (Ran & { readonly outcome: 'passed' })
  | (Ran & { readonly outcome: 'skipped'; readonly reason: string })
  | (Ran & {
      readonly outcome: 'failed';
      readonly seen: string;
      readonly likelyCause: string;
      /** `file:line` in the plugin, when an error came from there. */
      readonly at?: string;
      /** The plugin's last calls before the failure, oldest first. */
      readonly calls: readonly string[];
    });

export interface Report {
  readonly plugin: string;
  readonly results: readonly CaseResult[];
  /** What the kit could not remove; empty when nothing is left behind. */
  readonly leftBehind: readonly string[];
  readonly durationMs: number;
  /** No case failed and nothing is left behind. A skipped case proves nothing, but does not fail. */
  readonly passed: boolean;
}

export const selectCases = ({ levels = LEVELS, only }: Selection = {}): Case[] =>
  CASES.filter((one) => levels.includes(one.level) && (!only || only.some((prefix) => one.id.startsWith(prefix))));

export const runConformance = async (subject: Subject, selection: Selection = {}): Promise<Report> => {
  const started = performance.now();
  const run = new ConformanceRun(subject);
  const results: CaseResult[] = [];
  for (const one of selectCases(selection)) results.push(await run.case(one));
  const leftBehind = await run.finish();
  return {
    plugin: subject.plugin.manifest.id,
    results,
    leftBehind,
    durationMs: performance.now() - started,
    passed: leftBehind.length === 0 && results.every((result) => result.outcome !== 'failed'),
  };
};

/** One run: cases in any order, then `finish`, which closes the session and must be called. */
export class ConformanceRun {
  readonly #subject: Subject;
  readonly #scale: Scale;
  readonly #host: HostContext;
  readonly #recorder: Recorder;
  readonly #log: Log;
  readonly #runId = crypto.randomUUID().slice(0, 8);
  #session: Session | undefined;
  #machines: readonly Machine[] = [];
  #openFailed: string | undefined;
  #cut = false;
  /** Left by an earlier case: it is reported once, not by every case after. */
  readonly #known = new Set<string>();

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#scale = { ...DEFAULT_SCALE, ...subject.scale };
    this.#host = { ownerId: 'warmsite-conformance', scratchDir: '.', ...subject.host };
    this.#recorder = new Recorder(subject.lab, secretsOf(subject));
    const line = (message: string, fields?: object) => this.#recorder.inspectText('the log', `${message} ${JSON.stringify(fields ?? {})}`);
    this.#log = { debug: line, info: line, warn: line };
  }

  async case(one: Case): Promise<CaseResult> {
    const started = performance.now();
    const ran = () => ({ id: one.id, level: one.level, title: one.title, promise: one.promise, durationMs: performance.now() - started });
    const failed = { outcome: 'failed', likelyCause: one.cause } as const;
    let context: Context | undefined;
    try {
      const ground = await this.#ground(one.level);
      const missing = missingNeed(one.needs, ground);
      if (missing !== undefined) return { ...ran(), outcome: 'skipped', reason: missing };
      this.#recorder.takeCalls();
      this.#recorder.takeComplaints();
      await this.#limited((signal) => {
        context = this.#context(one.id, signal);
        return one.run(context);
      });
      const calls = this.#recorder.takeCalls();
      const problems = [...this.#recorder.takeComplaints(), ...(await this.#clean(context))];
      if (problems.length === 0) return { ...ran(), outcome: 'passed' };
      return { ...ran(), ...failed, seen: [...new Set(problems)].join('; '), calls };
    } catch (error) {
      const calls = this.#recorder.takeCalls();
      const left = await this.#clean(context);
      if (error instanceof Skip) return { ...ran(), outcome: 'skipped', reason: error.message };
      const broken = error instanceof AssertionError;
      const at = broken ? undefined : originOf(error);
      const seen = [broken ? firstLine(error.message) : unexpected(error, calls), ...left].join('; ');
      return { ...ran(), ...failed, seen, ...(at && { at }), calls };
    }
  }

  /** Closes the session. Returns what is still there under our owner's id. */
  async finish(): Promise<string[]> {
    const left = this.#session || this.#subject.lab ? await this.#askLeft() : [];
    await refusal(() => this.#session?.[Symbol.asyncDispose]());
    this.#session = undefined;
    return left;
  }

  #context(name: string, signal: AbortSignal): Context {
    return new Context({
      subject: this.#subject,
      scale: this.#scale,
      host: this.#host,
      recorder: this.#recorder,
      log: this.#log,
      name: `${this.#runId}/${name}`,
      signal,
      onCut: () => {
        this.#cut = true;
      },
      ...(this.#session && { session: this.#session }),
    });
  }

  /** Past the time of a case its calls are aborted, and what still hangs is left alone. */
  async #limited<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { caseTimeoutMs } = this.#scale;
    const limit = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new AssertionError({ message: `did not end within ${caseTimeoutMs} ms, waiting for ${this.#recorder.lastCall}` }));
      }, caseTimeoutMs);
    });
    this.#recorder.begin(limit.signal);
    try {
      return await Promise.race([run(limit.signal), late]);
    } finally {
      clearTimeout(timer);
      limit.abort(new DrError('ABORTED', 'the case has ended'));
    }
  }

  /** Level 0 needs no endpoint. A session that cannot be opened fails the first case and skips the others. */
  async #ground(level: Level): Promise<Ground> {
    if (level === 0) return { subject: this.#subject, machines: [] };
    if (this.#openFailed !== undefined) throw new Skip(`no session could be opened: ${this.#openFailed}`);
    if (!this.#session) {
      try {
        await this.#limited(() => this.#open());
      } catch (error) {
        this.#openFailed = describeError(error);
        throw error;
      }
    }
    return { subject: this.#subject, machines: this.#machines, ...(this.#session && { session: this.#session }) };
  }

  async #open(): Promise<void> {
    const { plugin, config, scratch } = this.#subject;
    const context = this.#context('open', new AbortController().signal);
    const opened = await this.#recorder.drive(plugin.connect(config, this.#host, context.call()));
    const session = this.#recorder.wrap(opened);
    this.#session = session;
    this.#machines = await Promise.all((scratch?.machines ?? []).map((id) => session.inventory.getMachine(id, context.call())));
    await this.#sweep();
  }

  async #reopen(): Promise<void> {
    this.#cut = false;
    const { plugin, config } = this.#subject;
    const old = this.#session;
    const context = this.#context('open', new AbortController().signal);
    this.#session = this.#recorder.wrap(await this.#recorder.drive(plugin.connect(config, this.#host, context.call())));
    await refusal(() => old?.[Symbol.asyncDispose]());
  }

  /** What an earlier run, killed, has left under our owner's id. */
  async #sweep(): Promise<void> {
    const context = this.#context('sweep', new AbortController().signal);
    const { source, target } = context.session;
    if (source?.kind === 'snapshot') {
      for (const { id } of await collect(source.listSnapshots(context.call())))
        await source.releaseSnapshot(id, 'abandoned', context.call());
    }
    for (const { id } of target?.forks ? await collect(target.forks.list(context.call())) : []) {
      await target!.forks!.discard(id, await context.fenced());
    }
    for (const line of await this.#left()) this.#known.add(line);
  }

  /** Removes what the case has made. Returns what could not be removed, or is there although it was. */
  async #clean(context: Context | undefined): Promise<string[]> {
    const problems: string[] = [];
    if (!context) return problems;
    const attempt: Attempt = async (what, run) => {
      const error = await refusal(run);
      if (error !== undefined) problems.push(`${what} could not be removed: ${describeError(error)}`);
    };
    const { made } = this.#recorder;
    await attempt('what the case made', () => this.#limited(() => this.#removeAll(context, attempt)));
    for (const kind of [made.snapshots, made.forks, made.replicas, made.promoted, made.testNetworks, made.handles]) kind.clear();
    if (!this.#session) return problems;
    const left = (await this.#askLeft()).filter((line) => !this.#known.has(line));
    for (const line of left) this.#known.add(line);
    return [...problems, ...left.map((line) => `left behind: ${line}`)];
  }

  async #removeAll(context: Context, attempt: Attempt): Promise<void> {
    for (const handle of [...this.#recorder.made.handles].reverse()) await refusal(() => handle[Symbol.asyncDispose]());
    await context.close();
    if (this.#cut) await attempt('the shared session', () => this.#reopen());
    if (this.#session) await this.#removeMade(attempt);
  }

  async #removeMade(attempt: Attempt): Promise<void> {
    const { made } = this.#recorder;
    const context = this.#context('clean', new AbortController().signal);
    const { source, target, network } = context.session;
    for (const id of made.forks) {
      await attempt(`fork ${id}`, async () => target?.forks?.discard(id, await context.fenced(undefined, CLEANING)));
    }
    for (const id of made.promoted) await attempt(`promoted machine ${id}`, () => removePromoted(context, id));
    for (const id of made.replicas) await attempt(`replica ${id}`, () => removeReplica(context, id));
    for (const id of made.snapshots) {
      if (source?.kind === 'snapshot')
        await attempt(`snapshot ${id}`, () => source.releaseSnapshot(id, 'abandoned', context.call(CLEANING)));
    }
    for (const id of made.testNetworks) {
      await attempt(`test network ${id}`, async () => network?.deleteTestNetwork(id, context.call(CLEANING)));
    }
  }

  /** A case may have taken the connection of the shared session with it. */
  async #askLeft(): Promise<string[]> {
    try {
      return await this.#limited(() => this.#left());
    } catch {
      try {
        await this.#limited(() => this.#reopen());
        return await this.#limited(() => this.#left());
      } catch (error) {
        return [`unknown: the plugin cannot be asked (${describeError(error)})`];
      }
    }
  }

  /** Asked of the plugin, and past it where there is a lab. */
  async #left(): Promise<string[]> {
    const lines = (await this.#subject.lab?.leftovers(this.#host.ownerId)) ?? [];
    if (!this.#session || lines.length > 0) return [...lines];
    const context = this.#context('left', new AbortController().signal);
    const { source, target } = this.#session;
    const snapshots = source?.kind === 'snapshot' ? await collect(source.listSnapshots(context.call())) : [];
    const forks = target?.forks ? await collect(target.forks.list(context.call())) : [];
    return [...snapshots.map(({ id }) => `snapshot ${id}`), ...forks.map(({ id }) => `fork ${id}`)];
  }
}

type Attempt = (what: string, run: () => PromiseLike<unknown>) => Promise<void>;

const CLEANING = { deadlineMs: 300_000 };

const removeReplica = async (context: Context, id: MachineId): Promise<void> => {
  const { power, target, capabilities, inventory } = context.session;
  const found = await inventory.getMachine(id, context.call()).catch(() => undefined);
  const call = await context.fenced(found?.id, CLEANING);
  if (found?.power === 'on' && capabilities.power.includes('off')) await power?.set(id, 'off', call);
  await target?.deleteReplica?.(id, call);
};

/** A promoted machine is nobody's replica any more: it is adopted to be deleted. */
const removePromoted = async (context: Context, id: MachineId): Promise<void> => {
  const { power, target, capabilities, inventory } = context.session;
  const machine = await inventory.getMachine(id, context.call());
  if (machine.power === 'on' && capabilities.power.includes('off')) await power?.set(id, 'off', await context.fenced(id, CLEANING));
  await target?.adoptReplica(id, machine.spec, await context.fenced(id, CLEANING));
  await target?.deleteReplica?.(id, await context.fenced(id, CLEANING));
};

const secretsOf = ({ plugin, config }: Subject): string[] =>
  plugin.manifest.config.flatMap((field) => {
    const value = field.type === 'secret' ? config[field.name] : undefined;
    return typeof value === 'string' && value !== '' ? [value] : [];
  });

/** The rest is the comparison that the runtime adds. */
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

const unexpected = (error: unknown, calls: readonly string[]): string => {
  const hint = error instanceof DrError ? ` (hint: ${error.hint})` : '';
  return `${calls.at(-1) ?? 'connect'} failed with ${describeError(error)}${hint}`;
};

const OURS = ['/conformance/', '/contract/'].map((folder) => import.meta.dirname.replace(/[\\/]conformance$/, folder));

/** The innermost frame that is neither of the kit nor of the runtime. */
const originOf = (error: unknown): string | undefined => {
  const frames = error instanceof Error ? (error.stack ?? '').split('\n') : [];
  for (const frame of frames) {
    const place = /\(?((?:file:\/\/)?\/[^()]+:\d+):\d+\)?$/.exec(frame.trim())?.[1];
    if (place && !OURS.some((folder) => place.includes(folder))) return place.replace('file://', '');
  }
  return undefined;
};
