// Drives the engine of the drill: operations, jobs to their end, waiting, and what is measured on the way.
import { setTimeout as sleep } from 'node:timers/promises';
import { DrError } from '../../core/contract/index.ts';
import type { StatusView } from '../../core/engine/status.ts';
import type { Engine, JobRecord } from '../../core/engine.ts';
import type { PointRecord } from '../../core/state/points.ts';
import { durationText } from '../output/text.ts';

export type MachinePoint = PointRecord & { readonly machine: string };

const POLL_MS = 100;
const WAIT_MS = 60_000;

export class Director {
  readonly #engine: Engine;
  readonly #signal: AbortSignal;
  readonly #update: (text: string) => void;
  /** Every point that was ever seen, by id: their journals end with a commit. */
  readonly points = new Map<string, MachinePoint>();
  readonly worstLagMs = new Map<string, number>();

  constructor(engine: Engine, update: (text: string) => void, signal: AbortSignal) {
    this.#engine = engine;
    this.#update = update;
    this.#signal = signal;
  }

  async call<T>(operation: string, input: unknown): Promise<T> {
    return (await this.#engine.call(operation, input, { actor: 'drill', signal: this.#signal })) as T;
  }

  async job(operation: string, input: object): Promise<JobRecord> {
    const { job: id } = await this.call<{ job: string }>(operation, input);
    const ended = this.#engine.settled(id);
    let over = false;
    void ended.finally(() => {
      over = true;
    });
    while (!over) {
      await Promise.race([ended, sleep(POLL_MS, undefined, { signal: this.#signal })]);
      const { progress } = await this.call<JobRecord>('job.show', { id });
      if (progress) this.#update(progress.text);
    }
    const job = await ended;
    if (job.state === 'Succeeded') return job;
    const { steps } = await this.call<{ steps: { name: string; error?: { code: string; message: string } }[] }>('job.show', { id });
    const why = steps.flatMap((step) => (step.error ? [`${step.name}: ${step.error.code} ${step.error.message}`] : []));
    throw new DrError(
      'CHECK_FAILED',
      `${operation} of ${job.target} ended as ${job.state}: ${job.error?.message ?? (why.join('; ') || 'a member failed')}`,
      {
        ...(job.error ? { hint: job.error.hint } : {}),
        context: { job: id },
      },
    );
  }

  async items(): Promise<StatusView['items']> {
    return (await this.call<StatusView>('status', {})).items;
  }

  async names(): Promise<ReadonlyMap<string, string>> {
    return new Map((await this.items()).map((item) => [item.id, item.name]));
  }

  /** Every machine gets so many new points; meanwhile lag is measured. */
  async morePoints(count: number): Promise<void> {
    await this.gather();
    const before = this.#countByMachine();
    await this.until(`${count} new points of every machine`, async () => {
      for (const item of await this.items())
        this.worstLagMs.set(item.name, Math.max(this.worstLagMs.get(item.name) ?? 0, item.lag.ms ?? 0));
      await this.gather();
      const now = this.#countByMachine();
      this.#update(`${this.points.size} recovery points`);
      return (await this.items()).every((item) => (now.get(item.name) ?? 0) >= (before.get(item.name) ?? 0) + count);
    });
  }

  #countByMachine(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { machine } of this.points.values()) counts.set(machine, (counts.get(machine) ?? 0) + 1);
    return counts;
  }

  /** Points are pruned and their journals end with a commit: what is measured of them is kept here. */
  async gather(): Promise<void> {
    for (const item of await this.items())
      for (const point of await this.call<(PointRecord & { machine: string })[]>('point.list', { target: item.id }).catch(() => []))
        this.points.set(point.id, point);
  }

  async until(what: string, holds: () => Promise<boolean>, withinMs = WAIT_MS): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!(await holds())) {
      if (Date.now() > deadline)
        throw new DrError('TIMED_OUT', `after ${durationText(withinMs)} it does not hold yet: ${what}`, {
          hint: 'run the drill again with --keep and look at its home',
        });
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
  }
}
