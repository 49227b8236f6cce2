// Everything that a vCenter does with machines, disks, files, and the hosts' switches.
import { configuration } from './configuration.ts';
import { copies } from './copies.ts';
import { diskFiles } from './disk-files.ts';
import { hostChanges } from './host-changes.ts';
import { leaseHandlers } from './lease-handlers.ts';
import type { VimHandlers } from './model.ts';
import { power } from './power.ts';
import { removal } from './removal.ts';
import { snapshots } from './snapshots.ts';
import { tracking } from './tracking.ts';

export const machineHandlers: VimHandlers = {
  ...configuration,
  ...copies,
  ...diskFiles,
  ...hostChanges,
  ...leaseHandlers,
  ...power,
  ...removal,
  ...snapshots,
  ...tracking,
};
