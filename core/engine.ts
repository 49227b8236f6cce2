// The engine of one home: operations and queries, typed and checked. What CLI, API and tests call.
import { DrError, isDrError } from './contract/index.ts';
import { Housekeeping } from './engine/housekeeping.ts';
import type { Caller, Operation, Workbench } from './engine/operation.ts';
import { endpointOperations } from './engine/operations-endpoint.ts';
import { recoverOperations } from './engine/operations-recover.ts';
import { ruleOperations } from './engine/operations-rule.ts';
import { setupOperations } from './engine/operations-setup.ts';
import { watchOperations } from './engine/operations-watch.ts';
import { Rules } from './engine/rules.ts';
import { SiteConfigs } from './engine/site-config.ts';
import { createCancel, createChangePoint, createCommit } from './failover/after.ts';
import { createFailback, createRelease, createUnprotect } from './failover/ends.ts';
import { createFailover } from './failover/failover.ts';
import { createProtect } from './failover/protect.ts';
import { createResync, createSyncNow, createVerify } from './failover/replication-verbs.ts';
import { createReprotect } from './failover/reprotect.ts';
import { createResolve } from './failover/resolve.ts';
import { createCleanup, createTest } from './failover/test-failover.ts';
import type { JobRecord, Jobs } from './flow/flow.ts';
import { createStepJournal } from './flow/step-journal.ts';
import { createHost } from './host/host.ts';
import type { Registry } from './host/registry.ts';
import type { ResolveSecret } from './host/secrets.ts';
import type { Files } from './ports/files.ts';
import type { Runtime } from './ports/runtime.ts';
import type { Core } from './replication/core.ts';
import { FreeSpace } from './replication/limits.ts';
import { Locks } from './replication/locks.ts';
import { Planner } from './replication/planner.ts';
import { reconcilePoints, releaseCycles, settleCycles, sweepOrphans } from './replication/reconcile.ts';
import { createSiteJournals } from './replication/site-journals.ts';
import type { Store } from './state/database.ts';
import { getMeta, putMeta } from './state/records.ts';

export interface EngineOptions {
  readonly home: string;
  readonly runtime: Runtime;
  readonly files: Files;
  readonly store: Store;
  readonly registry: Registry;
  readonly resolveSecret: ResolveSecret;
  readonly scratchDir: string;
  /** The store was opened read-only by somebody who does not hold the home's lock: nothing is written, reads of the store are answered. */
  readonly readOnly?: boolean;
}

/** Everything that can be asked of an engine, by name. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  [...setupOperations, ...endpointOperations, ...ruleOperations, ...recoverOperations, ...watchOperations].map((operation) => [
    operation.name,
    operation as unknown as Operation,
  ]),
);

const RESUME_WITHIN_MS = 12 * 3_600_000;

export interface StartReport {
  readonly resumed: readonly string[];
  readonly readOnlyBecause?: string;
}

export class Engine implements AsyncDisposable {
  readonly core: Core;
  readonly jobs: Jobs;
  readonly #bench: Workbench;
  readonly #configs: SiteConfigs;
  readonly #housekeeping: Housekeeping;
  readonly #closing = new AbortController();
  readonly #readOnly: boolean;
  #planner: Planner | undefined;

  private constructor(core: Core, jobs: Jobs, registry: Registry, readOnly: boolean) {
    this.core = core;
    this.jobs = jobs;
    this.#readOnly = readOnly;
    this.#configs = new SiteConfigs(core);
    this.#housekeeping = new Housekeeping(core, this.#closing.signal, () => this.#writeConfigs());
    this.#bench = {
      core,
      jobs,
      registry,
      planner: () => this.#planner,
      rules: new Rules(
        () => this.#bench,
        (job) => this.settled(job),
      ),
      readOnlyBecause: async () => (await getMeta(core.store.db, 'readOnly')) || undefined,
    };
  }

  static async open(options: EngineOptions): Promise<Engine> {
    const { store, runtime, registry, readOnly = false } = options;
    const ownerId = (await getMeta(store.db, 'ownerId')) ?? runtime.newId('ws');
    if (!readOnly) await store.transaction((tx) => putMeta(tx, 'ownerId', ownerId));
    const core: Core = {
      home: options.home,
      ownerId,
      runtime,
      files: options.files,
      store,
      host: createHost({ registry, runtime, resolveSecret: options.resolveSecret, ownerId, scratchDir: options.scratchDir }),
      locks: new Locks(),
      journals: createSiteJournals(options.files, options.home),
      activeCycles: new Map(),
      releases: new Map(),
      freeSpace: new FreeSpace(),
    };
    const jobs = createStepJournal(store, runtime);
    defineVerbs(core, jobs);
    return new Engine(core, jobs, registry, readOnly);
  }

  /** What a killed engine left is finished or given up, then interrupted jobs go on (F4, F5, T2). */
  async start(): Promise<StartReport> {
    const { unknown } = await reconcilePoints(this.core, { accept: false });
    if (unknown.length > 0) {
      this.core.runtime.log.warn('journals are newer than the state store: read-only until reconcile', { points: unknown.length });
      return { resumed: [], readOnlyBecause: (await this.#bench.readOnlyBecause()) ?? '' };
    }
    await this.#housekeeping.start();
    const resumed = await this.jobs.resumeInterrupted({ resumeWithinMs: RESUME_WITHIN_MS });
    await this.#configs.write();
    return { resumed };
  }

  /** Replicates by itself from now on: cycles by deadline, applies, retention. */
  startPlanner(): Planner {
    this.#planner ??= new Planner(this.core, {
      endTest: async (item) => {
        await this.jobs.start({
          verb: 'cleanup',
          target: item.name,
          input: { items: [item.id] },
          actor: 'planner',
          reason: 'the apply backlog has reached the limit of the policy',
          id: `job-cleanup-${item.testFork?.operationId.split('/')[0]}-${item.id}`,
        });
      },
      rules: this.#bench.rules,
      housekeeping: this.#housekeeping,
    });
    this.#planner.start();
    return this.#planner;
  }

  /** Checks the input, then runs the operation. Errors are DrErrors with the next step in their hint. */
  async call(name: string, input: unknown, caller: Partial<Caller> = {}): Promise<unknown> {
    const operation = OPERATIONS.get(name);
    if (!operation) throw new DrError('NOT_FOUND', `there is no operation ${name}`, { context: { kind: 'operation', name } });
    const parsed = operation.input.safeParse(input ?? {});
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const key = issue?.path.join('.') ?? '';
      throw new DrError('CONFIG_INVALID', `${name}: ${key ? `${key}: ` : ''}${issue?.message ?? 'invalid input'}`, {
        context: { operation: name, ...(key ? { key } : {}) },
        hint: `correct ${key || 'the input'} and try again`,
      });
    }
    if (operation.kind !== 'read' && this.#readOnly) throw new DrError('INTERNAL', `${name} was asked of an engine that only reads`);
    if (operation.kind !== 'read' && name !== 'reconcile') await this.#refuseReadOnly(name);
    const result = await operation.run(this.#bench, parsed.data, {
      actor: caller.actor ?? 'local',
      ...(caller.reason ? { reason: caller.reason } : {}),
      signal: caller.signal ?? this.#closing.signal,
    });
    if (operation.kind !== 'read') await this.#writeConfigs();
    return result;
  }

  /** Follows a job to its end and writes what it changed beside the journals. */
  async settled(jobId: string): Promise<JobRecord> {
    const job = await this.jobs.settled(jobId);
    await this.#writeConfigs();
    return job;
  }

  /** Finishes or gives up what is not under way, and removes what nobody needs. */
  async sweep(): Promise<void> {
    await settleCycles(this.core);
    await releaseCycles(this.core, this.#closing.signal);
    await sweepOrphans(this.core, this.#closing.signal);
  }

  /** What was asked for is done already: a configuration that could not be written is written with the next one (J14). */
  async #writeConfigs(): Promise<void> {
    try {
      await this.#configs.write();
    } catch (error) {
      if (!isDrError(error)) throw error;
      this.core.runtime.log.warn('site configuration could not be written', { code: error.code, message: error.message });
    }
  }

  async #refuseReadOnly(name: string): Promise<void> {
    // Everything that an adopted home made carries its old owner: an engine that was opened before acts in another name.
    if ((await getMeta(this.core.store.db, 'ownerId')) !== this.core.ownerId) {
      throw new DrError('OPERATION_NOT_ALLOWED', `${name} is refused: this home was adopted from a site after the engine had started`, {
        context: { operation: name },
        hint: 'stop warmsite serve and start it again',
      });
    }
    const because = await this.#bench.readOnlyBecause();
    if (!because) return;
    throw new DrError('OPERATION_NOT_ALLOWED', `${name} is refused: ${because}`, {
      context: { operation: name },
      hint: 'the state store is older than the journals (restored from a backup?): look at point list, then run reconcile --confirm home',
    });
  }

  /** Running jobs stay as they are and go on at the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#planner?.stop();
    await this.#bench.rules.stop();
    await this.jobs.stop();
    this.#closing.abort(new DrError('ABORTED', 'the engine is stopping'));
    await this.#housekeeping.idle();
    if (!this.#readOnly) await this.#writeConfigs();
    await this.core.host[Symbol.asyncDispose]();
    await this.core.journals.close();
  }
}

const defineVerbs = (core: Core, jobs: Jobs): void => {
  jobs.define(createProtect(core));
  jobs.define(createUnprotect(core));
  jobs.define(createSyncNow(core));
  jobs.define(createResync(core));
  jobs.define(createVerify(core));
  jobs.define(createTest(core));
  jobs.define(createCleanup(core));
  jobs.define(createFailover(core, 'planned'));
  jobs.define(createFailover(core, 'unplanned'));
  jobs.define(createChangePoint(core));
  jobs.define(createCancel(core));
  jobs.define(createCommit(core));
  jobs.define(createReprotect(core));
  jobs.define(createFailback(core));
  jobs.define(createRelease(core));
  jobs.define(createResolve(core));
};

export type { Caller, Operation } from './engine/operation.ts';
export type { JobRecord } from './flow/flow.ts';
