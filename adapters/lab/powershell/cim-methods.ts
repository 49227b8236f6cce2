// Invoke-CimMethod: what the services of root\virtualization\v2 do.
import { setGuestAddresses } from '../guest.ts';
import type { Hashtable, Value } from './arguments.ts';
import { type Cell, int, object, type PsObject, recordOf, type Shape } from './cells.ts';
import { take, takeOut } from './checkpoints.ts';
import { again } from './cim.ts';
import { assertArguments, embedded, numberIn, objectIn, textIn } from './cim-arguments.ts';
import { COMPUTER, cim, JOB, POINT, reference, SETTINGS } from './cim-objects.ts';
import { invalidState } from './failures.ts';
import type { Handlers } from './handlers.ts';
import { cancelJob, type Job, startJob, type Work } from './jobs.ts';
import { startMerging } from './merging.ts';
import type { CheckpointRecord, Hv, OnHost, PsContext, ReferencePointRecord } from './model.ts';
import { changesOf, forgetPosition, forgetRctId, rctId } from './tracking.ts';

const SNAPSHOT_MS = 30;
const SHORT_MS = 15;
const STARTED = 4096;

/** Return values of the snapshot methods. */
const INVALID_PARAMETER = 4;
const INVALID_TYPE = 6;

type Out = Readonly<Record<string, Cell>> & { readonly ReturnValue: number };
type Method = (context: PsContext, on: PsObject, args: Hashtable) => Out;

export const cimMethods: Handlers = {
  'Invoke-CimMethod': (context, args) => {
    const [on] = args.objects('InputObject');
    const name = args.text('MethodName');
    const given = args.table('Arguments');
    assertArguments(on!.type, name, given);
    const method = METHODS[`${on!.type}.${name}`]!;
    const { ReturnValue, ...out } = method(context, again(context, on!), given);
    return [object(RESULT, { ReturnValue: int(ReturnValue), PSComputerName: null, ...out })];
  },
};

const RESULT: Shape<Readonly<Record<string, Cell>>> = {
  type: 'Microsoft.Management.Infrastructure.CimMethodResult',
  text: () => 'Microsoft.Management.Infrastructure.CimMethodResult',
  properties: Object.fromEntries(
    [
      'ReturnValue',
      'PSComputerName',
      'Job',
      'ResultingSnapshot',
      'ResultingReferencePoint',
      'ProcessedByteLength',
      'ChangedByteOffsets',
      'ChangedByteLengths',
      'Errors',
    ].map((name) => [name, (of: Readonly<Record<string, Cell>>) => of[name] ?? null]),
  ),
};

// ---- methods ----------------------------------------------------------------------------------------------------------

const onHost = ({ estate, endpoint, hyperv, host }: PsContext): OnHost => ({ estate, endpoint, hyperv, host });

/** What the method would have made is had from the job. */
const started = (context: PsContext, work: Work): Out => {
  const at = onHost(context);
  const job: Job = startJob(context, { ...work, run: () => [...work.run(), machineOf(at, work)] });
  return { ReturnValue: STARTED, Job: reference(object(JOB, { at, job }, job.machine), 'InstanceID') };
};

const machineOf = (at: OnHost, { machine }: Work): PsObject => cim(COMPUTER, { at, machine: at.estate.machines.get(machine) as Hv });

/** Time has passed since the call: the machine may be gone, off its host, or changed. */
const assertStill = ({ estate, host }: PsContext, machine: Hv): void => {
  if (estate.machines.get(machine.id) !== machine) throw invalidState(`'${machine.name}' does not exist any more.`);
  if (machine.host !== host.place) throw invalidState(`'${machine.name}' is not on this host any more.`);
};

const createSnapshot: Method = (context, _, given) => {
  const of = recordOf(objectIn(context, given, 'AffectedSystem') ?? object(RESULT, {}), COMPUTER);
  const type = numberIn(given, 'SnapshotType');
  const settings = textIn(given, 'SnapshotSettings');
  const level = settings === '' ? ['1'] : embedded(settings, 'ConsistencyLevel');
  const isKnown = settings === '' || settings.includes('Msvm_VirtualSystemSnapshotSettingData');
  if (!of || ![2, 32_768].includes(type) || !isKnown || !['1', '2'].includes(level?.[0] ?? '')) return { ReturnValue: INVALID_PARAMETER };
  const { machine } = of;
  const run = () => {
    assertStill(context, machine);
    const name = `${machine.name} - (${context.estate.now()})`;
    const checkpoint = take(context, machine, { name, kind: type === 2 ? 'Standard' : 'Recovery', application: level?.[0] === '1' });
    return [cim(SETTINGS, { at: onHost(context), machine, checkpoint })];
  };
  return {
    ...started(context, { name: 'Creating Checkpoint', machine: machine.id, durationMs: SNAPSHOT_MS, run }),
    ResultingSnapshot: null,
  };
};

const checkpointIn = (context: PsContext, given: Hashtable): { machine: Hv; checkpoint: CheckpointRecord } | undefined => {
  const of = recordOf(objectIn(context, given, 'AffectedSnapshot') ?? object(RESULT, {}), SETTINGS);
  return of?.checkpoint && { machine: of.machine, checkpoint: of.checkpoint };
};

/** The checkpoint as it is when the job ends. */
const stillThere = (context: PsContext, machine: Hv, { id }: CheckpointRecord): CheckpointRecord => {
  assertStill(context, machine);
  const checkpoint = machine.hv.checkpoints.find((one) => one.id === id);
  if (!checkpoint) throw invalidState('The checkpoint does not exist any more.');
  return checkpoint;
};

const mergeStalls = ({ acts }: PsContext): boolean => acts.some((act) => 'mergeStalls' in act);

const destroySnapshot: Method = (context, _, given) => {
  const found = checkpointIn(context, given);
  if (!found) return { ReturnValue: INVALID_PARAMETER };
  const { machine } = found;
  const run = () => {
    const checkpoint = stillThere(context, machine, found.checkpoint);
    for (const { disk, position } of checkpoint.disks) if (position !== undefined) forgetPosition(context, disk, position);
    takeOut(context, machine, checkpoint);
    startMerging(context, machine, mergeStalls(context));
    return [];
  };
  return started(context, { name: 'Deleting Checkpoint', machine: machine.id, durationMs: SHORT_MS, run });
};

const convertToReferencePoint: Method = (context, _, given) => {
  const found = checkpointIn(context, given);
  if (!found) return { ReturnValue: INVALID_PARAMETER };
  if (found.checkpoint.kind !== 'Recovery') return { ReturnValue: INVALID_TYPE };
  const { machine } = found;
  const run = () => {
    const checkpoint = stillThere(context, machine, found.checkpoint);
    const point = pointFrom(context, checkpoint);
    machine.hv.referencePoints = [...machine.hv.referencePoints, point];
    takeOut(context, machine, checkpoint);
    startMerging(context, machine, mergeStalls(context));
    return [cim(POINT, { at: onHost(context), machine, point })];
  };
  const work = { name: 'Converting Checkpoint to Reference Point', machine: machine.id, durationMs: SNAPSHOT_MS, run };
  return { ...started(context, work), ResultingReferencePoint: null };
};

const pointFrom = (context: PsContext, { application, disks }: CheckpointRecord): ReferencePointRecord => ({
  id: context.estate.random.uuid(),
  application,
  disks: disks.flatMap(({ disk, file, position }) => {
    const id = position === undefined ? undefined : rctId(context, disk, position);
    const identifier = context.hyperv.files[file]?.identifier;
    return id === undefined || identifier === undefined ? [] : [{ disk, identifier, rctId: id }];
  }),
});

/** Anybody's: a point has no owner. */
const destroyReferencePoint: Method = (context, _, given) => {
  const of = recordOf(objectIn(context, given, 'AffectedReferencePoint') ?? object(RESULT, {}), POINT);
  if (!of) return { ReturnValue: 32_773 };
  const { machine, point } = of;
  const run = () => {
    assertStill(context, machine);
    if (!machine.hv.referencePoints.some(({ id }) => id === point.id)) throw invalidState('The reference point does not exist any more.');
    machine.hv.referencePoints = machine.hv.referencePoints.filter(({ id }) => id !== point.id);
    for (const { disk, rctId: id } of point.disks) forgetRctId(context, disk, id);
    context.estate.touch(machine);
    return [];
  };
  return started(context, { name: 'Destroying Reference Point', machine: machine.id, durationMs: SHORT_MS, run });
};

const getVirtualDiskChanges: Method = (context, _, given) => {
  // Only disks of VHD Sets have snapshots of their own.
  if (textIn(given, 'TargetSnapshotId') !== '') return { ReturnValue: 32_773 };
  const { processed, ranges } = changesOf(context, {
    path: textIn(given, 'Path'),
    limitId: textIn(given, 'LimitId'),
    byteOffset: numberIn(given, 'ByteOffset'),
    byteLength: numberIn(given, 'ByteLength'),
  });
  return {
    ReturnValue: 0,
    ProcessedByteLength: int(processed),
    ChangedByteOffsets: ranges.map(({ offset }) => int(offset)),
    ChangedByteLengths: ranges.map(({ length }) => int(length)),
    Job: null,
  };
};

/** By the guest's key-value component: it takes effect as soon as that answers. */
const setGuestNetwork: Method = (context, _, given) => {
  const { estate } = context;
  const of = recordOf(objectIn(context, given, 'ComputerSystem') ?? object(RESULT, {}), COMPUTER);
  const configurations = given.get('NetworkConfiguration');
  if (!of || !Array.isArray(configurations) || configurations.some((one: Value) => embedded(String(one), 'DHCPEnabled') === undefined))
    return { ReturnValue: 32_773 };
  const { machine } = of;
  const run = () => {
    assertStill(context, machine);
    const guest = estate.guests.get(machine.id);
    if (!guest) throw invalidState(`The guest of '${machine.name}' does not answer.`);
    const addresses = configurations.flatMap((one: Value) => embedded(String(one), 'IPAddresses') ?? []);
    const [boot] = estate.guestDisks(machine);
    if (boot) setGuestAddresses(boot, addresses);
    guest.addresses = addresses;
    estate.touch(machine);
    return [];
  };
  return started(context, { name: 'Setting Guest Network Adapter Configuration', machine: machine.id, durationMs: SNAPSHOT_MS, run });
};

const METHODS: Readonly<Record<string, Method>> = {
  'Msvm_VirtualSystemSnapshotService.CreateSnapshot': createSnapshot,
  'Msvm_VirtualSystemSnapshotService.DestroySnapshot': destroySnapshot,
  'Msvm_VirtualSystemSnapshotService.ConvertToReferencePoint': convertToReferencePoint,
  'Msvm_VirtualSystemReferencePointService.DestroyReferencePoint': destroyReferencePoint,
  'Msvm_ImageManagementService.GetVirtualDiskChanges': getVirtualDiskChanges,
  'Msvm_VirtualSystemManagementService.SetGuestNetworkAdapterConfiguration': setGuestNetwork,
  'Msvm_ConcreteJob.GetErrorEx': (_, on) => {
    const { job } = recordOf(on, JOB)!;
    return { ReturnValue: 0, Errors: job.errorCode === 0 ? [] : [errorText(job)] };
  },
  'Msvm_ConcreteJob.RequestStateChange': (context, on, given) => {
    const { job } = recordOf(on, JOB)!;
    if (![4, 5].includes(numberIn(given, 'RequestedState'))) return { ReturnValue: 5 };
    return { ReturnValue: cancelJob(context, job) ? 0 : 4097 };
  },
};

const errorText = ({ errorCode, errorText: text }: Job): string =>
  `<INSTANCE CLASSNAME="Msvm_Error"><PROPERTY NAME="ErrorCode" TYPE="uint32"><VALUE>${errorCode}</VALUE></PROPERTY><PROPERTY NAME="Message" TYPE="string"><VALUE>${text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</VALUE></PROPERTY></INSTANCE>`;
