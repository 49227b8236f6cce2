// Looks at every copy just before it is powered on, past the engine and past the plugins, and compares it with what its guest had written.
import { connectLab } from '../../adapters/lab/client.ts';
import type { DiskDigest, EstateArgs, EstateMethod, EstatePort, OpenEstate, StateReport, Truth } from '../../adapters/lab/port.ts';
import { createOpenPowerShell } from '../../adapters/powershell/open.ts';
import type { OpenPowerShell } from '../../adapters/powershell/port.ts';
import type { OpenWire } from '../../adapters/vsphere/port.ts';
import { openWire } from '../../adapters/vsphere/wire.ts';
import { DrError, type MachineId } from '../../core/contract/index.ts';
import type { Item } from '../../core/domain/item.ts';
import type { Core } from '../../core/replication/core.ts';
import { listItems } from '../../core/state/items.ts';
import { listPoints } from '../../core/state/points.ts';
import type { Ways } from '../container.ts';

const openLocal = createOpenPowerShell({
  openSsh: async () => {
    throw new DrError('CAPABILITY_MISSING', 'the lab is not reached by SSH');
  },
});

/** The machine that a vCenter is asked to power on. */
const POWER_ON = /<PowerOnVM_Task [^>]*><_this [^>]*>([^<]+)</;

export interface Sighting {
  readonly stage: string;
  readonly machine: string;
  readonly point: string;
  readonly takenAt: string;
  /** Every disk has the content that the lab recorded of the source at the instant of the point. */
  readonly asRecorded: boolean;
  /** Every disk has the content of the source's disk now; means something once the source is off. */
  readonly asSource: boolean;
  /** The guest's database can be recovered, or there is none on the disk. */
  readonly consistent: boolean;
  /** When the newest transaction in the copy, and on the source's disks, was written. */
  readonly writtenAt?: string;
  readonly sourceWrittenAt?: string;
  readonly diskBytes: number;
}

/** What is about to be started, in the item's own terms. */
interface Copy {
  readonly item: Item;
  readonly point: string;
  /** Key of a disk to its id at the copy. */
  readonly disks: Readonly<Record<string, string>>;
}

const copyOf = (items: readonly Item[], machine: MachineId): Copy | undefined => {
  for (const item of items) {
    for (const fork of [item.testFork, item.fork]) if (fork?.machine === machine) return { item, point: fork.point, disks: fork.disks };
    const point = item.state.failover?.point;
    if (item.replica?.machine === machine && point)
      return { item, point, disks: Object.fromEntries(item.disks.map((disk) => [disk.key, disk.replicaDisk ?? ''])) };
  }
  return undefined;
};

const digestsBy = (digests: readonly DiskDigest[]): Map<string, string> => new Map(digests.map(({ disk, digest }) => [disk, digest]));

/** Content only: an allocated block of zeros equals a hole. */
const sameContent = (copy: Copy, here: readonly DiskDigest[], there: readonly DiskDigest[]): boolean => {
  const [mine, theirs] = [digestsBy(here), digestsBy(there)];
  return (
    copy.item.disks.length > 0 &&
    copy.item.disks.every(({ key, sourceDisk }) => {
      const expected = theirs.get(sourceDisk);
      return expected !== undefined && mine.get(copy.disks[key] ?? '') === expected;
    })
  );
};

export class Notary {
  readonly #control: EstatePort;
  #core: Core | undefined;
  stage = '';
  readonly sightings: Sighting[] = [];

  constructor(control: EstatePort) {
    this.#control = control;
  }

  watch(core: Core): void {
    this.#core = core;
  }

  /** For the plugins: the lab's own client, HTTPS and processes, but for the look that comes before each power-on. */
  get ways(): Ways {
    return { openEstate: this.#openEstate, openWire: this.#openWire, openPowerShell: this.#openPowerShell };
  }

  readonly #openEstate: OpenEstate = async (address) => {
    const port = await connectLab(address);
    return {
      call: async (method, args, options) => {
        if (method === 'power.set') await this.#beforePower(method, args);
        return port.call(method, args, options);
      },
      [Symbol.asyncDispose]: () => port[Symbol.asyncDispose](),
    };
  };

  readonly #openWire: OpenWire = (config) => {
    const wire = openWire(config);
    return {
      get thumbprintSha1() {
        return wire.thumbprintSha1;
      },
      send: async (request) => {
        const machine = typeof request.body === 'string' ? POWER_ON.exec(request.body)?.[1] : undefined;
        if (machine !== undefined) await this.#lookAt(machine as MachineId);
        return wire.send(request);
      },
      [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
    };
  };

  readonly #openPowerShell: OpenPowerShell = async (target, options) => {
    const shell = await openLocal(target, options);
    return {
      host: shell.host,
      run: async (steps, how) => {
        const starts = steps.some(({ cmdlet }) => cmdlet === 'Start-VM');
        const machine = starts ? steps.find(({ cmdlet }) => cmdlet === 'Get-VM')?.params['Id'] : undefined;
        if (typeof machine === 'string') await this.#lookAt(machine as MachineId);
        return shell.run(steps, how);
      },
      [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
    };
  };

  async #beforePower<M extends EstateMethod>(_method: M, args: EstateArgs<M>): Promise<void> {
    const { machine, to } = args as EstateArgs<'power.set'>;
    if (to === 'on') await this.#lookAt(machine);
  }

  async #lookAt(machine: MachineId): Promise<void> {
    if (!this.#core) return;
    const copy = copyOf(await listItems(this.#core.store.db), machine);
    if (copy) this.sightings.push(await this.#look(this.#core, copy, machine));
  }

  async #look(core: Core, copy: Copy, machine: MachineId): Promise<Sighting> {
    const { item } = copy;
    const here = await this.#inspect(machine);
    const source = await this.#inspect(item.source.machine);
    const takenAt = (await listPoints(core.store.db, item.id)).find((point) => point.id === copy.point)?.takenAt ?? '';
    const truth = await this.#truthOf(item.source.machine, takenAt);
    return {
      stage: this.stage,
      machine: item.name,
      point: copy.point,
      takenAt,
      asRecorded: truth !== undefined && sameContent(copy, here.digests, truth.digests),
      asSource: sameContent(copy, here.digests, source.digests),
      consistent: here.verdict.consistent || here.verdict.kind !== 'guest',
      ...(here.verdict.writtenAt ? { writtenAt: here.verdict.writtenAt } : {}),
      ...(source.verdict.writtenAt ? { sourceWrittenAt: source.verdict.writtenAt } : {}),
      diskBytes: here.digests.reduce((sum, disk) => sum + disk.sizeBytes, 0),
    };
  }

  #inspect(machine: MachineId): Promise<StateReport> {
    return this.#control.call('lab.inspect', { of: { machine } });
  }

  /** The lab records a snapshot just before it names its time; a streaming source is frozen just after it was asked, at the point's time. */
  async #truthOf(machine: MachineId, takenAt: string): Promise<Truth | undefined> {
    const { truths } = await this.#control.call('lab.truth', {});
    const own = truths.filter((truth) => truth.machine === machine).sort((a, b) => a.takenAt.localeCompare(b.takenAt));
    const before = own.findLast((truth) => truth.snapshot !== undefined && truth.takenAt <= takenAt);
    return before ?? own.find((truth) => truth.snapshot === undefined && truth.takenAt >= takenAt);
  }
}
