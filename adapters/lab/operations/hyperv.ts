import { DrError } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import { clusterName, isHv } from '../powershell/fabric.ts';
import type { At } from '../powershell/model.ts';
import { atOf, bringUp, hostNamed, migrate, startService, stopService } from '../powershell/nodes.ts';
import { serverOf } from '../powershell/replica/server.ts';
import type { Hosts } from '../powershell/sessions.ts';
import { type Handlers, nothing } from './handlers.ts';

type Methods = 'lab.powershell' | 'lab.setHost' | 'lab.setReplicaServer' | 'lab.setReplication' | 'lab.migrate';

/** Longer than any test or demonstration: until it is told to run again. */
const STOPPED_MS = 365 * 24 * 3_600_000;

const hypervAt = (estate: Estate, name: string): At => {
  const endpoint = estate.endpoint(name);
  if (endpoint.hyperv) return atOf(estate, endpoint);
  throw new DrError('CAPABILITY_MISSING', `endpoint ${name} has no Hyper-V hosts`, { context: { endpoint: name } });
};

/** Where the simulated Hyper-V hosts are, and what happens to them. */
export const hyperv = (hosts: Hosts, executable: () => string | undefined): Pick<Handlers<'lab'>, Methods> => ({
  'lab.powershell': ({ estate }, args) => {
    const at = hypervAt(estate, args.endpoint);
    const { kind, hosts: all } = at.hyperv;
    const { username, name } = at.endpoint;
    const path = executable();
    return {
      kind,
      address: kind === 'cluster' ? clusterName(at) : name,
      hosts: all.map((host) => host.name),
      ...(username === undefined ? {} : { username }),
      ...(path === undefined ? {} : { executable: path }),
    };
  },
  'lab.setHost': ({ estate }, args) => {
    const at = hypervAt(estate, args.endpoint);
    const host = hostNamed(at, args.host);
    if (args.up === false) hosts.takeDown(at, host);
    if (args.up === true) bringUp(at, host);
    if (args.service === 'stopped') stopService(at, host, STOPPED_MS);
    if (args.service === 'running') startService(at, host);
    return nothing;
  },
  'lab.setReplicaServer': ({ estate }, args) => {
    const { hyperv: record } = hypervAt(estate, args.endpoint);
    record.replicaServer = { ...serverOf(record), ...args.settings };
    estate.revision++;
    return nothing;
  },
  'lab.setReplication': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    if (!machine.hv?.replication)
      throw new DrError('STATE_CONFLICT', `machine ${machine.id} does not replicate`, { context: { machine: machine.id } });
    machine.hv.replication.state = args.state;
    estate.touch(machine);
    return nothing;
  },
  'lab.migrate': async ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    if (!isHv(machine))
      throw new DrError('CAPABILITY_MISSING', `machine ${machine.id} is on no Hyper-V host`, { context: { machine: machine.id } });
    await migrate(hypervAt(estate, machine.endpoint), machine, args.to);
    return nothing;
  },
});
