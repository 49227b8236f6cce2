// What `plugin new` writes: a plugin that passes level 0 as it is, and says at each method what the contract asks of it.

export type PluginKind = 'snapshot-source' | 'streaming-source' | 'target';

export interface RenderedFile {
  /** Below the folder of the plugin. */
  readonly path: string;
  readonly text: string;
}

interface Part {
  readonly what: string;
  /** Names of the contract that the facet needs beside those that every plugin needs. */
  readonly imports: readonly string[];
  readonly capabilities: string;
  readonly member: string;
  readonly facet: string;
  /** What to fill first, in this order. */
  readonly first: readonly [string, string, string];
}

const SNAPSHOT_SOURCE: Part = {
  what: 'a snapshot source',
  imports: ['SnapshotSource'],
  capabilities: "tracking: 'none', consistency: ['crash'], atomicity: 'disk'",
  member: 'source: source(wire)',
  first: ['openWire', 'listMachines', 'createSnapshot'],
  facet: `const source = (_wire: Wire): SnapshotSource => ({
  kind: 'snapshot',
  // Idempotent (CHG-001). Until you promise tracking: 'native' there is nothing to enable.
  enableTracking: async () => [],
  disableTracking: async () => undefined,
  // Finds what call.operationId has made before (SNP-002), tags with host.ownerId (SNP-003), gives every disk and definition (SNP-001).
  createSnapshot: async () => unfinished('createSnapshot'),
  // All snapshots with our ownerId, from every session (SNP-003).
  listSnapshots: () => unfinished('listSnapshots'),
  // Resolves when merged away, and when it is gone already (SNP-004).
  releaseSnapshot: async () => unfinished('releaseSnapshot'),
  // Without native tracking the engine compares instead (CHG-008).
  changedExtents: () => {
    throw new DrError('TRACKING_LOST', 'changes are not tracked');
  },
  // Everything that is not zero, ascending (ALC-001, ALC-002): one range over the whole disk is right, and slow.
  allocatedExtents: () => unfinished('allocatedExtents'),
  // Reads the snapshot, never the live disk (SNP-005, RDR-002 to RDR-006).
  openReader: async () => unfinished('openReader'),
  keepBaselines: async () => undefined,
});`,
};

const STREAMING_SOURCE: Part = {
  what: 'a streaming source',
  imports: ['StreamingSource'],
  capabilities: "tracking: 'native', consistency: ['crash'], atomicity: 'machine'",
  member: 'source: source(wire)',
  first: ['openWire', 'listMachines', 'capture'],
  facet: `const source = (_wire: Wire): StreamingSource => ({
  kind: 'streaming',
  // Idempotent. From here on the server notes every block that is written.
  enableTracking: async () => unfinished('enableTracking'),
  disableTracking: async () => unfinished('disableTracking'),
  // Passes over the running machine, then one frozen, final pass (STR-001 to STR-003); thaws on every way out (STR-002, STR-007, STR-012).
  capture: () => unfinished('capture'),
  keepBaselines: async () => unfinished('keepBaselines'),
});`,
};

const TARGET: Part = {
  what: 'a target',
  imports: ['Target'],
  capabilities: '',
  member: 'target: target(wire)',
  first: ['openWire', 'listMachines', 'openReplicaDisk'],
  facet: `const target = (_wire: Wire): Target => ({
  // Off, whole, mapped, one per call.operationId (TGT-001, TGT-002). Leave it out, and deleteReplica, if you only adopt machines.
  createReplica: async () => unfinished('createReplica'),
  // Maps disks and NICs and changes no content (TGT-010).
  adoptReplica: async () => unfinished('adoptReplica'),
  // Grows and adds, never shrinks (TGT-011, TGT-012).
  reshapeReplica: async () => unfinished('reshapeReplica'),
  // Succeed when it is gone (TGT-013, TGT-014).
  deleteReplicaDisk: async () => unfinished('deleteReplicaDisk'),
  deleteReplica: async () => unfinished('deleteReplica'),
  // Reads, writes, zeroes; what flush has answered is durable (TGT-005 to TGT-009, FLT-006).
  openReplicaDisk: async () => unfinished('openReplicaDisk'),
  // Add \`forks\` when machines can run on top of a replica without changing it: test failover needs them (FRK-001 to FRK-009).
});`,
};

const PARTS: Readonly<Record<PluginKind, Part>> = {
  'snapshot-source': SNAPSHOT_SOURCE,
  'streaming-source': STREAMING_SOURCE,
  target: TARGET,
};

export const renderPluginTemplate = (kind: PluginKind, id: string): RenderedFile[] => {
  const part = PARTS[kind];
  return [
    { path: 'plugin.ts', text: code(part, id) },
    { path: 'conformance.test.ts', text: test(id) },
    { path: 'README.md', text: page(part, id) },
  ];
};

/** What `plugin new` prints. `path` is where the plugin was written. */
export const nextSteps = (kind: PluginKind, path: string): string => `${steps(PARTS[kind])}
Then run: warmsite plugin check ${path}
`;

const steps = ({ first }: Part): string => `Fill first, in plugin.ts: ${first.join(', ')}.`;

const camel = (id: string): string => id.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const title = (id: string): string => id.charAt(0).toUpperCase() + id.slice(1).replaceAll('-', ' ');

const code = (part: Part, id: string): string => `import {
  type Call,
  type Capabilities,
  type ConfigField,
  DrError,
  definePlugin,
  type HostContext,
  type Inventory,
${part.imports.map((name) => `  type ${name},`).join('\n')}
  WEAKEST_CAPABILITIES,
} from 'warmsite/contract';

const CONFIG: readonly ConfigField[] = [
  { name: 'address', type: 'string', required: true, help: 'host name or address of the endpoint' },
  { name: 'username', type: 'string', required: true, help: 'account at the endpoint' },
  { name: 'password', type: 'secret', required: true, help: 'password of the account' },
];

/** A type, not an interface: the host hands over a record of checked values. */
type Config = {
  readonly address: string;
  readonly username: string;
  readonly password: string;
};

/** The most that it can ever do. */
const CAPABILITIES: Capabilities = { ...WEAKEST_CAPABILITIES${part.capabilities ? `, ${part.capabilities}` : ''} };

/** One connection to the endpoint. Add to it what the facets below need. */
interface Wire extends AsyncDisposable {
  readonly ownerId: string;
}

const unfinished = (method: string): never => {
  throw new DrError('CAPABILITY_MISSING', \`\${method} is not written yet\`, { hint: \`fill \${method} in plugin.ts\` });
};

/** Rejects with an access or reach error (MAN-005), gives call.signal to whatever waits (MAN-004), never puts the password into a message (ERR-002). */
const openWire = async (config: Config, _host: HostContext, call: Call): Promise<Wire> => {
  call.signal.throwIfAborted();
  throw new DrError('CONNECTION_REFUSED', \`nothing answers at \${config.address}\`, { hint: 'fill openWire in plugin.ts' });
};

const inventory = (_wire: Wire): Inventory => ({
  // Every machine once, over all pages, under ids that never change (INV-001, INV-002); stops when call.signal aborts (INV-006).
  listMachines: () => unfinished('listMachines'),
  // NOT_FOUND for an id that nobody has, however it is spelled (INV-004).
  getMachine: async () => unfinished('getMachine'),
  listPlaces: () => unfinished('listPlaces'),
  checkProtectable: async () => unfinished('checkProtectable'),
});

${part.facet}

export const ${camel(id)} = definePlugin<Config>({
  id: '${id}',
  displayName: '${title(id)}',
  config: CONFIG,
  capabilities: CAPABILITIES,
  connect: async (config, host, call) => {
    const wire = await openWire(config, host, call);
    return {
      capabilities: CAPABILITIES,
      inventory: inventory(wire),
      ${part.member},
      check: async () => [],
      [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
    };
  },
});
`;

const test = (id: string): string => `import { after, describe, it } from 'mocha';
import { bindConformance, type Level, type Subject } from 'warmsite/conformance';
import { ${camel(id)} } from './plugin.ts';

// Add 1 when openWire and the inventory are filled, 2 with a scratch machine, 3 for a target, 4 with a lab.
const LEVELS: readonly Level[] = [0];

const config = { address: 'endpoint.example', username: 'warmsite', password: process.env['ENDPOINT_PASSWORD'] ?? 'unset-password' };

const subject = async (): Promise<Subject> => ({
  plugin: ${camel(id)},
  config,
  unreachable: { ...config, address: '192.0.2.1' },
});

bindConformance('${id} keeps the contract', subject, { describe, it, after }, { levels: LEVELS });
`;

const page = (part: Part, id: string): string => `# ${title(id)}

${part.what.charAt(0).toUpperCase() + part.what.slice(1)} for Warmsite. ${steps(part)}
Then run \`warmsite plugin check .\`: it runs the conformance kit and says, for each case that fails, what was promised and what was seen.
The contract is \`docs/integrator/contract.md\`; the ids in the comments of plugin.ts are cases of the kit.

## What it reaches

Product and versions.

## Configuration

| Field | Meaning |
|---|---|
| \`address\` | host name or address of the endpoint |
| \`username\`, \`password\` | account at the endpoint |

## Rights that the account needs

To assess, to protect, to recover.

## What it promises

Tracking, consistency, atomicity, test networks, and where the endpoint gives less.

## Limits

What does not work, and what an operator sees then.

## Proved by

Levels of the kit that pass, and what they ran against.
`;
