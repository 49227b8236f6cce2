// The whole story on a simulated estate: protect, test, planned failover and back, a site that burns, its return. Every copy is compared byte for byte.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectLab } from '../../adapters/lab/client.ts';
import type { EstatePort, EstateStatus } from '../../adapters/lab/port.ts';
import { isDrError } from '../../core/contract/index.ts';
import type { Engine } from '../../core/engine.ts';
import type { FailoverResult } from '../../core/failover/failover.ts';
import type { TestResult } from '../../core/failover/test-failover.ts';
import { listItems } from '../../core/state/items.ts';
import { composeEngine } from '../container.ts';
import { bytesText, durationText } from '../output/text.ts';
import { Director } from './director.ts';
import { type DrillReport, isRight, judge, type Stage, sentOf } from './drill-report.ts';
import { buildEstate } from './estate.ts';
import { Notary } from './notary.ts';
import { OwnDisk } from './own-disk.ts';
import { findLab, labSecret, labSocket, startLab, stopLab } from './process.ts';
import { LAB_POLICY, type LabPlace, registerLab } from './register.ts';

export interface DrillOptions {
  readonly directory?: string | undefined;
  readonly seed: number;
  readonly machines: number;
  readonly diskPath?: string | undefined;
  readonly keep: boolean;
}

/** Hears how the drill goes. */
export interface Audience {
  /** A stage begins; what is shown of it until it is done may be overwritten. */
  begin(stage: string): void;
  update(text: string): void;
  done(stage: Stage): void;
  say(line: string): void;
}

const PLAN = 'everything';
const POINTS_BEFORE = 2;
const CLEAN_MS = 10_000;
const WRITE_ON_MS = 1_000;
/** Real servers take a minute to start: time for the survivor to isolate them before they do harm. */
const SLOW_BOOT_MS = 15_000;

export const runDrill = async (options: DrillOptions, audience: Audience, signal: AbortSignal): Promise<DrillReport> => {
  const directory = options.directory === undefined ? mkdtempSync(join(tmpdir(), 'warmsite-drill-')) : resolve(options.directory);
  const labDirectory = join(directory, 'lab');
  const started = Date.now();
  const ownDisk = options.diskPath === undefined ? undefined : OwnDisk.open(resolve(options.diskPath), join(directory, 'own'));
  try {
    const secret = labSecret(labDirectory);
    const spec = buildEstate({
      machines: options.machines,
      password: secret.password,
      ...(ownDisk ? { ownDiskBytes: ownDisk.sizeBytes } : {}),
    });
    const labPid = await startLab({ directory: labDirectory, seed: options.seed, spec });
    await using control = await connectLab(labSocket(labDirectory));
    const notary = new Notary(control);
    await using composed = await composeEngine({ home: join(directory, 'home'), env: {}, debug: false, ways: notary.ways });
    notary.watch(composed.engine.core);
    const drill = new Drill(composed.engine, control, notary, audience, signal, ownDisk);
    await drill.prepare(spec, { address: labSocket(labDirectory), secretPath: secret.path });
    await drill.story();
    return judge({
      ...drill.outcome(),
      tookMs: Date.now() - started,
      peakBytes: peakBytes(labPid),
      directory: options.keep || options.directory ? directory : undefined,
    });
  } finally {
    if (findLab(labDirectory) !== undefined) await stopLab(labDirectory);
    if (!options.keep && options.directory === undefined) rmSync(directory, { recursive: true, force: true });
  }
};

const peakBytes = (labPid: number): { engine: number; lab: number } => {
  const status = readFileSync(`/proc/${labPid}/status`, 'utf8');
  return { engine: process.resourceUsage().maxRSS * 1024, lab: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024 };
};

class Drill {
  readonly #engine: Engine;
  readonly #director: Director;
  readonly #lab: EstatePort;
  readonly #notary: Notary;
  readonly #audience: Audience;
  readonly #signal: AbortSignal;
  readonly #ownDisk: OwnDisk | undefined;
  readonly #stages: Stage[] = [];
  readonly #tests = new Map<string, TestResult['proofs'][keyof TestResult['proofs']]>();
  readonly #planned = new Map<string, { readonly lossMs: number; readonly rtoMs: number }>();
  readonly #failback = new Map<string, { readonly lossMs: number; readonly rtoMs: number }>();
  readonly #unplanned = new Map<string, { readonly lossMs: number; readonly rtoMs: number }>();
  #fenced: readonly string[] = [];
  #final: EstateStatus | undefined;
  #unexpected: readonly string[] = [];

  constructor(engine: Engine, lab: EstatePort, notary: Notary, audience: Audience, signal: AbortSignal, ownDisk: OwnDisk | undefined) {
    this.#engine = engine;
    this.#director = new Director(engine, audience.update, signal);
    this.#lab = lab;
    this.#notary = notary;
    this.#audience = audience;
    this.#signal = signal;
    this.#ownDisk = ownDisk;
  }

  outcome() {
    return {
      stages: this.#stages,
      sightings: this.#notary.sightings,
      points: [...this.#director.points.values()],
      worstLagMs: this.#director.worstLagMs,
      tests: this.#tests,
      planned: this.#planned,
      failback: this.#failback,
      unplanned: this.#unplanned,
      fenced: this.#fenced,
      violations: this.#final?.violations.length ?? 0,
      leftovers: this.#unexpected,
      ...(this.#ownDisk ? { ownDisk: this.#ownDisk.findings } : {}),
    };
  }

  async prepare(spec: ReturnType<typeof buildEstate>, place: LabPlace): Promise<void> {
    await this.#stage('estate', async () => {
      await this.#engine.start();
      await registerLab((operation, input) => this.#director.call(operation, input), spec, place);
      if (this.#ownDisk) this.#audience.say(await this.#ownDisk.load(this.#lab));
      const { machines } = await this.#director.call<{ machines: { sizeBytes: number; disks: number }[] }>('machine.list', {});
      const disks = machines.reduce((sum, machine) => sum + machine.disks, 0);
      const bytes = machines.reduce((sum, machine) => sum + machine.sizeBytes, 0);
      return `${machines.length} machines, ${disks} disks of ${bytesText(bytes)}; Hyper-V under VMM, vCenter, physical servers; guests are writing`;
    });
  }

  async story(): Promise<void> {
    await this.#protect();
    const between = await this.#replicate();
    await this.#test('newest', 'latest');
    await this.#test('older', between);
    await this.#moveAndReturn();
    await this.#burn();
    await this.#comeBack();
  }

  async #protect(): Promise<void> {
    const { machines } = await this.#director.call<{ machines: { name: string; labels: Record<string, string> }[] }>('machine.list', {});
    const groups = [...Map.groupBy(machines, (machine) => machine.labels['app'] ?? machine.name)];
    await this.#stage('protect', async () => {
      await Promise.all(
        groups.map(([group, members]) =>
          this.#director.job('protect', {
            machines: members.map(({ name }) => name),
            group,
            policy: LAB_POLICY,
            to: 'site-b',
            ...(group === 'ledger' || group === 'files' ? { target: 'kvm-b' } : {}),
          }),
        ),
      );
      await this.#director.gather();
      const sent = [...this.#director.points.values()].reduce((sum, point) => sum + sentOf(point), 0);
      return `${groups.map(([group, members]) => (members.length > 1 ? `group ${group} (${members.map(({ name }) => name).join(', ')})` : group)).join(', ')}: first copies of ${bytesText(sent)}`;
    });
    const names = groups.map(([group]) => group).sort((a, b) => Number(b === 'erp' || b === 'shop') - Number(a === 'erp' || a === 'shop'));
    await this.#director.call('plan.put', {
      name: PLAN,
      steps: [{ boot: names.slice(0, 2) }, ...(names.length > 2 ? [{ boot: names.slice(2) }] : [])],
    });
    this.#engine.startPlanner();
  }

  /** Resolves with a moment between two points of every machine: the older point that is tested. */
  async #replicate(): Promise<string> {
    let between = '';
    await this.#stage('replicate', async () => {
      await this.#director.morePoints(POINTS_BEFORE);
      between = new Date().toISOString();
      if (this.#ownDisk) this.#audience.say(await this.#ownDisk.change(this.#lab, 'first'));
      await this.#director.morePoints(POINTS_BEFORE);
      const worst = Math.max(0, ...this.#director.worstLagMs.values());
      return `${this.#director.points.size} recovery points; worst lag ${durationText(worst)}`;
    });
    return between;
  }

  async #test(which: 'newest' | 'older', point: string): Promise<void> {
    const stage = `test failover, ${which} point`;
    await this.#stage(stage, async () => {
      const job = await this.#director.job('failover.test', { target: PLAN, point });
      const names = await this.#director.names();
      const proofs = (job.result as TestResult).proofs;
      for (const [id, proof] of Object.entries(proofs)) if (which === 'newest') this.#tests.set(names.get(id) ?? id, proof);
      await this.#ownDisk?.compare(this.#lab, stage, which === 'newest');
      const slowest = Math.max(...Object.values(proofs).map((proof) => proof.rtoMs));
      return `${this.#identical(stage)}; all booted in ${durationText(slowest)}, in isolated networks`;
    });
    await this.#stage(`clean-up of the ${which} point`, async () => {
      await this.#director.job('failover.cleanup', { target: PLAN });
      return 'test machines and their networks are gone, replication never stopped';
    });
    await this.#director.gather();
  }

  async #moveAndReturn(): Promise<void> {
    await this.#stage('planned failover', async () => {
      const loss = await this.#failover('failover.planned', {}, this.#planned);
      await this.#ownDisk?.compare(this.#lab, 'planned failover', true);
      return `${this.#identical('planned failover')}, ${loss === 0 ? 'nothing lost' : `${durationText(loss)} lost`}`;
    });
    await this.#stage('commit, re-protect', async () => {
      await this.#director.job('failover.commit', { target: PLAN });
      await this.#director.until('every machine is protected towards site-a', async () =>
        (await this.#director.items()).every(
          (item) => item.protection === 'Protected' && item.direction === 'site-b -> site-a' && item.sync === 'Delta',
        ),
      );
      await this.#director.gather();
      const reverse = [...this.#director.points.values()].filter((point) => point.site === 'site-a');
      return `replicating from site-b to site-a; ${bytesText(reverse.reduce((sum, point) => sum + sentOf(point), 0))} of differences sent`;
    });
    if (this.#ownDisk) this.#audience.say(await this.#ownDisk.change(this.#lab, 'second'));
    await this.#stage('failback', async () => {
      const loss = await this.#failover('failback', {}, this.#failback);
      await this.#director.until('every machine is back and protected', async () =>
        (await this.#director.items()).every(
          (item) => item.protection === 'Protected' && item.direction === 'site-a -> site-b' && item.sync === 'Delta',
        ),
      );
      await this.#ownDisk?.compare(this.#lab, 'failback', true);
      return `${this.#identical('failback')}, ${loss === 0 ? 'nothing lost' : `${durationText(loss)} lost`}; protected towards site-b again`;
    });
  }

  async #burn(): Promise<void> {
    await this.#stage('replicate again', async () => {
      // Asked for, not waited for: a planner that was just in a failover's way may rest for a minute.
      for (let count = 0; count < POINTS_BEFORE; count++) await this.#director.job('sync.now', { target: PLAN });
      await this.#director.gather();
      return `${this.#director.points.size} recovery points in all`;
    });
    await this.#stage('site-a burns', async () => {
      // Guests write on after their last point: what they write now is what is lost.
      await sleep(WRITE_ON_MS, undefined, { signal: this.#signal });
      await this.#lab.call('lab.burnSite', { site: 'site-a' });
      return 'all its machines lost power, none of its endpoints answers';
    });
    await this.#stage('unplanned failover', async () => {
      await this.#failover('failover.unplanned', { sourceIs: 'unreachable' }, this.#unplanned);
      const slowest = Math.max(0, ...[...this.#unplanned.values()].map((member) => member.rtoMs));
      return `${this.#identical('unplanned failover')}; all booted in ${durationText(slowest)}`;
    });
  }

  async #comeBack(): Promise<void> {
    await this.#stage('site-a returns', async () => {
      const old = (await listItems(this.#engine.core.store.db)).map((item) => item.source.machine);
      for (const machine of old) await this.#lab.call('lab.setGuest', { machine, bootDelayMs: SLOW_BOOT_MS });
      await this.#lab.call('lab.restoreSite', { site: 'site-a' });
      // Somebody there finds the machines off and starts them, knowing nothing of the failover.
      for (const machine of old) await this.#lab.call('lab.power', { machine, to: 'on' });
      await this.#director.until('every old source is isolated', async () => {
        await this.#director.call('sweep', {});
        const events = await this.#director.call<{ kind: string; subject: string }[]>('event.list', { limit: 10_000 });
        this.#fenced = [...new Set(events.filter((event) => event.kind === 'fence.isolated').map((event) => event.subject))];
        return this.#fenced.length >= old.length;
      });
      return `somebody starts its machines; all ${this.#fenced.length} are isolated and off before they are up`;
    });
    await this.#stage('commit', async () => {
      await this.#director.job('failover.commit', { target: PLAN, reprotect: false });
      // A cycle that the fire interrupted may end, and leave its snapshots, a little later.
      await this.#director
        .until('nothing is left behind', () => this.#isClean(), CLEAN_MS)
        .catch((error: unknown) => {
          if (!isDrError(error, 'TIMED_OUT')) throw error;
        });
      return this.#unexpected.length === 0 ? 'nothing is left behind' : `left behind: ${this.#unexpected.join(', ')}`;
    });
  }

  /** After a clean-up no installation has anything at an endpoint but the replicas that it still keeps. */
  async #isClean(): Promise<boolean> {
    await this.#director.call('sweep', {});
    this.#final = await this.#lab.call('lab.status', {});
    const items = await listItems(this.#engine.core.store.db);
    const kept = new Set<string | undefined>(items.flatMap((item) => [item.source.machine, item.replica?.machine, item.fork?.machine]));
    this.#unexpected = this.#final.leftovers
      .filter((left) => left.kind !== 'replica' || !kept.has(left.id))
      .map((left) => `${left.kind} ${left.id}`);
    return this.#unexpected.length === 0;
  }

  /** The longest loss that the engine states, in milliseconds. */
  async #failover(operation: string, more: object, into: Map<string, { lossMs: number; rtoMs: number }>): Promise<number> {
    const job = await this.#director.job(operation, { target: PLAN, ...more });
    const names = await this.#director.names();
    for (const [id, { lossMs, rtoMs }] of Object.entries((job.result as FailoverResult).members))
      into.set(names.get(id) ?? id, { lossMs, rtoMs });
    await this.#director.gather();
    return Math.max(0, ...[...into.values()].map((member) => member.lossMs));
  }

  #identical(stage: string): string {
    const seen = this.#notary.sightings.filter((sighting) => sighting.stage === stage);
    return `${seen.filter((sighting) => sighting.asRecorded && sighting.consistent).length} of ${seen.length} identical`;
  }

  async #stage(name: string, work: () => Promise<string>): Promise<void> {
    this.#signal.throwIfAborted();
    this.#notary.stage = name;
    this.#audience.begin(name);
    const started = Date.now();
    const seen = await work().catch((error: unknown) => {
      for (const { machine, point } of this.#notary.sightings.filter((sighting) => sighting.stage === name && !isRight(sighting)))
        this.#audience.say(`DIFFERS  ${machine}, point ${point}`);
      throw error;
    });
    const stage = { name, seen, tookMs: Date.now() - started };
    this.#stages.push(stage);
    this.#audience.done(stage);
  }
}
