// Makes a home know the lab: sites, endpoints, mappings, and a policy that suits a demonstration.
import { connectLab } from '../../adapters/lab/client.ts';
import type { EndpointSpec, EstateSpec } from '../../adapters/lab/port.ts';
import { labDevicesUrl } from '../../adapters/lab/vsphere/lab-devices.ts';
import { DrError } from '../../core/contract/index.ts';
import { LAB_AGENT } from '../container.ts';
import { PAIRS } from './estate.ts';

export type CallOperation = (operation: string, input: unknown) => Promise<unknown>;

export const LAB_POLICY = 'lab';

export interface LabPlace {
  /** Path of its socket. */
  readonly address: string;
  /** File with the password of its vCenters and Hyper-V hosts. */
  readonly secretPath: string;
}

/** The vCenters are reached as real ones are, by HTTPS with a pin, the Hyper-V hosts by a process in PowerShell's place; everything else by the lab's socket. */
export const reached = async (
  { name, profile, username }: EndpointSpec,
  { address, secretPath }: LabPlace,
): Promise<{ plugin: string; config: object }> => {
  if (profile !== 'vmware' && profile !== 'hyperv') return { plugin: `memory-${profile}`, config: { address, endpoint: name } };
  await using lab = await connectLab(address);
  if (profile === 'hyperv') {
    const { kind, address: center, username: account, executable } = await lab.call('lab.powershell', { endpoint: name });
    const credential = account === undefined ? {} : { username: account, password: { file: secretPath } };
    return {
      plugin: 'hyperv',
      config: { address: center, kind, transport: 'local', executable, agent: LAB_AGENT + address, ...credential },
    };
  }
  const vcenter = await lab.call('lab.vcenter', { endpoint: name });
  const { pin, appliance } = vcenter;
  if (appliance === undefined) throw new DrError('INTERNAL', `the vCenter ${name} of the lab has no appliance`);
  const devices = labDevicesUrl({ address, endpoint: name, appliance });
  return {
    plugin: 'vmware',
    config: {
      address: vcenter.address,
      username: username ?? 'warmsite',
      password: { file: secretPath },
      ...(pin ? { pin } : {}),
      appliance,
      devices,
    },
  };
};

export const registerLab = async (call: CallOperation, spec: EstateSpec, place: LabPlace): Promise<void> => {
  const known = new Set(((await call('endpoint.list', {})) as { id: string }[]).map(({ id }) => id));
  for (const site of spec.sites) {
    await call('site.add', { id: site.name, name: `${site.name} (lab)` });
    for (const endpoint of site.endpoints) {
      if (known.has(endpoint.name)) continue;
      await call('endpoint.add', { id: endpoint.name, site: site.name, ...(await reached(endpoint, place)) });
    }
  }
  const endpoints = new Map(spec.sites.flatMap((site) => site.endpoints).map((endpoint) => [endpoint.name, endpoint]));
  const storageOf = (name: string) => endpoints.get(name)?.storage[0]?.name ?? '*';
  for (const { from, to } of PAIRS.filter((pair) => endpoints.has(pair.from) && endpoints.has(pair.to))) {
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
