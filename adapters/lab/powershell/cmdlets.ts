// Every cmdlet that hosts here have, by its name.
import { disks } from './disks.ts';
import type { Handlers } from './handlers.ts';
import { hosts } from './hosts.ts';
import { machines } from './machines.ts';
import { networks } from './networks.ts';
import { power } from './power.ts';

export const CMDLET_HANDLERS: Handlers = { ...hosts, ...machines, ...disks, ...networks, ...power };
