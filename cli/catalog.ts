// The nouns of the command line, in the order of the help. Each module is loaded when its noun is used.
import type { Noun } from './command.ts';

const noun = (group: Noun['group'], name: string, about: string, load: Noun['load']): Noun => ({ group, name, about, load });

export const CATALOG: readonly Noun[] = [
  noun('Set up', 'site', 'The two sites', () => import('./commands/site.ts')),
  noun('Set up', 'endpoint', 'Hypervisor managers, hosts and servers', () => import('./commands/endpoint.ts')),
  noun('Set up', 'plugin', 'Plugins, and the kit that checks one', () => import('./commands/plugin.ts')),
  noun('Set up', 'map', 'Mappings of networks, storage, folders and hosts', () => import('./commands/map.ts')),
  noun('Set up', 'policy', 'Replication policies', () => import('./commands/policy.ts')),
  noun('Set up', 'config', 'Settings of this command line', () => import('./commands/config.ts')),
  noun('Protect', 'machine', 'Machines as their hypervisors show them', () => import('./commands/machine.ts')),
  noun('Protect', 'group', 'Protection groups', () => import('./commands/group.ts')),
  noun('Protect', 'protect', 'Protect machines: tracking, replica, first copy', () => import('./commands/protect.ts')),
  noun('Protect', 'rule', 'Standing rules: machines with a label are protected, also new ones', () => import('./commands/rule.ts')),
  noun('Protect', 'unprotect', 'End protection; possible from every state', () => import('./commands/unprotect.ts')),
  noun('Protect', 'sync', 'Replication now: cycle, pause, resume, resync, verify', () => import('./commands/sync.ts')),
  noun('Protect', 'point', 'Recovery points', () => import('./commands/point.ts')),
  noun('Recover', 'failover', 'Test, planned and unplanned failover, up to commit', () => import('./commands/failover.ts')),
  noun('Recover', 'reprotect', 'Replicate in the reverse direction', () => import('./commands/reprotect.ts')),
  noun('Recover', 'failback', 'Bring machines back: planned failover, commit, re-protect', () => import('./commands/failback.ts')),
  noun('Recover', 'release', 'Leave a failed-over machine where it runs, unprotected', () => import('./commands/release.ts')),
  noun('Recover', 'resolve', 'Decide which of two copies stays', () => import('./commands/resolve.ts')),
  noun('Recover', 'reconcile', 'Accept journals that are newer than the state store', () => import('./commands/reconcile.ts')),
  noun('Recover', 'plan', 'Recovery plans: boot order over machines of any mix', () => import('./commands/plan.ts')),
  noun('Watch', 'status', 'What can be recovered now, and what needs a person', () => import('./commands/status.ts')),
  noun('Watch', 'explain', 'The state of a machine in words', () => import('./commands/explain.ts')),
  noun('Watch', 'job', 'Jobs: what runs, ran, waits', () => import('./commands/job.ts')),
  noun('Watch', 'event', 'What happened', () => import('./commands/event.ts')),
  noun('Watch', 'audit', 'Who did what, and why', () => import('./commands/audit.ts')),
  noun('Run', 'serve', 'The engine with planner and socket', () => import('./commands/serve.ts')),
  noun(
    'Run',
    'apply',
    'Bring sites, endpoints, mappings, policies, plans and rules to what a file says',
    () => import('./commands/apply.ts'),
  ),
  noun('Run', 'doctor', 'Check this installation, each line with its next step', () => import('./commands/doctor.ts')),
  noun('Run', 'lab', 'The simulated estate, and the drill', () => import('./commands/lab.ts')),
  noun('Run', 'completion', 'Completion for bash, zsh and fish', () => import('./commands/completion.ts')),
  noun('Run', 'version', 'Version of the program and of what runs it', () => import('./commands/version.ts')),
];
