import type { CommandSpec } from '../command.ts';
import { itemVerb, TARGET } from '../item-verb.ts';

const switchCommand = (name: 'pause' | 'resume', about: string): CommandSpec => ({
  name,
  args: TARGET,
  about,
  options: [{ flags: '--reason <text>', about: 'why, for the audit' }],
  examples: [`warmsite sync ${name} erp`],
  run: async (cli, { args: [target = ''], options }) => {
    const done = await cli.call<{ members: readonly string[] }>(`sync.${name}`, { target }, options);
    await cli.print.one({ kind: 'Sync', data: done, name: target, text: `replication ${name}d: ${done.members.join(', ')}` });
  },
});

export const commands: readonly CommandSpec[] = [
  itemVerb({
    name: 'now',
    operation: 'sync.now',
    called: 'cycle',
    about: 'Run one cycle now: a new recovery point',
    examples: ['warmsite sync now erp'],
  }),
  switchCommand('pause', 'Pause replication; recovery points stay'),
  switchCommand('resume', 'Resume replication'),
  itemVerb({
    name: 'resync',
    operation: 'sync.resync',
    called: 'resync',
    about: 'Compare both sides and send what differs',
    final: 'all disks are read on both sides; until it ends no new recovery point is made',
    examples: ['warmsite sync resync erp --confirm erp'],
  }),
  itemVerb({
    name: 'verify',
    operation: 'sync.verify',
    called: 'verification',
    about: 'Compare source and replica at one point',
    examples: ['warmsite sync verify erp'],
  }),
];
