// Machines of all endpoints, as their hypervisors show them.
import { DrError, isDrError, type Machine } from '../contract/index.ts';
import { callFor, openEndpoint } from '../replication/core.ts';
import { listItems } from '../state/items.ts';
import { isNear, listEndpoints } from '../state/records.ts';
import type { Workbench } from './operation.ts';

export interface FoundMachine {
  readonly endpoint: string;
  readonly site: string;
  readonly machine: Machine;
}

export interface Query {
  readonly names?: readonly string[];
  /** `key=value`, or a value that any label has. */
  readonly label?: string;
  readonly endpoint?: string;
  /** Endpoints of this site are left out: what is there already need not be taken there. */
  readonly notAt?: string;
}

const hasLabel = (machine: Machine, label: string): boolean => {
  const [key, value] = label.includes('=') ? [label.slice(0, label.indexOf('=')), label.slice(label.indexOf('=') + 1)] : [undefined, label];
  return Object.entries(machine.labels).some(([name, content]) => content === value && (key === undefined || key === name));
};

/** Lists side by side; an endpoint that cannot be reached is told and does not hide the others. */
export const listAllMachines = async (
  bench: Workbench,
  query: Query,
  signal: AbortSignal,
): Promise<{
  readonly machines: FoundMachine[];
  readonly unreachable: { readonly endpoint: string; readonly because: string; readonly hint: string }[];
}> => {
  const endpoints = (await listEndpoints(bench.core.store.db)).filter(
    (endpoint) => endpoint.id === (query.endpoint ?? endpoint.id) && endpoint.site !== query.notAt,
  );
  const machines: FoundMachine[] = [];
  const unreachable: { endpoint: string; because: string; hint: string }[] = [];
  await Promise.all(
    endpoints.map(async (endpoint) => {
      try {
        const session = await openEndpoint(bench.core, endpoint.id);
        for await (const machine of session.inventory.listMachines({}, callFor(bench.core, `list/${endpoint.id}`, signal))) {
          if (!query.label || hasLabel(machine, query.label)) machines.push({ endpoint: endpoint.id, site: endpoint.site, machine });
        }
      } catch (error) {
        if (!isDrError(error) || signal.aborted) throw error;
        unreachable.push({ endpoint: endpoint.id, because: error.message, hint: error.hint });
      }
    }),
  );
  machines.sort((a, b) => (a.endpoint === b.endpoint ? a.machine.name.localeCompare(b.machine.name) : a.endpoint < b.endpoint ? -1 : 1));
  return { machines, unreachable };
};

/**
 * By name, id, or `endpoint/name`; or all with a label. A name that several machines have is refused with their ids;
 * a replica of ours has its source's name, and is meant only when it is named by its id or endpoint.
 */
export const findMachines = async (bench: Workbench, query: Query, signal: AbortSignal): Promise<FoundMachine[]> => {
  const { machines, unreachable } = await listAllMachines(bench, query, signal);
  if (!query.names?.length) return query.label ? machines : [];
  const replicas = new Set((await listItems(bench.core.store.db)).map(({ replica }) => `${replica?.endpoint}/${replica?.machine}`));
  return query.names.map((wanted) => {
    const named = machines.filter(
      ({ machine, endpoint }) =>
        machine.id === wanted ||
        machine.name === wanted ||
        `${endpoint}/${machine.name}` === wanted ||
        `${endpoint}/${machine.id}` === wanted,
    );
    const sources = named.filter(({ machine, endpoint }) => !replicas.has(`${endpoint}/${machine.id}`));
    const matching = sources.length > 0 ? sources : named;
    const [only, second] = matching;
    if (only && second) {
      throw new DrError('USAGE', `${matching.length} machines are called ${JSON.stringify(wanted)}`, {
        context: { kind: 'machine', name: wanted },
        hint: `name one by its id: ${matching.map((entry) => `${entry.endpoint}/${entry.machine.id}`).join(', ')}`,
      });
    }
    if (only) return only;
    throw notThere(wanted, machines, unreachable);
  });
};

const notThere = (
  wanted: string,
  machines: readonly FoundMachine[],
  unreachable: readonly { endpoint: string; because: string }[],
): DrError => {
  const near = machines.find(({ machine }) => isNear(machine.name, wanted));
  const dark =
    unreachable.length > 0 ? `; not looked at: ${unreachable.map((entry) => `${entry.endpoint} (${entry.because})`).join(', ')}` : '';
  return new DrError('NOT_FOUND', `no endpoint has a machine ${JSON.stringify(wanted)}${dark}`, {
    context: { kind: 'machine', name: wanted },
    hint: near ? `did you mean ${JSON.stringify(near.machine.name)}?` : 'run machine list to see the machines',
  });
};
