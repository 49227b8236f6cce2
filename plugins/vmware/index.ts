// The plugin for vCenter and ESXi: source and target. What it needs of the machine that it runs on is injected.
import type { OpenBlockDevices } from '../../adapters/block/port.ts';
import type { OpenVsphere, VsphereClient } from '../../adapters/vsphere/port.ts';
import {
  type Call,
  type Capabilities,
  type ConfigField,
  DrError,
  definePlugin,
  type HostContext,
  isDrError,
  type MachineId,
  type Plugin,
  type Session,
  WEAKEST_CAPABILITIES,
} from '../../core/contract/index.ts';
import { realTime, type Time } from '../../core/plugin-kit/index.ts';
import { check } from './check.ts';
import { epochsAt, fenceFacet } from './fence.ts';
import { inventoryOf } from './inventory.ts';
import { choosePaths, type DataPaths } from './movers/choose.ts';
import { Desks, HotAdd } from './movers/hot-add.ts';
import { Https } from './movers/https.ts';
import { openOrLate } from './movers/late.ts';
import type { Mover, MoverName } from './movers/mover.ts';
import { Nbd, type NbdTools } from './movers/nbd.ts';
import { fromVcenter } from './names.ts';
import { networkFacet } from './network.ts';
import { powerFacet } from './power.ts';
import { sourceOf } from './source.ts';
import { targetOf } from './target.ts';
import { Vcenter } from './vcenter.ts';

export type ClientName = 'vim25' | 'node-vsphere-soap';

export interface VmwareTools {
  readonly openVsphere: (client: ClientName) => OpenVsphere;
  readonly openBlockDevices: OpenBlockDevices;
  readonly nbd: NbdTools;
  /** Left out: the system's. */
  readonly time?: Time;
}

const CONFIG: readonly ConfigField[] = [
  {
    name: 'address',
    type: 'string',
    required: true,
    help: 'host name or address of the vCenter or ESXi host, with :port where it is not 443',
  },
  { name: 'username', type: 'string', required: true, help: 'account, such as warmsite@vsphere.local' },
  { name: 'password', type: 'secret', required: true, help: 'password of the account' },
  { name: 'pin', type: 'pin', help: 'SHA-256 of the certificate; set by endpoint trust' },
  { name: 'caFile', type: 'string', help: 'PEM file of the authorities that sign the certificate, instead of those of the system' },
  { name: 'appliance', type: 'string', help: 'name or id of the virtual machine that warmsite runs in: disks are attached to it (HotAdd)' },
  { name: 'devices', type: 'string', default: '/dev', help: 'where disks that are attached to the appliance appear' },
  { name: 'vddk', type: 'string', help: 'folder of VMware’s VDDK (vmware-vix-disklib-distrib): disks are read over the network by nbdkit' },
  { name: 'nbdkit', type: 'string', default: 'nbdkit', help: 'the nbdkit to start' },
  { name: 'transports', type: 'string', default: 'nbdssl:nbd', help: 'transport modes of VDDK' },
  { name: 'dataPath', type: 'choice', choices: ['auto', 'nbd', 'hotadd', 'https'], default: 'auto', help: 'how disks are read' },
  { name: 'client', type: 'choice', choices: ['vim25', 'node-vsphere-soap'], default: 'vim25', help: 'which client speaks to the server' },
];

/** A type, not an interface: the host hands over a record of checked values. */
type Config = {
  readonly address: string;
  readonly username: string;
  readonly password: string;
  readonly pin?: string;
  readonly caFile?: string;
  readonly appliance?: string;
  readonly devices?: string;
  readonly vddk?: string;
  readonly nbdkit?: string;
  readonly transports?: string;
  readonly dataPath?: 'auto' | MoverName;
  readonly client?: ClientName;
};

const CAPABILITIES: Partial<Capabilities> = {
  tracking: 'native',
  consistency: ['crash', 'application'],
  atomicity: 'machine',
  testNetwork: 'host',
  power: ['on', 'off', 'shutdown'],
  snapshotSurvivesDisconnect: true,
  // One of ours at a time: the next one only when the one before is merged away.
  maxSnapshotsPerMachine: 1,
};

export const createVmwarePlugin = (tools: VmwareTools): Plugin => {
  const desks = new Desks();
  const plugin = definePlugin<Config>({
    id: 'vmware',
    displayName: 'VMware vSphere',
    config: CONFIG,
    capabilities: CAPABILITIES,
    connect: (config, host, call) => connect({ ...tools, desks }, config, host, call),
  });
  return plugin as unknown as Plugin;
};

/** With what the sessions of one plugin share. */
type Tools = VmwareTools & { readonly desks: Desks };

const connect = async (tools: Tools, config: Config, host: HostContext, call: Call): Promise<Session> => {
  call.signal.throwIfAborted();
  const { address, username, password, pin, caFile, client = 'vim25' } = config;
  const userAgent = `Warmsite (${host.ownerId})`;
  const opened = await tools.openVsphere(client)(
    { address, username, password, pin, caFile, userAgent },
    { signal: call.signal, deadlineMs: call.deadlineMs },
  );
  const movers: Mover[] = [];
  try {
    const vcenter = new Vcenter(opened, host.ownerId, tools.time ?? realTime);
    const appliance =
      config.appliance === undefined
        ? host.localMachine
        : await findAppliance(vcenter, config.appliance, call).catch((error: unknown) => {
            if (!isDrError(error, 'CONFIG_INVALID')) throw error;
            return undefined;
          });
    movers.push(...(await moversOf(tools, config, { vcenter, appliance, scratchDir: host.scratchDir }, call)));
    const asked = config.dataPath === undefined || config.dataPath === 'auto' ? undefined : config.dataPath;
    return assemble(vcenter, choosePaths(movers, asked, appliance));
  } catch (error) {
    await close(opened, movers);
    throw error;
  }
};

const close = async (client: VsphereClient, movers: readonly Mover[]): Promise<void> => {
  await Promise.allSettled(movers.map((mover) => mover.close()));
  await client[Symbol.asyncDispose]();
};

interface Ground {
  readonly vcenter: Vcenter;
  /** Undefined: none, or none that is found. */
  readonly appliance: MachineId | undefined;
  readonly scratchDir: string;
}

/** The best first: VDDK reads a running machine from anywhere, HotAdd where we are in the same vCenter, HTTPS what is off. */
const moversOf = async (tools: Tools, config: Config, { vcenter, appliance, scratchDir }: Ground, call: Call): Promise<Mover[]> => {
  const movers: Mover[] = [];
  if (config.vddk !== undefined) {
    const { hostname, port } = new URL(`https://${config.address.replace(/^https?:\/\//, '')}`);
    const settings = {
      program: config.nbdkit ?? 'nbdkit',
      vddkLibDir: config.vddk,
      server: hostname,
      ...(port === '' ? {} : { port: Number(port) }),
      user: config.username,
      password: config.password,
      ...(config.transports === undefined ? {} : { transports: config.transports }),
      scratchDir,
    };
    movers.push(new Nbd(vcenter, settings, tools.nbd));
  }
  const named = config.appliance ?? appliance;
  if (named !== undefined) {
    const hotAddTools = { devices: tools.openBlockDevices(config.devices ?? '/dev'), desks: tools.desks };
    const open = async (opening: Call) =>
      HotAdd.open(vcenter, appliance ?? (await findAppliance(vcenter, named, opening)), hotAddTools, opening);
    movers.push(await openOrLate('hotadd', open, { time: vcenter.time, call }));
  }
  return [...movers, new Https(vcenter)];
};

const findAppliance = async (vcenter: Vcenter, name: string, call: Call): Promise<MachineId> => {
  const found: MachineId[] = [];
  for await (const { ref, props } of vcenter.list('VirtualMachine', ['name'], call)) {
    if (ref.value === name) return name as MachineId;
    if (fromVcenter(String(props['name'])) === name) found.push(ref.value as MachineId);
  }
  const [only, second] = found;
  if (only !== undefined && second === undefined) return only;
  throw new DrError(
    'CONFIG_INVALID',
    only === undefined
      ? `there is no machine ${JSON.stringify(name)} to be the appliance`
      : `${found.length} machines are called ${JSON.stringify(name)}`,
    {
      hint: only === undefined ? 'name the virtual machine that warmsite runs in' : `name the appliance by its id: ${found.join(', ')}`,
      context: { key: 'appliance', name },
    },
  );
};

const assemble = (vcenter: Vcenter, paths: DataPaths): Session => {
  const epochs = epochsAt(vcenter);
  return {
    capabilities: { ...WEAKEST_CAPABILITIES, ...CAPABILITIES },
    inventory: inventoryOf(vcenter, paths),
    power: powerFacet(vcenter, paths),
    source: sourceOf(vcenter, paths),
    ...(paths.write ? { target: targetOf(vcenter, paths, epochs) } : {}),
    network: networkFacet(vcenter, epochs),
    fence: fenceFacet(vcenter, epochs),
    check: (call) => check(vcenter, paths, call),
    [Symbol.asyncDispose]: () => close(vcenter.client, paths.all),
  };
};
