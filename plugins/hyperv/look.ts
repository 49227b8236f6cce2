// Everything about the machines of a host, or about one, in as few requests as it takes.
import type { PsRow, Step, StepResult } from '../../adapters/powershell/port.ts';
import type { Call, MachineId } from '../../core/contract/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { ADAPTER, DRIVE, FIRMWARE, KVP, type MachineRows, machineIdOf, SECURITY, VHD, VLAN, VM } from './machine.ts';
import { type Notes, readNotes } from './notes.ts';
import { text } from './rows.ts';
import { instances } from './wmi.ts';

/** Thousands of disks are opened one after the other. */
const LOOK_MS = 120_000;

/** Of the machines that step 0 finds. A machine of generation 1 has no firmware, a disk on another node's lock no header: they are left out. */
const about = (exchange: Step): readonly Step[] => [
  { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } }, select: DRIVE, collect: true },
  { cmdlet: 'Get-VHD', params: { VMId: { $step: 0, $property: 'Id' } }, select: VHD, collect: true },
  { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } }, select: ADAPTER, collect: true },
  { cmdlet: 'Get-VMNetworkAdapterVlan', params: { VMNetworkAdapter: { $step: 3 } }, select: VLAN, collect: true },
  { cmdlet: 'Get-VMFirmware', params: { VM: { $step: 0 } }, select: FIRMWARE, collect: true },
  { cmdlet: 'Get-VMSecurity', params: { VM: { $step: 0 } }, select: SECURITY, collect: true },
  { ...exchange, collect: true },
];

const EXCHANGE = 'Msvm_KvpExchangeComponent';

export const lookAtHost = async (fabric: Fabric, host: string, call: Call): Promise<MachineRows[]> => {
  const results = await fabric.run(
    host,
    [{ cmdlet: 'Get-VM', params: {}, select: VM }, ...about(instances(EXCHANGE, undefined, KVP))],
    call,
    LOOK_MS,
  );
  return gather(host, results);
};

/** Throws NOT_FOUND, or PROTOCOL_ERROR where somebody has changed our line in its notes. */
export const lookAt = async (fabric: Fabric, id: MachineId, call: Call): Promise<Look> => {
  const rows = await rowsOf(fabric, id, call);
  return { ...rows, id, notes: readNotes(text(rows.vm, 'Notes')) };
};

/** Throws NOT_FOUND. */
export const rowsOf = async (fabric: Fabric, id: MachineId, call: Call): Promise<MachineRows> => {
  const results = await fabric.withOwner(
    id,
    async (host) => {
      const exchange = instances(EXCHANGE, { property: 'SystemName', value: id.toUpperCase() }, KVP);
      return gather(host, await fabric.run(host, [vmById(id, VM), ...about(exchange)], call, LOOK_MS));
    },
    call,
  );
  const rows = results[0]!;
  fabric.note(id, rows.host);
  return rows;
};

export interface Look extends MachineRows {
  readonly id: MachineId;
  readonly notes: Notes;
}

const gather = (host: string, [vms, drives, vhds, adapters, vlans, firmware, security, exchange]: readonly StepResult[]): MachineRows[] => {
  const byPath = new Map((vhds?.rows ?? []).map((row) => [text(row, 'Path').toLowerCase(), row]));
  const of = (result: StepResult | undefined, key = 'VMId') => Map.groupBy(result?.rows ?? [], (row) => text(row, key).toLowerCase());
  const exchangeBy = new Map((exchange?.rows ?? []).map((row) => [text(row, 'SystemName').toLowerCase(), row]));
  const [drivesBy, adaptersBy, firmwareBy, securityBy] = [of(drives), of(adapters), of(firmware), of(security)];
  const vlansBy = of(vlans, 'ParentAdapter.VMId');
  return (vms?.rows ?? []).map((vm): MachineRows => {
    const id = machineIdOf(vm);
    const first = (rows: Map<string, PsRow[]>) => rows.get(id)?.[0];
    return {
      host,
      vm,
      drives: drivesBy.get(id) ?? [],
      vhds: byPath,
      adapters: adaptersBy.get(id) ?? [],
      vlans: vlansBy.get(id) ?? [],
      firmware: first(firmwareBy),
      security: first(securityBy),
      exchange: exchangeBy.get(id),
    };
  });
};
