// Hyper-V Replica: hosts that replicate by themselves, ordered by cmdlets. Every step looks first; what a call leads to is seen by the next look.
import type { Argument, Step } from '../../adapters/powershell/port.ts';
import {
  type Call,
  DrError,
  type Finding,
  isDrError,
  type MachineId,
  type NativeListener,
  type NativePair,
  type NativePeer,
  type NativeSeed,
  type NativeStatus,
  type NativeStep,
} from '../../core/contract/index.ts';
import type { Epochs } from '../../core/plugin-kit/index.ts';
import { connectCard } from './cards.ts';
import { type Fabric, vmById } from './fabric.ts';
import { changeMarks, without } from './marks.ts';
import {
  addressOf,
  connectionFinding,
  explained,
  isWithoutCertificate,
  listenerFrom,
  serverStep,
  settingsFindings,
} from './native-checks.ts';
import { lookForNative, type Native } from './native-status.ts';
import { placeTestCards } from './native-test.ts';
import { awaitClosed } from './power.ts';
import { text } from './rows.ts';

export interface NativeGround {
  readonly fabric: Fabric;
  readonly epochs: Epochs;
}

/** Both hosts are asked, and the disks of a machine are opened at each. */
const SLOW_MS = 300_000;

export const nativePairOf = (ground: NativeGround): NativePair => ({
  listener: (call) => listener(ground.fabric, call),
  checkPair: (id, to, call) => checkPair(ground.fabric, { id, to }, call),
  enable: (id, to, call) => enable(ground, { id, to }, call),
  remove: (id, call) => remove(ground, id, call),
  seed: (id, how, call) => seed(ground, { id, how }, call),
  observe: (ids, call) => observe(ground.fabric, ids, call),
  act: (id, step, call) => act(ground, { id, step }, call),
});

async function* observe(fabric: Fabric, ids: readonly MachineId[], call: Call): AsyncGenerator<NativeStatus> {
  for await (const { status } of lookForNative(fabric, ids, call)) yield status;
}

const findNative = async (fabric: Fabric, id: MachineId, call: Call): Promise<Native | undefined> => {
  for await (const one of lookForNative(fabric, [id], call)) return one;
  return undefined;
};

/** Throws NOT_FOUND. */
const lookAt = async (fabric: Fabric, id: MachineId, call: Call): Promise<Native> => {
  const found = await findNative(fabric, id, call);
  if (found) return found;
  throw new DrError('NOT_FOUND', `there is no machine ${JSON.stringify(id)} at ${fabric.center}`, {
    context: { kind: 'machine', machine: id },
  });
};

const onVm = (cmdlet: Step['cmdlet'], params: Readonly<Record<string, Argument>> = {}): Step => ({
  cmdlet,
  params: { VM: { $step: 0 }, ...params },
});

const tell = async ({ fabric }: NativeGround, id: MachineId, steps: readonly Step[], call: Call): Promise<void> => {
  try {
    await fabric.onOwner(id, [vmById(id), ...steps], call, SLOW_MS);
  } catch (error) {
    throw explained(error);
  }
  call.signal.throwIfAborted();
};

// ---- making the pair ---------------------------------------------------------------------------------------------------

const listener = async (fabric: Fabric, call: Call): Promise<NativeListener> => {
  const [host = fabric.center] = await fabric.hosts(call);
  const [row] = await fabric.rows(host, [serverStep], call);
  const { address, findings } = await addressOf(fabric, host, call);
  return listenerFrom(address, row ?? {}, findings);
};

interface Pairing {
  readonly id: MachineId;
  readonly to: NativePeer;
}

const checkPair = async (fabric: Fabric, { id, to }: Pairing, call: Call): Promise<readonly Finding[]> => {
  const findings = settingsFindings(to.settings);
  const host = await fabric.ownerOf(id, call);
  try {
    await certificateFor(fabric, host, to, call);
  } catch (error) {
    findings.push(connectionFinding(error, to));
  }
  call.signal.throwIfAborted();
  return findings;
};

/** Tries the connection: with the certificate that is named, or, where the host has none of that name, with that of its own listener. */
const certificateFor = async (fabric: Fabric, host: string, to: NativePeer, call: Call): Promise<string | undefined> => {
  const { authentication, certificateThumbprint: named } = to.settings;
  const test = (thumbprint: string | undefined) => fabric.run(host, [testStep(to, thumbprint)], call, SLOW_MS);
  const own = async () => text((await fabric.rows(host, [serverStep], call))[0] ?? {}, 'CertificateThumbprint') || undefined;
  if (authentication === 'kerberos') {
    await test(undefined);
    return undefined;
  }
  const first = named ?? (await own());
  try {
    await test(first);
    return first;
  } catch (error) {
    const other = await own();
    if (!isWithoutCertificate(error) || other === undefined || other === first) throw error;
    await test(other);
    return other;
  }
};

const connectionOf = ({ address, port, settings }: NativePeer, thumbprint: string | undefined): Readonly<Record<string, Argument>> => ({
  ReplicaServerName: address,
  ReplicaServerPort: port,
  AuthenticationType: settings.authentication === 'kerberos' ? 'Kerberos' : 'Certificate',
  ...(thumbprint === undefined ? {} : { CertificateThumbprint: thumbprint }),
});

const testStep = (to: NativePeer, thumbprint: string | undefined): Step => ({
  cmdlet: 'Test-VMReplicationConnection',
  params: connectionOf(to, thumbprint),
});

const paramsOf = (to: NativePeer, thumbprint: string | undefined): Readonly<Record<string, Argument>> => ({
  ...connectionOf(to, thumbprint),
  CompressionEnabled: to.settings.compression,
  ReplicationFrequencySec: to.settings.frequencySeconds,
  RecoveryHistory: to.settings.points,
  VSSSnapshotFrequencyHour: to.settings.applicationConsistentHours,
});

const sameServer = (a: string, b: string): boolean => a.toLowerCase().split('.')[0] === b.toLowerCase().split('.')[0];

const enable = async (ground: NativeGround, { id, to }: Pairing, call: Call): Promise<void> => {
  const { fabric, epochs } = ground;
  await epochs.check(id, call);
  const { status, host, replicaServer } = await lookAt(fabric, id, call);
  const isThere = status.role === 'source' && sameServer(replicaServer, to.address);
  if (status.role !== 'none' && !isThere) throw notNow(id, 'a second replication', status);
  if (!isThere) await makePair(ground, { id, to, host }, call);
  await changeMarks(fabric, id, (marks) => ({ ...marks, origin: true }), call);
};

const makePair = async (ground: NativeGround, { id, to, host }: Pairing & { readonly host: string }, call: Call): Promise<void> => {
  const [invalid] = settingsFindings(to.settings);
  if (invalid) throw new DrError('CONFIG_INVALID', invalid.message, { hint: invalid.hint, context: { machine: id } });
  try {
    const thumbprint = await certificateFor(ground.fabric, host, to, call);
    await tell(ground, id, [onVm('Enable-VMReplication', paramsOf(to, thumbprint))], call);
  } catch (error) {
    throw explained(error);
  }
};

/** A copy that never ran is ours to delete: once it is of no pair, only its mark tells. */
const remove = async (ground: NativeGround, id: MachineId, call: Call): Promise<void> => {
  const { fabric, epochs } = ground;
  const found = await findNative(fabric, id, call);
  if (!found) return;
  await epochs.check(id, call);
  const { role, vendorState } = found.status;
  const isCopy = role === 'replica' && !vendorState.startsWith('FailedOver');
  const ours = { adopted: false, disks: {}, nics: {} };
  if (role !== 'none')
    await changeMarks(fabric, id, (marks) => (isCopy && !marks.origin && !marks.replica ? { ...marks, replica: ours } : marks), call);
  if (role !== 'none') await tell(ground, id, [onVm('Remove-VMReplication')], call);
  await changeMarks(fabric, id, (marks) => without(marks, 'origin'), call);
};

const seed = async (ground: NativeGround, { id, how }: { readonly id: MachineId; readonly how: NativeSeed }, call: Call): Promise<void> => {
  await ground.epochs.check(id, call);
  const { status } = await lookAt(ground.fabric, id, call);
  if (status.role !== 'source') throw notNow(id, 'a first copy', status);
  if (status.vendorState !== 'ReadyForInitialReplication') return;
  await tell(ground, id, [onVm('Start-VMInitialReplication', seedParams(how))], call).catch((error: unknown) => {
    // Somebody was faster: it is under way.
    if (!isDrError(error, 'STATE_CONFLICT')) throw error;
  });
};

const seedParams = (how: NativeSeed): Readonly<Record<string, Argument>> => {
  if (how.by === 'media') return { DestinationPath: how.path };
  if (how.by === 'existing') return { UseBackup: true };
  return how.startAt === undefined ? {} : { InitialReplicationStartTime: { $type: 'date', value: how.startAt } };
};

// ---- steps -------------------------------------------------------------------------------------------------------------

const notNow = (id: MachineId, what: string, { role, vendorState }: NativeStatus): DrError =>
  new DrError(
    'STATE_CONFLICT',
    `${what} is not possible while machine ${id} is ${role === 'none' ? 'not replicating' : `a ${role} in state ${vendorState}`}`,
    {
      context: { machine: id, state: vendorState },
    },
  );

interface Acting {
  readonly id: MachineId;
  readonly step: NativeStep;
}

const act = async (ground: NativeGround, { id, step }: Acting, call: Call): Promise<NativeStatus> => {
  await ground.epochs.check(id, call);
  const before = await lookAt(ground.fabric, id, call);
  if (!before.status.allowed.includes(step.do)) throw notNow(id, step.do, before.status);
  await carryOut(ground, { id, step, before }, call);
  return (await lookAt(ground.fabric, id, call)).status;
};

interface Doing extends Acting {
  readonly before: Native;
}

const carryOut = async (ground: NativeGround, { id, step, before }: Doing, call: Call): Promise<void> => {
  const { testMachine } = before.status;
  // Whoever has switched it off may have been killed before it had closed its files: the host refuses until then.
  if (step.do === 'prepare' || step.do === 'cancel') await awaitClosed(ground.fabric, id, call);
  if (step.do === 'endTest' && testMachine !== undefined) await awaitClosed(ground.fabric, testMachine, call);
  if (step.do === 'failover' || step.do === 'test') await failOver(ground, { id, step, before }, call);
  else if (step.do === 'reverse') await reverse(ground, { id, to: step.to, host: before.host }, call);
  // A planned failover is reversed from where it stands.
  else if (step.do !== 'commit' || !before.planned) await tell(ground, id, [simpleStep(step.do, before.status)], call);
};

const simpleStep = (verb: Exclude<NativeStep['do'], 'failover' | 'test' | 'reverse'>, status: NativeStatus): Step => {
  if (verb === 'prepare') return onVm('Start-VMFailover', { Prepare: true });
  if (verb === 'pause') return onVm('Suspend-VMReplication');
  if (verb === 'resume') return onVm('Resume-VMReplication');
  if (verb === 'resync') return resyncStep(status);
  return onVm(verb === 'commit' ? 'Complete-VMFailover' : 'Stop-VMFailover');
};

/** A first copy that was never started compares as well: the other end may have the machine from before. */
const resyncStep = ({ vendorState }: NativeStatus): Step =>
  vendorState === 'ReadyForInitialReplication'
    ? onVm('Start-VMInitialReplication', { UseBackup: true })
    : onVm('Resume-VMReplication', { Resynchronize: true });

const reverse = async (ground: NativeGround, { id, to, host }: Pairing & { readonly host: string }, call: Call): Promise<void> => {
  try {
    const thumbprint = await certificateFor(ground.fabric, host, to, call);
    await tell(ground, id, [onVm('Set-VMReplication', { Reverse: true, ...paramsOf(to, thumbprint) })], call);
  } catch (error) {
    throw explained(error);
  }
};

type Failing = Extract<NativeStep, { readonly do: 'failover' | 'test' }>;

/** Cables first: once it has failed over, the machine must be where it belongs, whoever is killed in between. */
const failOver = async (ground: NativeGround, { id, step, before }: Doing & { readonly step: Failing }, call: Call): Promise<void> => {
  const { fabric } = ground;
  const { host, status } = before;
  if (step.point !== undefined && !status.points.some(({ id: point }) => point === step.point))
    throw new DrError('NOT_FOUND', `machine ${id} has no recovery point ${step.point}`, {
      context: { kind: 'point', machine: id, point: step.point },
    });
  if (step.do === 'test') await placeTestCards(fabric, { id, host, nics: step.nics }, call);
  else for (const [card, to] of step.nics) await connectCard(fabric, { id, host, card, to }, call);
  const how = step.do === 'test' ? { AsTest: true } : {};
  if (step.point === undefined) return tell(ground, id, [onVm('Start-VMFailover', how)], call);
  const steps: Step[] = [
    { cmdlet: 'Get-VMSnapshot', params: { Id: step.point } },
    { cmdlet: 'Start-VMFailover', params: { VMRecoverySnapshot: { $step: 0 }, ...how } },
  ];
  await fabric.run(host, steps, call, SLOW_MS);
  call.signal.throwIfAborted();
};
