// What happens to hosts, and to the machines on them: power, the management service, failover and live migration.
import { DrError } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord } from '../records.ts';
import { hvMachinesOf, specFromHv } from './equipment.ts';
import { hostOf, hypervOf, isClustered, sameName } from './fabric.ts';
import { forgetJobs } from './jobs.ts';
import { mergeAnew, needsMerging } from './merging.ts';
import type { At, HostRecord, Hv } from './model.ts';
import { loseMounts } from './mounts.ts';
import { loseReplication, resumeReplication } from './replica/resume.ts';

/** Until the cluster has noticed, and has started the machines elsewhere. */
const FAILOVER_MS = 2000;
const MIGRATE_MS = 500;

export const atOf = (estate: Estate, endpoint: EndpointRecord): At => ({ estate, endpoint, hyperv: hypervOf(endpoint) });

const machinesOn = (at: At, host: HostRecord): Hv[] => hvMachinesOf(at).filter((machine) => hostOf(at, machine) === host);

export const hostNamed = ({ hyperv, endpoint }: At, name: string): HostRecord => {
  const host = hyperv.hosts.find((one) => sameName(one.name, name));
  if (host) return host;
  throw new DrError('NOT_FOUND', `endpoint ${endpoint.name} has no host ${name}`, { context: { kind: 'host', name } });
};

/** What was in the memory of the host is gone. */
export const forgetHost = (at: At, host: HostRecord): void => {
  loseMounts(at, host);
  forgetJobs(at.endpoint, host.name);
  for (const machine of machinesOn(at, host)) {
    delete machine.hv.closedAtMs;
    loseReplication(at, machine);
  }
};

/** Clustered machines that ran on it start on another node, if one is up. */
export const takeDown = (at: At, host: HostRecord): void => {
  if (!host.up) return;
  host.up = false;
  const machines = machinesOn(at, host);
  for (const machine of machines) at.estate.powerOff(machine, true);
  forgetHost(at, host);
  at.estate.revision++;
  at.estate.timeline.schedule(FAILOVER_MS, () => {
    if (!host.up) for (const machine of machines) failOver(at, machine);
  });
};

const failOver = (at: At, machine: Hv): void => {
  const to = at.hyperv.hosts.find(({ up }) => up);
  if (!to || !machine.hv.clustered || at.estate.machines.get(machine.id) !== machine) return;
  moveTo(at, machine, to);
  if (machine.ranAtPowerCut) at.estate.powerOn(machine);
  if (needsMerging(at, machine)) mergeAnew(at, machine);
};

export const bringUp = (at: At, host: HostRecord): void => {
  if (host.up) return;
  host.up = true;
  at.estate.revision++;
  for (const machine of machinesOn(at, host)) {
    if (machine.ranAtPowerCut && machine.hv.startAction !== 'Nothing') at.estate.powerOn(machine);
    if (needsMerging(at, machine)) mergeAnew(at, machine);
  }
};

/** Jobs end with it, merges go on once it is back. */
export const stopService = (at: At, host: HostRecord, ms: number): void => {
  const { timeline } = at.estate;
  host.vmmsStoppedUntilMs = timeline.now() + ms;
  forgetJobs(at.endpoint, host.name);
  at.estate.revision++;
  timeline.schedule(ms, () => startService(at, host));
};

export const startService = (at: At, host: HostRecord): void => {
  delete host.vmmsStoppedUntilMs;
  at.estate.revision++;
  for (const machine of machinesOn(at, host)) if (needsMerging(at, machine)) mergeAnew(at, machine);
};

/** The node after the machine's own that is up, unless one is named. */
const targetFor = (at: At, machine: Hv, name: string | undefined): HostRecord => {
  const { hosts } = at.hyperv;
  if (name !== undefined) return hostNamed(at, name);
  const own = hosts.indexOf(hostOf(at, machine));
  const next = [...hosts.slice(own + 1), ...hosts.slice(0, own)].find(({ up }) => up);
  if (next) return next;
  throw new DrError('STATE_CONFLICT', `no other node of ${at.endpoint.name} is up`, { context: { machine: machine.id } });
};

/** The guest goes on, and so does what the tracker knows. */
const moveTo = (at: At, machine: Hv, host: HostRecord): void => {
  machine.host = host.place;
  specFromHv(at, machine);
};

export const move = (at: At, machine: Hv, name?: string): void => moveTo(at, machine, targetFor(at, machine, name));

export const migrate = (at: At, machine: Hv, name: string | undefined): Promise<void> => {
  if (!isClustered(at.hyperv)) {
    throw new DrError('CAPABILITY_MISSING', `${at.endpoint.name} is no cluster`, { context: { endpoint: at.endpoint.name } });
  }
  const to = targetFor(at, machine, name);
  return at.estate.timeline.sleep(MIGRATE_MS).then(() => {
    if (at.estate.machines.get(machine.id) === machine && to.up) moveTo(at, machine, to);
  });
};

/** The lab starts again: what merged goes on, and a host that had lost its power has nothing mounted. */
export const resumeHosts = (estate: Estate, endpoint: EndpointRecord, clean: boolean): void => {
  if (!endpoint.hyperv) return;
  const at = atOf(estate, endpoint);
  for (const host of at.hyperv.hosts) {
    delete host.vmmsStoppedUntilMs;
    if (!clean) loseMounts(at, host);
  }
  for (const machine of hvMachinesOf(at)) {
    if (needsMerging(at, machine)) mergeAnew(at, machine);
    resumeReplication(at, machine);
  }
};
