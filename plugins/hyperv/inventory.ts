// Machines of every host. Under VMM its view adds clouds and custom properties, and nothing else: it lags, the hosts are the truth.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, type Inventory, isDrError, type Machine, type MachineId } from '../../core/contract/index.ts';
import { assess } from './assess.ts';
import type { Fabric } from './fabric.ts';
import { lookAtHost, rowsOf } from './look.ts';
import { machineIdOf, toMachine } from './machine.ts';
import { listPlaces, storageFinder, storages } from './places.ts';
import { text } from './rows.ts';

type Labels = ReadonlyMap<string, Readonly<Record<string, string>>>;

export const inventoryOf = (fabric: Fabric): Inventory => ({
  listMachines: ({ labels }, call) => listMachines(fabric, labels, call),
  getMachine: (id, call) => getMachine(fabric, id, call),
  listPlaces: (kind, call) => listPlaces(fabric, kind, call),
  checkProtectable: (id, as, call) => assess(fabric, { id, as }, call),
});

async function* listMachines(fabric: Fabric, wanted: Readonly<Record<string, string>> | undefined, call: Call): AsyncGenerator<Machine> {
  const [hosts, labels, volumes] = await Promise.all([fabric.hosts(call), labelsOf(fabric, call), storages(fabric, call)]);
  const found = hosts.map((host) => lookAtHost(fabric, host, call));
  // Each is awaited in its turn below; one that fails before is not unheard.
  for (const one of found) one.catch(() => undefined);
  if (fabric.silent.length > 0) call.log.warn('machines of hosts that are down are missing', { hosts: fabric.silent });
  const seen = new Set<MachineId>();
  for (const [at, host] of hosts.entries()) {
    const storageOf = storageFinder(volumes, host);
    for (const rows of await found[at]!) {
      call.signal.throwIfAborted();
      const id = machineIdOf(rows.vm);
      // While it migrates two hosts show it.
      if (seen.has(id)) continue;
      seen.add(id);
      fabric.note(id, host);
      const machine = toMachine(rows, { storageOf, labels: labels.get(id), nowMs: fabric.time.now() });
      if (Object.entries(wanted ?? {}).every(([key, value]) => machine.labels[key] === value)) yield machine;
    }
  }
  call.signal.throwIfAborted();
}

export const getMachine = async (fabric: Fabric, id: MachineId, call: Call): Promise<Machine> => {
  const [rows, volumes, labels] = await Promise.all([rowsOf(fabric, id, call), storages(fabric, call), labelsOf(fabric, call, id)]);
  return toMachine(rows, { storageOf: storageFinder(volumes, rows.host), labels: labels.get(id), nowMs: fabric.time.now() });
};

const VMM_VIEW = ['VMId', 'Cloud.Name?', 'CustomProperty?'] as const;

const labelsOf = async (fabric: Fabric, call: Call, only?: MachineId): Promise<Labels> => {
  if (fabric.kind !== 'vmm') return new Map();
  const steps: Step[] = [
    { cmdlet: 'Get-SCVMMServer', params: { ComputerName: 'localhost' } },
    { cmdlet: 'Get-SCVirtualMachine', params: { All: true }, select: VMM_VIEW },
  ];
  try {
    const rows = await fabric.rows(fabric.center, steps, call);
    const labels = rows.flatMap((row): [string, Record<string, string>][] => {
      const id = text(row, 'VMId').toLowerCase();
      if (only !== undefined && id !== only) return [];
      const cloud = text(row, 'Cloud.Name');
      return [[id, { ...(cloud === '' ? {} : { cloud }), ...custom(row['CustomProperty']) }]];
    });
    return new Map(labels);
  } catch (error) {
    // The hosts go on without their manager, and a failover must not wait for it.
    if (only === undefined || !isDrError(error) || call.signal.aborted) throw error;
    call.log.warn('VMM does not answer: its labels are missing', { code: error.code, message: error.message });
    return new Map();
  }
};

const custom = (value: unknown): Record<string, string> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] !== ''),
      )
    : {};
