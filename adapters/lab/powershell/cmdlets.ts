// Every cmdlet that hosts here have, by its name.
import { checkpoints } from './checkpoints.ts';
import { cimReading } from './cim.ts';
import { cimMethods } from './cim-methods.ts';
import { cluster } from './cluster.ts';
import { disks } from './disks.ts';
import { drives } from './drives.ts';
import type { Handlers } from './handlers.ts';
import { hosts } from './hosts.ts';
import { machines } from './machines.ts';
import { mounts } from './mounts.ts';
import { networks } from './networks.ts';
import { power } from './power.ts';
import { replica } from './replica/cmdlets.ts';
import { vmm } from './vmm.ts';

export const CMDLET_HANDLERS: Handlers = {
  ...hosts,
  ...machines,
  ...disks,
  ...drives,
  ...networks,
  ...power,
  ...checkpoints,
  ...cimReading,
  ...cimMethods,
  ...mounts,
  ...cluster,
  ...replica,
  ...vmm,
};
