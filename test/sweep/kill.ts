// Kills the program at random moments of the main job while the lab lives on, then asks for the next command and holds the home to the rules.
import { setTimeout as sleep } from 'node:timers/promises';
import { connectLab } from '../../adapters/lab/client.ts';
import { demoEstate } from '../../adapters/lab/demo-estate.ts';
import type { EstatePort } from '../../adapters/lab/port.ts';
import { labSocket, startLab } from '../../cli/lab/process.ts';
import type { ItemView, StatusView } from '../../core/engine/status.ts';
import { ENDED, type JobRecord } from '../../core/flow/flow.ts';
import { type Ended, LabSession, type Started } from '../support/lab-process.ts';
import { seededRandom } from '../support/runtime.ts';
import { brokenAtRest } from './kill-checks.ts';
import { GROUP, LAB_UP_MS, MACHINES, STORY, type Step, wayOn } from './kill-script.ts';

const DISK_BYTES = 2 ** 20;
const WRITES_PER_SECOND = 20;
/** What the product promises: within this time a command goes on or says what to do. */
const ANSWER_WITHIN_MS = 2_000;
/** What the least command takes on a machine that has nothing else to do, generously. */
const VERSION_MS = 120;
const STOP_WITHIN_MS = 10_000;
const WAYS_TRIED = 5;

export interface Point {
  readonly seed: number;
  readonly number: number;
  readonly step: string;
  /** `alone`: the command is the engine; `serve`: it asks a running one, which is killed. */
  readonly engine: 'alone' | 'serve';
  readonly next: 'again' | 'look' | 'serve';
  readonly killedAtMs: number;
  answeredInMs: number;
  /** A job was under way when the kill came, and went on. */
  resumed: boolean;
  readonly problems: string[];
}

export interface Watcher {
  /** False ends the sweep. */
  wanted(): boolean;
  seen(point: Point): void;
}

/** Runs the story once in a home of its own, with a kill in every command; ends early after a broken point. */
export const sweepStory = async (seed: number, watcher: Watcher): Promise<void> => {
  await using session = new LabSession();
  await startLab({ directory: session.lab, seed, spec: demoEstate({ diskBytes: DISK_BYTES, writesPerSecond: WRITES_PER_SECOND }) });
  const started = performance.now();
  const up = await session.run('lab', 'up');
  const pace = (performance.now() - started) / LAB_UP_MS;
  if (up.code !== 0) throw new Error(`the lab is not up: ${up.err}`);
  await using lab = await connectLab(labSocket(session.lab));
  await new Story({ session, lab, seed, pace }, watcher).run();
};

class Story {
  readonly #session: LabSession;
  readonly #lab: EstatePort;
  readonly #seed: number;
  /** How much slower than usual everything is on this machine now. */
  readonly #pace: number;
  readonly #watcher: Watcher;
  readonly #random: () => number;
  #count = 0;

  constructor(at: { session: LabSession; lab: EstatePort; seed: number; pace: number }, watcher: Watcher) {
    this.#session = at.session;
    this.#lab = at.lab;
    this.#seed = at.seed;
    this.#pace = at.pace;
    this.#watcher = watcher;
    this.#random = seededRandom(at.seed);
  }

  async run(): Promise<void> {
    for (const step of STORY) {
      if (!this.#watcher.wanted()) return;
      await step.before?.(this.#lab);
      const point = await this.#killDuring(step);
      if (!point) continue;
      this.#watcher.seen(point);
      if (point.problems.length > 0) return;
    }
  }

  /** Undefined when the command was faster than the kill: then there was none. */
  async #killDuring(step: Step): Promise<Point | undefined> {
    const engine = this.#random() < 0.3 ? 'serve' : 'alone';
    const next = (['again', 'look', 'serve'] as const)[Math.floor(this.#random() * 3)] ?? 'again';
    const killedAtMs = Math.round(this.#random() * step.expectedMs * this.#pace);
    const point: Point = {
      seed: this.#seed,
      number: ++this.#count,
      step: step.name,
      engine,
      next,
      killedAtMs,
      answeredInMs: 0,
      resumed: false,
      problems: [],
    };
    try {
      const hit = engine === 'serve' ? await this.#killServer(step, point) : await this.#killAlone(step, point);
      if (!hit) {
        await this.#reach(step, true);
        return undefined;
      }
      await this.#goOn(step, point);
      await this.#reach(step, false);
      point.problems.push(...(await brokenAtRest(this.#session.home, this.#lab)));
      await this.#verify(point);
    } catch (error) {
      point.problems.push(error instanceof Error ? error.message : String(error));
    }
    if (point.problems.length > 0) point.problems.push(...(await this.#evidence()));
    return point;
  }

  async #killAlone(step: Step, point: Point): Promise<boolean> {
    const command = this.#session.start(...step.command(GROUP));
    const first = await Promise.race([command.ended, sleep(point.killedAtMs, undefined)]);
    if (first) {
      this.#expectSaid(step.command(GROUP), first);
      return false;
    }
    command.kill('SIGKILL');
    return (await command.ended).code === null;
  }

  async #killServer(step: Step, point: Point): Promise<boolean> {
    const server = this.#session.start('serve');
    await server.said('ready: engine of');
    const command = this.#session.start(...step.command(GROUP), '--wait');
    const first = await Promise.race([command.ended, sleep(point.killedAtMs, undefined)]);
    server.kill('SIGKILL');
    await server.ended;
    if (first) {
      this.#expectSaid(step.command(GROUP), first);
      return true;
    }
    // It may come too late to have asked the engine that is gone: then it is the engine itself.
    const heard = Promise.race([command.ended, said(command, ' started'), said(command, 'resuming ')]);
    await within(heard, await this.#limitMs(), 'the command whose engine was killed says nothing');
    this.#expectSaid(step.command(GROUP), await command.ended);
    return true;
  }

  /** A machine that is busy with something else is slower at everything, and by fits: the slowest of some least commands tells how much. */
  async #limitMs(): Promise<number> {
    let slowestMs = VERSION_MS;
    for (let time = 0; time < 3; time++) {
      const started = performance.now();
      await this.#session.run('--version');
      slowestMs = Math.max(slowestMs, performance.now() - started);
    }
    return (ANSWER_WITHIN_MS * slowestMs) / VERSION_MS;
  }

  /** The next command after the kill answers in time, and what was interrupted goes on. */
  async #goOn(step: Step, point: Point): Promise<void> {
    const started = performance.now();
    const answered = async () => {
      point.answeredInMs = Math.round(performance.now() - started);
      if (point.answeredInMs > ANSWER_WITHIN_MS && point.answeredInMs > (await this.#limitMs()))
        point.problems.push(`the next command answered after ${point.answeredInMs} ms`);
    };
    if (point.next === 'look') {
      const status = await this.#status();
      await answered();
      const standing = status.jobs.filter((job) => !(ENDED as readonly string[]).includes(job.state));
      point.resumed = standing.length > 0;
      const running = standing.filter((job) => job.state !== 'Interrupted' && job.state !== 'Waiting');
      if (running.length > 0) point.problems.push(`nobody works on ${running.map((job) => `${job.id}, which is ${job.state}`).join(', ')}`);
    } else if (point.next === 'serve') {
      const server = this.#session.start('serve');
      await Promise.race([server.said('resuming job'), server.said('ready: engine of')]);
      await answered();
      await this.#throughServer(server);
      point.resumed = (await server.ended).err.includes('resuming job');
    } else {
      const command = step.command(GROUP);
      const again = this.#session.start(...command);
      await Promise.race([said(again, 'resuming '), said(again, ' started'), again.ended]);
      await answered();
      const ended = await again.ended;
      point.resumed = ended.err.includes('resuming ');
      this.#expectSaid(command, ended);
    }
  }

  /** Jobs that the engine has taken up go to their end, then it stops in order. */
  async #throughServer(server: Started): Promise<void> {
    await server.said('ready: engine of');
    for (const job of await this.#jobs()) {
      if (ENDED.includes(job.state)) continue;
      const watched = await this.#session.run('job', 'watch', job.id);
      this.#expectSaid(['job', 'watch', job.id], watched);
    }
    server.kill('SIGTERM');
    const { code, err } = await within(server.ended, STOP_WITHIN_MS, 'serve does not stop');
    if (code !== 0) throw new Error(`serve ended with ${code}: ${err}`);
  }

  /** Brings every machine to where the step leads, by the ways that a person has. */
  async #reach(step: Step, ranAlready: boolean): Promise<void> {
    let ran = ranAlready;
    const said: string[] = [];
    for (let tried = 0; tried < WAYS_TRIED; tried++) {
      const { items, jobs } = await this.#status();
      const open = items.filter((item) => !step.done(item));
      const reached = step.last ? items.length === 0 : items.length === MACHINES.length && open.length === 0 && (ran || !step.again);
      if (reached && jobs.every((job) => (ENDED as readonly string[]).includes(job.state))) return;
      const commands = waysOn(step, items, open);
      let succeeded = true;
      for (const command of commands) {
        const ended = await this.#session.run(...command);
        this.#expectSaid(command, ended);
        succeeded &&= ended.code === 0;
        said.push(`${command.join(' ')}: ${ended.code} ${ended.err.trim()}`);
      }
      ran = succeeded;
    }
    const { items } = await this.#status();
    throw new Error(`no way on to the end of ${step.name} from ${items.map(stateText).join('; ')}\n    ${said.join('\n    ')}`);
  }

  async #verify(point: Point): Promise<void> {
    const { items } = await this.#status();
    if (items.length === 0) return;
    const verified = await this.#session.run('point', 'verify', GROUP);
    if (verified.code !== 0) point.problems.push(`point verify: ${verified.out}${verified.err}`);
  }

  /** Every end but success says what to do next. */
  #expectSaid(command: readonly string[], ended: Ended): void {
    if (ended.code === 0) return;
    if (ended.code === null || (!/^ {2}next: \S/m.test(ended.err) && !/what failed: warmsite job show/.test(ended.out)))
      throw new Error(`${command.join(' ')} ended with ${ended.code} and does not say what to do: ${ended.out}${ended.err}`);
    if (/INTERNAL|CONTRACT_VIOLATED|JOURNAL_CORRUPT/.test(ended.err)) throw new Error(`${command.join(' ')}: ${ended.err}`);
  }

  async #status(): Promise<StatusView> {
    const ended = await this.#session.run('status', '-o', 'json');
    if (ended.code !== 0) throw new Error(`status ended with ${ended.code}: ${ended.err}`);
    return (JSON.parse(ended.out) as { data: StatusView }).data;
  }

  async #jobs(): Promise<JobRecord[]> {
    return (await this.#session.json<{ items: JobRecord[] }>('job', 'list')).items;
  }

  /** The last jobs, for whoever has to find out why. */
  async #evidence(): Promise<string[]> {
    const [last] = await this.#jobs().catch((): JobRecord[] => []);
    if (!last) return ['there was no job'];
    const { out } = await this.#session.run('job', 'show', last.id);
    const lines = out.trim().split('\n');
    return [`the last job: ${lines.filter((line) => !/^ {2}done /.test(line)).join('\n  ')}`];
  }
}

const stateText = (item: ItemView): string =>
  `${item.name} ${item.protection}${item.phase ? ` (${item.phase})` : ''}, ${item.direction}, test ${item.test}, sync ${item.sync}${item.syncReason ? `: ${item.syncReason}` : ''}`;

/** One command for the group when its machines stand alike, else one for each that is not there yet. When all are there, any command lets an interrupted job go on. */
const waysOn = (step: Step, items: readonly ItemView[], open: readonly ItemView[]): (readonly string[])[] => {
  const alike = new Set(open.map((item) => item.protection)).size <= 1 && open.length === items.length;
  const missing = MACHINES.filter((name) => !items.some((item) => item.name === name));
  if (items.length === 0 || open.length === 0) return [step.command(GROUP)];
  if (alike && missing.length === 0 && open[0]) return [wayOn(step, { ...open[0], name: GROUP })];
  return [...open.map((item) => wayOn(step, item)), ...(step.last ? [] : missing.map((name) => step.command(name)))];
};

const said = (started: Started, text: string): Promise<void> => started.said(text).catch(() => undefined);

const within = async <T>(work: Promise<T>, ms: number, otherwise: string): Promise<T> => {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).then(() => Promise.reject(new Error(`${otherwise} within ${ms} ms`)));
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
    late.catch(() => undefined);
  }
};

export interface KillSweep {
  readonly points: number;
  readonly broken: number;
  readonly resumed: number;
  readonly slowestAnswerMs: number;
}

/** `workers` stories at a time, until there were so many points. Story n of a sweep has the seed plus n. */
export const sweepKills = async (options: {
  readonly points: number;
  readonly seed: number;
  readonly workers: number;
  readonly say: (line: string) => void;
  /** Ends the sweep after the command that is under way, so that nothing is left running. */
  readonly signal: AbortSignal;
}): Promise<KillSweep> => {
  const found: Point[] = [];
  let story = options.seed;
  const watcher: Watcher = {
    wanted: () => found.length < options.points && !options.signal.aborted,
    seen: (point) => {
      // Whoever ended the sweep may have ended its commands too.
      if (options.signal.aborted) return;
      found.push(point);
      if (point.problems.length > 0) options.say(brokenText(point));
    },
  };
  const work = async () => {
    while (watcher.wanted()) await sweepStory(story++, watcher);
  };
  await Promise.all(Array.from({ length: options.workers }, work));
  return {
    points: found.length,
    broken: found.filter((point) => point.problems.length > 0).length,
    resumed: found.filter((point) => point.resumed).length,
    slowestAnswerMs: Math.max(0, ...found.map((point) => point.answeredInMs)),
  };
};

const brokenText = ({ seed, number, step, engine, killedAtMs, next, problems }: Point): string =>
  `BROKEN --seed ${seed}, command ${number}: ${step} (${engine === 'alone' ? 'by itself' : 'through serve'}) killed after ${killedAtMs} ms, then ${next}\n  ${problems.join('\n  ')}`;
