// A home with a lab in a process of its own; both end with the benchmark.
import { join, resolve } from 'node:path';
import { connectLab } from '../adapters/lab/client.ts';
import type { EstatePort, EstateSpec } from '../adapters/lab/port.ts';
import { type ComposedEngine, composeEngine } from '../cli/container.ts';
import { labSecret, labSocket, startLab, stopLab } from '../cli/lab/process.ts';
import { type LabPlace, reached } from '../cli/lab/register.ts';
import type { JobRecord } from '../core/engine.ts';
import { temporaryFolder } from './measure.ts';

export const BIN = resolve(import.meta.dirname, '../cli/bin.js');

export class BenchHome implements AsyncDisposable {
  readonly #folder = temporaryFolder();
  readonly home = join(this.#folder.path, 'home');
  readonly lab = join(this.#folder.path, 'lab');

  get folder(): string {
    return this.#folder.path;
  }

  /** Of the lab's vCenters. */
  get password(): string {
    return labSecret(this.lab).password;
  }

  get env(): Record<string, string> {
    return { WARMSITE_HOME: this.home, XDG_CACHE_HOME: join(this.folder, 'cache') };
  }

  start(spec: EstateSpec): Promise<number> {
    return startLab({ directory: this.lab, seed: 1, spec });
  }

  control(): Promise<EstatePort> {
    return connectLab(labSocket(this.lab));
  }

  /** An engine of this process that knows the lab's sites, endpoints and networks. */
  async engine(spec: EstateSpec): Promise<ComposedEngine> {
    const composed = await composeEngine({ home: this.home, env: this.env, debug: false });
    await composed.engine.start();
    await register(composed, spec, { address: labSocket(this.lab), secretPath: labSecret(this.lab).path });
    return composed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopLab(this.lab);
    this.#folder[Symbol.dispose]();
  }
}

const register = async ({ engine }: ComposedEngine, spec: EstateSpec, place: LabPlace): Promise<void> => {
  const endpoints = spec.sites.flatMap((site) => site.endpoints.map((endpoint) => ({ site: site.name, ...endpoint })));
  for (const { name } of spec.sites) await engine.call('site.add', { id: name });
  for (const endpoint of endpoints)
    await engine.call('endpoint.add', { id: endpoint.name, site: endpoint.site, ...(await reached(endpoint, place)) });
  for (const from of endpoints)
    for (const to of endpoints)
      if (from.site !== to.site && from.profile === to.profile)
        await engine.call('map.set', {
          kind: 'network',
          from: { endpoint: from.name, place: '*' },
          to: { endpoint: to.name, place: 'production' },
        });
};

export const runJob = async ({ engine }: ComposedEngine, operation: string, input: object): Promise<JobRecord> => {
  const { job } = (await engine.call(operation, input)) as { job: string };
  const ended = await engine.settled(job);
  if (ended.state !== 'Succeeded') throw new Error(`${operation} ended ${ended.state}: ${JSON.stringify(ended.error ?? ended.result)}`);
  return ended;
};
