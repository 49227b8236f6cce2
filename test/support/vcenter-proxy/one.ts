// The smallest case: one proxied vCenter, with what a test wants to know of it.
import type { OpenBlockDevices } from '../../../adapters/block/port.ts';
import type { EstatePort, MachineSeed } from '../../../adapters/lab/port.ts';
import { applianceOf } from '../../../adapters/lab/vsphere/appliance.ts';
import { labDevicesUrl, openLabDevices, parseLabDevices } from '../../../adapters/lab/vsphere/lab-devices.ts';
import type { OpenWire, VsphereConfig } from '../../../adapters/vsphere/port.ts';
import type { MachineId } from '../../../core/contract/index.ts';
import type { Clock } from '../../../core/ports/runtime.ts';
import { serveHttps } from './https.ts';
import { createProxiedEstate } from './start.ts';

export interface ProxiedVcenter extends AsyncDisposable {
  /** Over HTTPS. */
  readonly config: VsphereConfig & { readonly pin: string };
  /** The same in this process, whatever the address. */
  readonly openWire: OpenWire;
  /** Control of the estate behind it, which no fault cuts. */
  readonly lab: EstatePort;
  readonly clock: Clock;
  /** Those that are there from the start, without the appliance. */
  readonly machines: readonly MachineId[];
  readonly appliance: MachineId;
  /** Where the appliance's disks appear, for `openBlockDevices`. */
  readonly devices: string;
  readonly openBlockDevices: OpenBlockDevices;
}

const MIB = 2 ** 20;
const ENDPOINT = 'vcenter';
const CREDENTIALS = { username: 'dr', password: 'p&<>"\'ä' };
const SEEDS: readonly MachineSeed[] = [
  { name: 'app-01', disks: [{ sizeBytes: MIB }] },
  { name: 'db-01', disks: [{ sizeBytes: MIB }, { sizeBytes: MIB }] },
];

export const startProxiedVcenter = async (machines: readonly MachineSeed[] = SEEDS): Promise<ProxiedVcenter> => {
  const endpoint = {
    name: ENDPOINT,
    profile: 'vmware' as const,
    ...CREDENTIALS,
    networks: ['production'],
    storage: [
      { name: 'first', capacityBytes: 1024 * MIB },
      { name: 'second', capacityBytes: 1024 * MIB },
    ],
    hosts: ['first', 'second'],
    machines,
  };
  await using started = new AsyncDisposableStack();
  const lab = started.use(await createProxiedEstate({ spec: { sites: [{ name: 'site', endpoints: [endpoint] }] } }));
  const openOwn: OpenWire = (config) => lab.openWire({ ...config, address: ENDPOINT });
  const { address, pin } = started.use(await serveHttps(() => openOwn({ address: ENDPOINT, ...CREDENTIALS })));
  const appliance = applianceOf(lab.estate, lab.estate.endpoint(ENDPOINT))!.id;
  const all = started.move();
  return {
    config: { address, pin, ...CREDENTIALS },
    openWire: openOwn,
    lab: lab.control,
    clock: lab.clock,
    machines: [...lab.estate.machines.keys()].filter((id) => id !== appliance),
    appliance,
    devices: labDevicesUrl({ address: 'in-process', endpoint: ENDPOINT, appliance }),
    openBlockDevices: (where) => openLabDevices(async () => lab.open(), parseLabDevices(where)!),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
};
