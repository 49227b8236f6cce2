import { resolve } from 'node:path';
import { runModule } from '../test/unit/adapters/vsphere/child.ts';
import { HostileServer } from '../test/unit/adapters/vsphere/hostile-server.ts';
import { type Benchmark, figure, median } from './measure.ts';

const OPEN = resolve(import.meta.dirname, '../adapters/vsphere/open.ts');

/** In a program of its own: what is loaded already costs nothing. */
const measureIn = async (server: HostileServer, client: string, measured: string): Promise<number> => {
  const source = `
    const started = performance.now();
    const { createOpenVsphere } = await import('${OPEN}');
    const client = await createOpenVsphere()('${client}')(config);
    ${measured}
    await client[Symbol.asyncDispose]();`;
  const { code, out, err } = await runModule(source, server.config);
  if (code !== 0) throw new Error(`the program of ${client} ended with ${code}: ${err}`);
  return Number(out);
};

const READY = 'process.stdout.write(String(performance.now() - started));';
const callsOf = (count: number): string => `
    const on = { type: 'ServiceInstance', value: 'ServiceInstance' };
    const first = performance.now();
    for (let count = 0; count < ${count}; count++) await client.call('CurrentTime', on, {});
    process.stdout.write(String(((performance.now() - first) * 1_000) / ${count}));`;

export const vsphereClient: Benchmark = {
  name: 'vsphere-client',
  about: 'import and log-in of our client for vSphere, and one call, against node-vsphere-soap behind the same port',
  run: async ({ quick }) => {
    await using server = await HostileServer.start();
    const measure = (client: string, source: string) => median(quick ? 1 : 9, () => measureIn(server, client, source));
    const compare = async (name: string, source: string, unit: 'ms' | 'us') =>
      figure(`vsphere-client ${name}`, await measure('vim25', source), unit, await measure('node-vsphere-soap', source));
    return [await compare('ready', READY, 'ms'), await compare('call', callsOf(quick ? 10 : 500), 'us')];
  },
};
