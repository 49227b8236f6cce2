// HttpNfcLease: disks out of a machine or into one, over HTTP.
import type { DiskId } from '../../../core/contract/index.ts';
import type { MoRef, VirtualMachineImportSpec } from '../../vsphere/port.ts';
import { createVm } from './configuration.ts';
import { snapshotDisks } from './device-changes.ts';
import { backingOf } from './devices.ts';
import { machineAt } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import { LEASE_SECONDS, leaseAt, leaseRef } from './leases.ts';
import { assertUnheld } from './locks.ts';
import type { LeaseRecord, VimContext, VimHandlers } from './model.ts';
import { notFound, VM_FOLDER } from './objects.ts';
import { destroy } from './removal.ts';
import { findSnapshot, findVm, invalidArgument, invalidPowerState, type Vm, vcenterOf, vmRef } from './vms.ts';

export const leaseHandlers: VimHandlers = {
  ExportVm: (context, on) => {
    const machine = machineAt(context, on);
    if (machine.power === 'on') throw invalidPowerState('poweredOn', 'poweredOff');
    const disks = disksOf(machine);
    assertUnheld(
      context,
      disks.map(({ layer }) => layer),
    );
    return grant(context, { mode: 'export', entity: on, disks });
  },

  ExportSnapshot: (context, on) => {
    const { machine, snapshot } = findSnapshot(context, on) ?? notFound(on);
    const disks = snapshot.disks.map(({ disk, key, layer }) => ({ key: `/${machine.id}/${key}`, layer, disk, deviceKey: key }));
    return grant(context, { mode: 'export', entity: vmRef(machine), disks });
  },

  ImportVApp: (context, on, { spec, folder = VM_FOLDER, host }) => {
    const { configSpec } = spec as Partial<VirtualMachineImportSpec>;
    if (!configSpec) throw invalidArgument('spec');
    const machine = createVm(context, configSpec, { folder, pool: on, host });
    return grant(context, { mode: 'import', entity: vmRef(machine), disks: disksOf(machine) });
  },

  HttpNfcLeaseProgress: (context, on, { percent }) => {
    const lease = readyLease(context, on);
    if (percent < 0 || percent > 100) throw invalidArgument('percent');
    lease.percent = percent;
    extend(context, lease);
    return undefined;
  },

  HttpNfcLeaseComplete: (context, on) => {
    readyLease(context, on).state = 'done';
    context.estate.revision++;
    return undefined;
  },

  HttpNfcLeaseAbort: (context, on) => {
    giveUp(context, readyLease(context, on), { type: 'RequestCanceled', message: 'The lease was aborted.' });
    return undefined;
  },
};

const disksOf = (machine: Vm): LeaseRecord['disks'] =>
  snapshotDisks(machine).map((device) => {
    const disk = backingOf(device).uuid as DiskId;
    return { key: `/${machine.id}/${device.key}`, layer: machine.volumes[disk]!, disk, deviceKey: device.key };
  });

const grant = (context: VimContext, of: Pick<LeaseRecord, 'mode' | 'entity' | 'disks'>): MoRef => {
  const lease: LeaseRecord = { ...of, id: context.estate.nextId('lease'), state: 'ready', percent: 0, expiresAtMs: 0 };
  vcenterOf(context.endpoint).leases.push(lease);
  extend(context, lease);
  return leaseRef(lease.id);
};

/** It ends by itself unless progress is told in time. */
const extend = (context: VimContext, lease: LeaseRecord): void => {
  const { estate } = context;
  lease.expiresAtMs = estate.timeline.now() + LEASE_SECONDS * 1000;
  estate.timeline.schedule(LEASE_SECONDS * 1000, () => expire(context, lease));
  estate.revision++;
};

const expire = (context: VimContext, lease: LeaseRecord): void => {
  if (lease.state !== 'ready' || lease.expiresAtMs > context.estate.timeline.now()) return;
  giveUp(context, lease, { type: 'Timedout', message: 'Operation timed out.' });
};

/** What was being imported goes with it. */
const giveUp = (context: VimContext, lease: LeaseRecord, error: NonNullable<LeaseRecord['error']>): void => {
  lease.state = 'error';
  lease.error = error;
  const machine = lease.mode === 'import' ? findVm(context, lease.entity) : undefined;
  if (machine) destroy(context, machine);
  context.estate.revision++;
};

const readyLease = (context: VimContext, on: MoRef): LeaseRecord => {
  const lease = leaseAt(context, on);
  if (lease.state === 'ready') return lease;
  throw lease.error?.type === 'Timedout' ? vimFault('Timedout') : vimFault('InvalidState');
};
