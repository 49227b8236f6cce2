// Makes a home know the lab: sites, endpoints, mappings, and a policy that suits a demonstration.
import type { EstateSpec } from '../../adapters/lab/port.ts';
import { PAIRS } from './estate.ts';

export type CallOperation = (operation: string, input: unknown) => Promise<unknown>;

export const LAB_POLICY = 'lab';

export const registerLab = async (call: CallOperation, spec: EstateSpec, address: string): Promise<void> => {
  const known = new Set(((await call('endpoint.list', {})) as { id: string }[]).map(({ id }) => id));
  for (const site of spec.sites) {
    await call('site.add', { id: site.name, name: `${site.name} (lab)` });
    for (const endpoint of site.endpoints) {
      if (known.has(endpoint.name)) continue;
      const config = { address, endpoint: endpoint.name };
      await call('endpoint.add', { id: endpoint.name, site: site.name, plugin: `memory-${endpoint.profile}`, config });
    }
  }
  const storageOf = (name: string) =>
    spec.sites.flatMap((site) => site.endpoints).find((endpoint) => endpoint.name === name)?.storage[0]?.name ?? '*';
  for (const { from, to } of PAIRS) {
    for (const [source, target] of [
      [from, to],
      [to, from],
    ] as const) {
      for (const network of ['production', 'management'])
        await call('map.set', { kind: 'network', from: { endpoint: source, place: network }, to: { endpoint: target, place: network } });
      await call('map.set', {
        kind: 'storage',
        from: { endpoint: source, place: '*' },
        to: { endpoint: target, place: storageOf(target) },
      });
    }
  }
  await call('policy.put', { name: LAB_POLICY, rpoSeconds: 30, intervalSeconds: 2, retention: { points: 100, hours: 24 }, proofDays: 30 });
};
