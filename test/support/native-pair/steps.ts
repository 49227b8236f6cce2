// What a host does when it is told a step; refused as a host refuses it, told twice included.
import { DrError, type MachineId, type NativeStep } from '../../../core/contract/index.ts';
import type { HostMachine, Hosts } from './hosts.ts';

type Step<D extends NativeStep['do']> = Extract<NativeStep, { readonly do: D }>;

const pointOf = (machine: HostMachine, id: string | undefined): { readonly content: number } => {
  if (id === undefined) return machine;
  const point = machine.points.find((candidate) => candidate.id === id);
  if (!point) throw new DrError('NOT_FOUND', `${machine.name} has no point ${id}`, { context: { point: id, kind: 'point' } });
  return point;
};

const connect = (machine: HostMachine, nics: Step<'failover'>['nics']): void => {
  for (const nic of machine.nics) nic.network = nics.get(nic.id as never) ?? 'disconnected';
};

const ACTS: { readonly [D in NativeStep['do']]: (hosts: Hosts, host: string, machine: HostMachine, step: Step<D>) => void } = {
  prepare: (hosts, _host, machine) => {
    const replica = hosts.peerOf(machine);
    if (!replica || hosts.linkDown || hosts.host(machine.peer ?? '').down)
      throw new DrError('CONNECTION_LOST', `the replica host of ${machine.name} does not answer`);
    hosts.send(machine, replica);
    machine.state = 'PreparedForFailover';
    replica.planned = true;
  },
  failover: (_hosts, _host, machine, step) => {
    machine.before = { content: machine.content, replicatedAt: machine.replicatedAt };
    machine.content = pointOf(machine, step.point).content;
    machine.state = 'FailedOverWaitingCompletion';
    connect(machine, step.nics);
  },
  test: (hosts, host, machine, step) => {
    const id = `${machine.id}-test` as MachineId;
    const nics = machine.nics.map((nic) => ({ id: `${nic.id}-test`, network: step.nics.get(nic.id as never) ?? 'disconnected' }));
    const { peer: _peer, ...own } = machine;
    hosts.host(host).machines.set(id, {
      ...own,
      id,
      name: `${machine.name} - Test`,
      power: 'off',
      content: pointOf(machine, step.point).content,
      nics,
      role: 'none',
      state: 'Disabled',
      points: [],
    });
    machine.testMachine = id;
    machine.state = 'FiredrillInProgress';
  },
  endTest: (hosts, host, machine) => {
    hosts.host(host).machines.delete(machine.testMachine as MachineId);
    delete machine.testMachine;
    machine.state = 'Replicating';
  },
  cancel: (_hosts, _host, machine) => {
    if (machine.power === 'on') throw new DrError('STATE_CONFLICT', `${machine.name} runs`);
    if (machine.before) {
      machine.content = machine.before.content;
      delete machine.before;
    }
    machine.planned = false;
    machine.state = 'Replicating';
  },
  commit: (_hosts, _host, machine) => {
    // A planned failover is reversed as it stands.
    if (machine.planned) return;
    machine.state = 'FailedOver';
    machine.points = [];
  },
  pause: (_hosts, _host, machine) => {
    machine.state = 'Suspended';
  },
  resume: (_hosts, _host, machine) => void Object.assign(machine, { state: 'Replicating', health: 'Normal' }),
  resync: (hosts, _host, machine) => {
    machine.state = 'Resynchronizing';
    machine.copiedAt = hosts.now() + hosts.copyMs;
  },
  reverse: (hosts, host, machine, step) => {
    const old = hosts.host(step.to.address).machines.get(machine.id);
    if (!old || hosts.host(step.to.address).down) throw new DrError('CONNECTION_LOST', `${step.to.address} does not answer`);
    if (old.power === 'on') throw new DrError('STATE_CONFLICT', `${machine.name} runs at ${step.to.address}`);
    const state = machine.planned ? 'Replicating' : 'ReadyForInitialReplication';
    const { settings } = step.to;
    Object.assign(machine, { role: 'source', state, peer: step.to.address, settings, points: [], planned: false });
    Object.assign(old, { role: 'replica', state, peer: host, settings, points: [], planned: false, health: 'Normal' });
    delete machine.before;
    delete machine.replicatedAt;
    delete old.replicatedAt;
  },
};

export const act = (hosts: Hosts, host: string, id: string, step: NativeStep): void => {
  const machine = hosts.machine(host, id);
  if (!hosts.allowed(machine).includes(step.do)) {
    throw new DrError('STATE_CONFLICT', `${step.do} is not valid while ${machine.name} is ${machine.state}`, {
      context: { machine: machine.id, state: machine.state, vendorCode: '32775' },
    });
  }
  (ACTS[step.do] as (hosts: Hosts, host: string, machine: HostMachine, step: NativeStep) => void)(hosts, host, machine, step);
  hosts.acts.push(`${step.do} ${host}`);
};
