// The pair as simulated Hyper-V hosts under the true plugin. What is asked of it is read from the estate itself.
import type { EndpointSpec } from '../../../adapters/lab/port.ts';
import { idOnHosts } from '../../../adapters/lab/powershell/fabric.ts';
import type { Hv } from '../../../adapters/lab/powershell/model.ts';
import { keyOf } from '../../../adapters/lab/powershell/paths.ts';
import { World } from '../world.ts';
import { HOMES, type Home, MACHINE, otherOf, type Pair, POLICY, putPair } from './pair.ts';

const MIB = 2 ** 20;
/** Of the second disk, where the guest's own database never is. */
const SPOT = 917_504;

/** A guest that writes now and then: often enough that each cycle has something to lose, seldom enough for hours to pass. */
const CRM = { name: MACHINE, writesPerSecond: 0.02, disks: [{ sizeBytes: MIB }, { sizeBytes: MIB, contentBytes: MIB / 4 }] };

export type TwinKind = 'host' | 'vmm';

const endpoint = (name: Home, kind: TwinKind): EndpointSpec => ({
  ...{ name, profile: 'hyperv', networks: ['production'] },
  storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
  ...(kind === 'vmm' ? { hosts: [`${name}-1`, `${name}-2`], pools: ['gold'] } : {}),
  ...(name === 'hv-a' ? { machines: [CRM] } : {}),
});

export const createTwinPair = async (seed: number, kind: TwinKind = 'host'): Promise<World> => {
  const sites = [
    { name: 'site-a', endpoints: [endpoint('hv-a', kind)] },
    { name: 'site-b', endpoints: [endpoint('hv-b', kind)] },
  ];
  const world = await World.create({ seed, spec: { sites } });
  await world.engine.call('policy.put', POLICY);
  putPair(world, new TwinPair(world));
  return world;
};

class TwinPair implements Pair {
  readonly #world: World;
  readonly #id: string;
  #written = 0;

  constructor(world: World) {
    this.#world = world;
    this.#id = idOnHosts([...world.lab.estate.machines.values()][0]!);
  }

  async write(at: Home): Promise<void> {
    const machine = this.#machine(at);
    if (machine.power !== 'on') return;
    this.#written = (this.#written % 255) + 1;
    const data = Buffer.alloc(4096, this.#written);
    await this.#world.lab.control.call('lab.write', { machine: machine.id, disk: machine.spec.disks[1]!.id, offset: SPOT, data });
  }

  async lose(at: Home): Promise<void> {
    await this.#world.lab.control.call('lab.burnSite', { site: at === 'hv-a' ? 'site-a' : 'site-b' });
  }

  running(): readonly Home[] {
    return HOMES.filter((home) => this.#find(home)?.power === 'on');
  }

  violations(): readonly string[] {
    return this.#world.lab.estate.violations.map((found) => JSON.stringify(found));
  }

  holds(at: Home): boolean {
    return this.#find(at) !== undefined;
  }

  isPaired(at: Home): boolean {
    return this.#machine(at).hv.replication !== undefined;
  }

  async behind(from: Home): Promise<string | undefined> {
    const replica = this.#machine(otherOf(from));
    const there = new Uint8Array(1);
    this.#world.lab.estate.live(replica, replica.spec.disks[1]!.id).read(SPOT, there);
    if (there[0] !== this.#written) return `${otherOf(from)} has not got the last write`;
    const { replicatedMs } = replica.hv.replication ?? {};
    if (replicatedMs === undefined) return `${otherOf(from)} holds no whole state`;
    return this.#differs(await this.#world.digests({ machine: replica.id }), replicatedMs, otherOf(from));
  }

  async startedWrong(at: Home, takenAt: string, final: boolean): Promise<string | undefined> {
    const started = this.#world.startedFrom.get(this.#machine(at).id);
    if (!started) return `nobody has seen how ${MACHINE} was started at ${at}`;
    const other = final ? await this.#world.digests({ machine: this.#machine(otherOf(at)).id }) : undefined;
    if (other && started.join() !== other.join()) return `${at} was not started from all that ${otherOf(at)} holds`;
    // What is told of a time stops at the millisecond.
    return this.#differs(started, Date.parse(takenAt) + 1, at);
  }

  leftovers(): readonly string[] {
    const { estate } = this.#world.lab;
    const tests = [...estate.machines.values()].filter((machine) => idOnHosts(machine) !== this.#id).map(({ name }) => name);
    return [...tests, ...HOMES.flatMap((home) => this.#leftAt(home))];
  }

  /** Disks that no machine stands on; the estate itself tells of test networks. */
  #leftAt(home: Home): string[] {
    const { files } = this.#world.lab.estate.endpoint(home).hyperv!;
    const used = new Set<string>();
    for (const { hv } of this.#machines(home))
      for (const { path } of hv.drives) for (let key: string | undefined = keyOf(path); key; key = files[key]?.parent) used.add(key);
    return Object.keys(files)
      .filter((key) => !used.has(key))
      .map((key) => `${key} at ${home}`);
  }

  /** From what the machine held at that instant where it ran, as the lab recorded it when it was read. */
  #differs(digests: readonly string[], instantMs: number, at: Home): string | undefined {
    const prefix = `hvr:${this.#id}:`;
    const truth = this.#world.lab.estate.truths.findLast(
      ({ operationId }) => operationId.startsWith(prefix) && Number(operationId.slice(prefix.length)) <= instantMs,
    );
    if (!truth) return `the lab has no truth of ${new Date(instantMs).toISOString()}`;
    const same = truth.digests.map(({ digest }) => digest).join() === digests.join();
    return same ? undefined : `${at} holds another state than that of ${truth.takenAt}`;
  }

  #machines(home: Home): Hv[] {
    return [...this.#world.lab.estate.machines.values()].filter(({ endpoint: name }) => name === home) as Hv[];
  }

  #find(home: Home): Hv | undefined {
    return this.#machines(home).find((machine) => idOnHosts(machine) === this.#id);
  }

  #machine(home: Home): Hv {
    const found = this.#find(home);
    if (!found) throw new Error(`${home} has no ${MACHINE}`);
    return found;
  }
}
