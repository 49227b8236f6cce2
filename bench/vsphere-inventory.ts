import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { EstateSpec } from '../adapters/lab/port.ts';
import type { VsphereConfig } from '../adapters/vsphere/port.ts';
import { missingTool, startDrsim } from '../test/support/drsim.ts';
import { BenchHome } from './home.ts';
import { type Benchmark, type Figure, figure } from './measure.ts';

const MIB = 2 ** 20;

/** What a process of its own has seen of one vCenter. */
export interface Seen {
  readonly machines: number;
  readonly listMs: number;
  /** The same properties, read and thrown away. */
  readonly bareMs: number;
  readonly peakBytes: number;
  /** From a change of a machine until the watch told it. */
  readonly watchMs: number;
}

const look = async (config: VsphereConfig): Promise<Seen> => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'vsphere-look.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(config));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await once(child, 'close');
  return JSON.parse(text) as Seen;
};

const figures = (at: string, seen: Seen): Figure[] => [
  figure(`vsphere-inventory ${at} ${seen.machines} machines`, seen.listMs, 'ms', seen.bareMs),
  figure(`vsphere-inventory ${at} memory`, seen.peakBytes / MIB, 'MiB'),
  figure(`vsphere-inventory ${at} change`, seen.watchMs, 'ms'),
];

const estateOf = (machines: number): EstateSpec => {
  const seeds = Array.from({ length: machines }, (_, index) => ({
    name: `vm-${index}`,
    disks: [{ sizeBytes: MIB / 4 }],
    writesPerSecond: 0,
  }));
  const storage = [{ name: 'store', capacityBytes: machines * MIB }];
  const endpoint = { name: 'vcenter', profile: 'vmware' as const, networks: ['production'], storage, hosts: ['esx-1'], machines: seeds };
  return { sites: [{ name: 'site', endpoints: [endpoint] }] };
};

export const vsphereInventory: Benchmark = {
  name: 'vsphere-inventory',
  about: 'all machines of a vCenter, over HTTPS in a process of its own, against reading the same answers without looking at them',
  run: async ({ quick }) => {
    const machines = quick ? 20 : 1_000;
    const results: Figure[] = [];
    await using bench = new BenchHome();
    await bench.start(estateOf(machines));
    await using lab = await bench.control();
    const { address, pin } = await lab.call('lab.vcenter', { endpoint: 'vcenter' });
    results.push(...figures('lab', await look({ address, pin, username: 'bench', password: 'bench' })));
    if (missingTool() !== undefined) return results;
    for (const count of quick ? [machines] : [machines, 5_000]) {
      await using drsim = await startDrsim({ vms: count });
      results.push(...figures('govmomi', await look(drsim.config)));
    }
    return results;
  },
};
