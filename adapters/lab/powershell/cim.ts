// Get-CimInstance and Get-CimAssociatedInstance over what the hosts know.
import { type Cell, object, type PsObject, recordOf } from './cells.ts';
import {
  COMPUTER,
  cim,
  GUEST_NETWORK,
  HOSTING,
  JOB,
  KVP,
  type OfComputer,
  POINT,
  PORT,
  SERVICES,
  SETTINGS,
  STORAGE,
} from './cim-objects.ts';
import { hvMachinesOf } from './equipment.ts';
import { hostOf } from './fabric.ts';
import { invalidArgument, PsFailure } from './failures.ts';
import type { Handlers } from './handlers.ts';
import { jobsOn } from './jobs.ts';
import type { OnHost, PsContext } from './model.ts';

export const cimReading: Handlers = {
  'Get-CimInstance': (context, args) => {
    if (!args.has('Namespace')) throw invalidArgument('Not found in the namespace root/cimv2');
    const all = instancesOf(onHost(context), args.text('ClassName'));
    const filter = args.maybeText('Filter');
    return filter === undefined ? all : all.filter(matching(filter));
  },

  'Get-CimAssociatedInstance': (context, args) => {
    const [on] = args.objects('InputObject');
    const association = args.maybeText('Association');
    const type = args.maybeText('ResultClassName');
    const found = neighboursOf(onHost(context), again(context, on!));
    return found
      .filter((one) => (association === undefined || one.association === association) && (type === undefined || one.object.type === type))
      .map(({ object: one }) => one);
  },
};

const onHost = ({ estate, endpoint, hyperv, host }: PsContext): OnHost => ({ estate, endpoint, hyperv, host });

/** `Name='value'`: text is compared without case, as WQL does. */
const matching = (filter: string): ((object: PsObject) => boolean) => {
  const [, name = '', value = ''] = /^([A-Za-z]+)='(.*)'$/.exec(filter) ?? [];
  return (one) => {
    const cell = one.read(name);
    if (cell === undefined)
      throw new PsFailure({ category: 'InvalidArgument', id: 'HRESULT 0x80041017', message: 'Invalid query', type: CIM_EXCEPTION });
    // A backslash is written twice in WQL.
    return textOf(cell) === value.replaceAll('\\\\', '\\').toLowerCase();
  };
};

const CIM_EXCEPTION = 'Microsoft.Management.Infrastructure.CimException';

const textOf = (cell: Cell): string =>
  (typeof cell === 'object' && cell !== null && '$int' in cell ? cell.$int : String(cell)).toLowerCase();

const computersOf = (at: OnHost): OfComputer[] =>
  hvMachinesOf(at)
    .filter((machine) => hostOf(at, machine) === at.host)
    .map((machine) => ({ at, machine }));

const INSTANCES: Readonly<Record<string, (at: OnHost) => PsObject[]>> = {
  Msvm_ComputerSystem: (at) => [object(HOSTING, at), ...computersOf(at).map((of) => cim(COMPUTER, of))],
  Msvm_VirtualSystemSettingData: (at) => computersOf(at).flatMap(settingsOf),
  Msvm_StorageAllocationSettingData: (at) =>
    computersOf(at)
      .flatMap(settingsOf)
      .flatMap(partsOf)
      .filter(({ type }) => type === STORAGE.type),
  Msvm_SyntheticEthernetPortSettingData: (at) =>
    computersOf(at)
      .flatMap(settingsOf)
      .flatMap(partsOf)
      .filter(({ type }) => type === PORT.type),
  Msvm_GuestNetworkAdapterConfiguration: (at) =>
    computersOf(at).flatMap((of) => of.machine.hv.adapters.map((adapter) => cim(GUEST_NETWORK, { ...of, adapter }))),
  Msvm_KvpExchangeComponent: (at) => computersOf(at).map((of) => cim(KVP, of)),
  Msvm_VirtualSystemReferencePoint: (at) => computersOf(at).flatMap(pointsOf),
  Msvm_ConcreteJob: (at) => jobsOn(at).map((job) => object(JOB, { at, job }, job.machine)),
  ...Object.fromEntries(Object.entries(SERVICES).map(([name, shape]) => [name, (at: OnHost) => [object(shape, at)]])),
};

/** Associations are had by the objects that they join. */
const instancesOf = (at: OnHost, type: string): PsObject[] => INSTANCES[type]?.(at) ?? [];

const settingsOf = (of: OfComputer): PsObject[] => [
  cim(SETTINGS, of),
  ...of.machine.hv.checkpoints.map((checkpoint) => cim(SETTINGS, { ...of, checkpoint })),
];

const pointsOf = (of: OfComputer): PsObject[] => of.machine.hv.referencePoints.map((point) => cim(POINT, { ...of, point }));

/** Of one setting: its disks and cards. */
const partsOf = (settings: PsObject): PsObject[] => {
  const of = recordOf(settings, SETTINGS);
  if (!of) return [];
  const { drives, adapters } = of.checkpoint?.config ?? of.machine.hv;
  return [...drives.map((drive) => cim(STORAGE, { ...of, drive })), ...adapters.map((adapter) => cim(PORT, { ...of, adapter }))];
};

const KEYS: Readonly<Record<string, string>> = { Msvm_ComputerSystem: 'Name', Msvm_KvpExchangeComponent: 'DeviceID' };
const keyNameOf = (type: string): string => KEYS[type] ?? (type in SERVICES ? 'Name' : 'InstanceID');

/** Whatever was handed in is looked up by its key: it may be a mere reference, or gone. */
export const again = (context: PsContext, on: PsObject): PsObject => {
  const name = keyNameOf(on.type);
  const key = on.read(name);
  const found = instancesOf(onHost(context), on.type).find((one) => one.read(name) === key);
  if (found) return found;
  throw new PsFailure({
    category: 'ObjectNotFound',
    id: 'HRESULT 0x80041002',
    message: 'Not found',
    type: CIM_EXCEPTION,
    hresult: 0x80041002,
    target: String(on),
  });
};

interface Neighbour {
  readonly association: string;
  readonly object: PsObject;
}

const neighboursOf = (at: OnHost, on: PsObject): Neighbour[] => {
  const via = (association: string, objects: readonly PsObject[]): Neighbour[] => objects.map((one) => ({ association, object: one }));
  const computer = recordOf(on, COMPUTER);
  if (computer) {
    const [realized, ...snapshots] = settingsOf(computer);
    return [
      ...via('Msvm_SettingsDefineState', [realized!]),
      ...via('Msvm_SnapshotOfVirtualSystem', snapshots),
      ...via('Msvm_ReferencePointOfVirtualSystem', pointsOf(computer)),
      ...via('Msvm_SystemDevice', [cim(KVP, computer)]),
    ];
  }
  const settings = recordOf(on, SETTINGS);
  if (settings) {
    const owner = cim(COMPUTER, { at, machine: settings.machine });
    const association = settings.checkpoint ? 'Msvm_SnapshotOfVirtualSystem' : 'Msvm_SettingsDefineState';
    return [...via('Msvm_VirtualSystemSettingDataComponent', partsOf(on)), ...via(association, [owner])];
  }
  const port = recordOf(on, PORT);
  // The association between a card and its guest's configuration is none that a request names.
  if (port) return port.checkpoint ? [] : via('Msvm_SettingDataComponent', [cim(GUEST_NETWORK, port)]);
  const job = recordOf(on, JOB)?.job;
  if (job) return via('Msvm_AffectedJobElement', job.affected);
  const point = recordOf(on, POINT);
  return point ? via('Msvm_ReferencePointOfVirtualSystem', [cim(COMPUTER, { at, machine: point.machine })]) : [];
};
