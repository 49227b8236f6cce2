// What the tests of the vmware plugin's parts stand on: the plugin over the simulated vCenter with its calls seen, and a vCenter that is made up.

import type { BlockDevices } from '../../../../adapters/block/port.ts';
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, FaultRule, MachineSeed } from '../../../../adapters/lab/port.ts';
import { labDevicesUrl, openLabDevices, parseLabDevices } from '../../../../adapters/lab/vsphere/lab-devices.ts';
import type { VmRecord } from '../../../../adapters/lab/vsphere/model.ts';

import { createOpenVsphere } from '../../../../adapters/vsphere/open.ts';
import type { MoRef, VimMethod, VsphereClient, WireAnswer, WireRequest } from '../../../../adapters/vsphere/port.ts';
import { toError } from '../../../../adapters/vsphere/port.ts';
import {
  type Call,
  DrError,
  type ForkRequest,
  type Machine,
  type MachineId,
  type Placed,
  type Session,
  type SnapshotSource,
} from '../../../../core/contract/index.ts';
import { createVmwarePlugin, type VmwareTools } from '../../../../plugins/vmware/index.ts';
import { Vcenter } from '../../../../plugins/vmware/vcenter.ts';
import { callOf } from '../../../support/calls.ts';
import { Vim } from '../../../support/vim.ts';

export { callOf, codesOf, epoch, SILENT } from '../../../support/calls.ts';
export { errorOf } from '../../../support/errors.ts';

export const MIB = 2 ** 20;
export const OWNER = 'installation-1';
export const PASSWORD = 'correct-horse-battery';
export const disk = (sizeBytes = MIB): MachineSeed['disks'][number] => ({ sizeBytes, contentBytes: sizeBytes / 4 });

interface GroundOptions {
  readonly machines?: readonly MachineSeed[];
  readonly endpoint?: Partial<EndpointSpec>;
  readonly clock?: 'jump' | 'manual';
  /** In the place of the lab's block devices. */
  readonly devices?: BlockDevices;
  readonly nbd?: VmwareTools['nbd'];
  readonly scratchDir?: string;
  /** Of the server's certificate, which a wire in process does not have. */
  readonly thumbprintSha1?: string;
  /** Of the endpoint's configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Sees each request before it goes; an answer of its own is what the client gets. */
  readonly onWire?: (request: WireRequest) => Promise<WireAnswer | undefined> | WireAnswer | undefined;
}

export interface Seen {
  readonly method: VimMethod;
  readonly on: MoRef;
  readonly args: unknown;
}

export class Ground implements AsyncDisposable {
  readonly estate: InProcessEstate;
  readonly appliance: MachineId;
  readonly config: Readonly<Record<string, unknown>>;
  /** Calls of the sessions that were opened here, as they were made. */
  readonly seen: Seen[] = [];
  readonly plugin: ReturnType<typeof createVmwarePlugin>;
  readonly #sessions: Session[] = [];
  readonly #scratchDir: string;
  #hooks: ((seen: Seen) => void | Promise<void>)[] = [];

  private constructor(estate: InProcessEstate, appliance: MachineId, options: GroundOptions) {
    this.estate = estate;
    this.appliance = appliance;
    this.#scratchDir = options.scratchDir ?? '.';
    const devices = labDevicesUrl({ address: 'in-process', endpoint: 'endpoint', appliance });
    this.config = { address: 'endpoint', username: 'kit', password: PASSWORD, appliance, devices, ...options.config };
    const openWire: typeof estate.openWire = (config) => {
      const wire = estate.openWire(config);
      return {
        send: async (request) => (await options.onWire?.(request)) ?? wire.send(request),
        get thumbprintSha1() {
          return options.thumbprintSha1 ?? wire.thumbprintSha1;
        },
        [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
      };
    };
    const open = createOpenVsphere(openWire);
    this.plugin = createVmwarePlugin({
      openVsphere: (name) => async (config, how) => this.#watched(await open(name)(config, how)),
      openBlockDevices: (where) => options.devices ?? openLabDevices(async () => estate.open(), parseLabDevices(where)!),
      nbd: options.nbd ?? { startNbdkit: noNbdkit, openNbd: noNbdkit },
      time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
    });
  }

  static async create(options: GroundOptions = {}): Promise<Ground> {
    const endpoint: EndpointSpec = {
      name: 'endpoint',
      profile: 'vmware',
      username: 'kit',
      password: PASSWORD,
      networks: ['production', 'backup'],
      storage: [{ name: 'store', capacityBytes: 4096 * MIB }],
      hosts: ['esx-1', 'esx-2'],
      machines: options.machines ?? [{ name: 'web', disks: [disk(), disk()], writesPerSecond: 0 }],
      ...options.endpoint,
    };
    const estate = createEstate({ spec: { sites: [{ name: 'site', endpoints: [endpoint] }] }, clock: options.clock ?? 'jump' });
    const { appliance } = await estate.control.call('lab.vcenter', { endpoint: 'endpoint' });
    return new Ground(estate, appliance!, options);
  }

  #watched(client: VsphereClient): VsphereClient {
    const call: VsphereClient['call'] = async (method, on, args, options) => {
      const seen = { method, on, args };
      this.seen.push(seen);
      for (const hook of this.#hooks) await hook(seen);
      return client.call(method, on, args, options);
    };
    return new Proxy(client, {
      get: (target, key) => {
        if (key === 'call') return call;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
  }

  /** Told of each call before it is made; it may throw in its place. */
  before(hook: (seen: Seen) => void | Promise<void>): Disposable {
    this.#hooks.push(hook);
    return {
      [Symbol.dispose]: () => {
        this.#hooks = this.#hooks.filter((one) => one !== hook);
      },
    };
  }

  async connect(config: Readonly<Record<string, unknown>> = {}, ownerId = OWNER): Promise<Session> {
    const session = await this.plugin.connect({ ...this.config, ...config }, { ownerId, scratchDir: this.#scratchDir }, callOf());
    this.#sessions.push(session);
    return session;
  }

  methods(): string[] {
    return this.seen.map(({ method }) => method);
  }

  count(method: VimMethod): number {
    return this.seen.filter((one) => one.method === method).length;
  }

  /** As an administrator sees it, past the plugin. */
  async vim(): Promise<Vim> {
    const open = createOpenVsphere(this.estate.openWire);
    return new Vim(await open('vim25')({ address: 'endpoint', username: 'kit', password: PASSWORD }));
  }

  async machine(session: Session, name: string): Promise<Machine> {
    const all = await Array.fromAsync(session.inventory.listMachines({}, callOf()));
    return all.find((machine) => machine.name === name)!;
  }

  /** What the simulated vCenter keeps of a machine: to be changed where no call of the API could. */
  record(id: string): VmRecord {
    return this.estate.estate.machines.get(id as MachineId)!.vm!;
  }

  /** Puts every card on a network of NSX, which no place here stands for. */
  toOpaque(id: string): void {
    const machine = this.estate.estate.machines.get(id as MachineId)!;
    const backing = {
      $type: 'VirtualEthernetCardOpaqueNetworkBackingInfo',
      opaqueNetworkId: 'id-7',
      opaqueNetworkType: 'nsx.LogicalSwitch',
    };
    for (const device of machine.vm!.devices) if (device.$type === 'VirtualVmxnet3') Object.assign(device, { backing });
    // The estate's side of the same, or the simulated vCenter would put it right again.
    machine.spec = { ...machine.spec, nics: machine.spec.nics.map(({ network: _, ...nic }) => nic) };
  }

  extra(id: string): Readonly<Record<string, string>> {
    return this.record(id).extraConfig;
  }

  attached(): string[] {
    return this.record(this.appliance)
      .devices.filter(({ $type }) => $type === 'VirtualDisk')
      .slice(1)
      .map(({ backing }) => (backing as { uuid: string }).uuid);
  }

  fault(rule: FaultRule): Promise<unknown> {
    return this.estate.control.call('lab.addFault', { rule });
  }

  clearFaults(): Promise<unknown> {
    return this.estate.control.call('lab.clearFaults', {});
  }

  vcenter(how: object): Promise<unknown> {
    return this.estate.control.call('lab.setVcenter', { endpoint: 'endpoint', ...how });
  }

  async leftovers(): Promise<string[]> {
    const { leftovers } = await this.estate.control.call('lab.status', {});
    return leftovers.map(({ kind, id }) => `${kind} ${id}`);
  }

  async read(machine: string, of: string, offset: number, length: number): Promise<Uint8Array> {
    return (await this.estate.control.call('lab.read', { machine: machine as MachineId, disk: of as never, offset, length })).data;
  }

  async write(machine: string, of: string, offset: number, data: Uint8Array): Promise<void> {
    await this.estate.control.call('lab.write', { machine: machine as MachineId, disk: of as never, offset, data });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await this.estate[Symbol.asyncDispose]();
  }
}

const noNbdkit = (): never => {
  throw new DrError('CONFIG_INVALID', 'there is no nbdkit here');
};

export const snapshotSource = ({ source }: Session): SnapshotSource => {
  if (source?.kind !== 'snapshot') throw new Error('the session has no snapshot source');
  return source;
};

/** A replica of the machine, as the engine asks for one. */
export const replicaOf = async (session: Session, machine: Machine, more: Partial<Call> = {}, name = 'copy'): Promise<Placed> =>
  session.target!.createReplica!(machine.spec, { name, nics: new Map() }, callOf(more));

export const forkOf = (
  session: Session,
  { machine }: Placed,
  more: Partial<ForkRequest> & { readonly call?: Partial<Call> } = {},
): ReturnType<NonNullable<NonNullable<Session['target']>['forks']>['create']> => {
  const { call, ...as } = more;
  const request: ForkRequest = {
    mode: 'overlay',
    purpose: 'failover',
    name: 'running',
    spec: machine.spec,
    newGenerationId: true,
    nics: new Map(),
    ...as,
  };
  return session.target!.forks!.create(machine.id, request, callOf(call));
};

export const WEB: readonly MachineSeed[] = [{ name: 'web', disks: [disk(), disk()], writesPerSecond: 0 }];

/** A machine and a replica of it. */
export interface Made extends AsyncDisposable {
  readonly ground: Ground;
  readonly session: Session;
  readonly source: Machine;
  readonly placed: Placed;
  readonly replica: MachineId;
}

export const made = async (): Promise<Made> => {
  const ground = await Ground.create({ machines: WEB });
  const session = await ground.connect();
  const source = await ground.machine(session, 'web');
  const placed = await replicaOf(session, source);
  return { ground, session, source, placed, replica: placed.machine.id, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
};

// ---- a vCenter that is made up -------------------------------------------------------------------------------------------

type Answers = { readonly [M in VimMethod]?: (on: MoRef, args: never) => unknown };

/** Properties by `Type:value`, and answers by method; whatever else is called is a mistake of the test. */
export const madeUp = (objects: Readonly<Record<string, Readonly<Record<string, unknown>>>>, answers: Answers = {}): Vcenter => {
  const props = (on: MoRef, paths: readonly string[]) => {
    const values = objects[`${on.type}:${on.value}`];
    if (!values) throw toError({ $type: 'ManagedObjectNotFound', faultstring: '', detail: { obj: on } }, 'RetrievePropertiesEx failed');
    return paths.flatMap((name) => (values[name] === undefined ? [] : [{ name, val: values[name] }]));
  };
  const call = async (method: VimMethod, on: MoRef, args: never): Promise<unknown> => {
    if (method === 'RetrievePropertiesEx') {
      const { specSet } = args as {
        specSet: readonly { propSet: readonly { pathSet: string[] }[]; objectSet: readonly { obj: MoRef }[] }[];
      };
      const [spec] = specSet;
      return { objects: spec!.objectSet.map(({ obj }) => ({ obj, propSet: props(obj, spec!.propSet[0]!.pathSet) })) };
    }
    const answer = answers[method];
    if (!answer) throw new Error(`nobody expected ${method}`);
    return answer(on, args);
  };
  const content = {
    propertyCollector: { type: 'PropertyCollector', value: 'propertyCollector' },
    rootFolder: { type: 'Folder', value: 'group-d1' },
    about: { instanceUuid: 'made-up', apiType: 'VirtualCenter', apiVersion: '8.0.3.0', fullName: 'made up' },
  };
  const client = { call, content, about: content.about, sessionKey: 'key', thumbprintSha1: '' } as unknown as VsphereClient;
  return new Vcenter(client, OWNER, { now: () => Date.now(), sleep: () => Promise.resolve() });
};
