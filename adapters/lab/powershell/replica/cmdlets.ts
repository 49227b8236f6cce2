// The cmdlets of Hyper-V Replica.
import type { Bound } from '../arguments.ts';
import type { PsObject } from '../cells.ts';
import { hvMachinesOf } from '../equipment.ts';
import { hostOf } from '../fabric.ts';
import { invalidArgument, invalidState, PsFailure } from '../failures.ts';
import { each, eachMachine, type Handlers, nothing, placeOf, stillThere } from '../handlers.ts';
import type { Hv, PsContext } from '../model.ts';
import { VM, vmObject } from '../vm-object.ts';
import { planCycle } from './cycles.ts';
import { assertMode, assertState, dropLayers, hostAt, tryOtherEnd } from './ends.ts';
import { cancelFailover, complete, endTest, failOver, prepare, testFailover } from './failover.ts';
import { makeReplica } from './making.ts';
import { exportCopy, importCopy } from './media.ts';
import { isReplicated, type Replicated, type ReplicationRecord, type ReplicationState } from './model.ts';
import { healthObject, replicationObject } from './objects.ts';
import { askedPoint } from './points.ts';
import { removeReplication } from './removing.ts';
import { startResync } from './resync.ts';
import { reverse } from './reverse.ts';
import { planSeed } from './seed-later.ts';
import { dropTransfer, goOn, startTransfer } from './seeding.ts';
import { connect, nameOf, server } from './server.ts';
import { DEFAULTS, sendUpdate, settingsFrom } from './settings.ts';
import { newStatistics } from './statistics.ts';

const replicated = (machine: Hv): Replicated => {
  if (isReplicated(machine)) return machine;
  throw new PsFailure({
    category: 'InvalidOperation',
    id: 'InvalidState',
    message: `Replication is not enabled for the virtual machine '${machine.name}'.`,
  });
};

const eachReplicated = (
  context: PsContext,
  args: Bound,
  work: (machine: Replicated) => readonly PsObject[] | Promise<readonly PsObject[]> | void | Promise<void>,
): Promise<readonly PsObject[]> => eachMachine(context, args, async (machine) => (await work(replicated(machine))) ?? nothing);

export const replica: Handlers = {
  ...server,

  'Enable-VMReplication': (context, args) =>
    eachMachine(context, args, (machine) => {
      enable(context, machine, args);
      return nothing;
    }),

  'Set-VMReplication': (context, args) =>
    eachReplicated(context, args, async (machine) => {
      if (args.flag('Reverse')) return reverse(context, machine, args);
      change(context, machine, args);
    }),

  /** Without -VM, those of the host that replicate. */
  'Get-VMReplication': (context, args) => {
    const at = placeOf(context);
    if (args.has('VM')) return eachReplicated(context, args, (machine) => [replicationObject({ at, machine })]);
    return here(context).map((machine) => replicationObject({ at, machine }));
  },

  'Measure-VMReplication': (context, args) => {
    const at = placeOf(context);
    if (args.has('VM')) return eachReplicated(context, args, (machine) => [healthObject({ at, machine })]);
    return here(context).map((machine) => healthObject({ at, machine }));
  },

  'Start-VMInitialReplication': (context, args) => eachReplicated(context, args, (machine) => seed(context, machine, args)),
  'Import-VMInitialReplication': (context, args) =>
    eachReplicated(context, args, (machine) => importCopy(context, machine, args.text('Path'))),
  'Stop-VMInitialReplication': (context, args) => eachReplicated(context, args, (machine) => stopSeed(context, machine)),

  'Suspend-VMReplication': (context, args) => eachReplicated(context, args, (machine) => pause(context, machine)),
  'Resume-VMReplication': (context, args) => eachReplicated(context, args, (machine) => resume(context, machine, args)),
  'Remove-VMReplication': (context, args) => eachReplicated(context, args, (machine) => removeReplication(context, machine)),

  'Start-VMFailover': (context, args) => startFailover(context, args),
  'Stop-VMFailover': (context, args) =>
    eachReplicated(context, args, (machine) => {
      if (machine.hv.replication.test) return endTest(context, machine);
      return cancelFailover(context, machine);
    }),
  'Complete-VMFailover': (context, args) => eachReplicated(context, args, (machine) => complete(context, machine)),
};

const here = (context: PsContext): Replicated[] =>
  hvMachinesOf(context)
    .filter((machine) => hostOf(context, machine) === context.host)
    .filter(isReplicated);

const enable = (context: PsContext, machine: Hv, args: Bound): void => {
  if (machine.hv.replication) throw invalidState(`Replication is enabled for the virtual machine '${machine.name}' already.`);
  if (machine.hv.drives.length === 0) throw invalidArgument(`The virtual machine '${machine.name}' has no disk to replicate.`);
  const settings = settingsFrom(args, DEFAULTS);
  const replicaServer = args.text('ReplicaServerName');
  const to = connect(context, { server: replicaServer, ...settings });
  const made = makeReplica(to, context, machine);
  const { estate } = context;
  const shared = {
    relationship: estate.random.uuid(),
    settings,
    primaryServer: nameOf(context, context.host),
    replicaServer,
    drives: machine.hv.drives.map(({ id }) => id),
    lastType: 'None' as const,
    initialBytes: 0,
    points: [],
  };
  const record = (mode: 'Primary' | 'Replica', state: ReplicationState): ReplicationRecord => ({
    ...shared,
    mode,
    state,
    statistics: newStatistics(estate.timeline.now()),
  });
  machine.hv.replication = record('Primary', 'ReadyForInitialReplication');
  made.hv.replication = record('Replica', 'WaitingForInitialReplication');
  for (const one of [machine, made]) estate.touch(one);
};

const CHANGEABLE = ['Replicating', 'Suspended', 'ReadyForInitialReplication', 'WaitingForUpdateCompletion', 'UpdateError'];

const change = (context: PsContext, machine: Replicated, args: Bound): void => {
  assertMode(machine, 'Primary');
  assertState(machine, ...CHANGEABLE);
  const { replication } = machine.hv;
  replication.replicaServer = args.maybeText('ReplicaServerName') ?? replication.replicaServer;
  const before = replication.settings.frequencySec;
  replication.update = settingsFrom(args, replication.update ?? replication.settings);
  sendUpdate({ on: hostAt(context, machine), machine });
  if (replication.settings.frequencySec !== before && replication.nextMs !== undefined) planCycle(context, machine);
};

/** Over the network now or later, by media, or from a copy that is there already. */
const seed = (context: PsContext, machine: Replicated, args: Bound): void => {
  assertMode(machine, 'Primary');
  assertState(machine, 'ReadyForInitialReplication');
  const atMs = args.has('InitialReplicationStartTime') ? Date.parse(args.text('InitialReplicationStartTime')) : 0;
  if (args.has('DestinationPath')) exportCopy(context, machine, args.text('DestinationPath'));
  else if (atMs > context.estate.timeline.now()) planSeed(context, machine, atMs);
  else seedNow(context, machine, args.flag('UseBackup') ? 'resync' : 'initial');
};

const seedNow = (context: PsContext, machine: Replicated, kind: 'initial' | 'resync'): void => {
  const other = tryOtherEnd({ on: hostAt(context, machine), machine });
  if ('failing' in other) throw other;
  startTransfer(context, machine, kind);
};

/** What was sent counts for nothing. */
const stopSeed = (context: PsContext, machine: Replicated): void => {
  assertMode(machine, 'Primary');
  assertState(machine, 'InitialReplicationInProgress', 'WaitingForInitialReplication', 'ReadyForInitialReplication');
  const { replication } = machine.hv;
  dropTransfer(context, machine);
  dropLayers(context.estate, Object.values(replication.exported?.layers ?? {}));
  delete replication.exported;
  delete replication.seedAtMs;
  replication.state = 'ReadyForInitialReplication';
  context.estate.touch(machine);
};

const PAUSABLE = ['Replicating', 'InitialReplicationInProgress', 'Resynchronizing', 'FiredrillInProgress'];

const pause = (context: PsContext, machine: Replicated): void => {
  const { replication } = machine.hv;
  if (replication.paused) {
    context.warn('Replication is paused already.');
    return;
  }
  assertState(machine, ...PAUSABLE);
  replication.paused = { sinceMs: context.estate.timeline.now(), from: replication.state };
  replication.state = replication.state === 'Resynchronizing' ? 'ResynchronizeSuspended' : 'Suspended';
  context.estate.touch(machine);
};

const resume = (context: PsContext, machine: Replicated, args: Bound): void => {
  const { replication } = machine.hv;
  if (args.flag('Resynchronize')) {
    assertMode(machine, 'Primary');
    startResync(context, machine);
  } else if (replication.state === 'Replicating') context.warn('Replication is not paused.');
  else goOnAfter(context, machine);
};

const goOnAfter = (context: PsContext, machine: Replicated): void => {
  const { replication } = machine.hv;
  assertState(machine, 'Suspended', 'ResynchronizeSuspended', 'Error');
  delete replication.paused;
  if (replication.transfer) {
    replication.transfer.failures = 0;
    goOn(context, machine);
    return;
  }
  replication.state = 'Replicating';
  context.estate.touch(machine);
  if (replication.mode === 'Primary') planCycle(context, machine, 0);
};

const startFailover = async (context: PsContext, args: Bound): Promise<readonly PsObject[]> => {
  const asked = askedPoint(args);
  const machines = asked ? [asked.of] : args.records('VM', VM);
  return each(context, machines, async (of) => {
    const machine = replicated(stillThere(context, of));
    if (args.flag('Prepare')) await prepare(context, machine);
    else if (args.flag('AsTest')) {
      const made = await testFailover(context, machine, asked?.id);
      return [vmObject({ at: placeOf(context), machine: made })];
    } else await failOver(context, machine, asked?.id);
    return nothing;
  });
};
