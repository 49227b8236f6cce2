import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { PlaceId } from '../../../../core/contract/index.ts';
import { choosePlaces } from '../../../../plugins/vmware/placement.ts';
import { callOf, errorOf, madeUp } from './ground.ts';

const ref = (type: string, value: string) => ({ type, value });
const host = (state: string, datastores: readonly string[], inMaintenanceMode = false) => ({
  parent: ref('ClusterComputeResource', 'domain-1'),
  'runtime.connectionState': state,
  'runtime.inMaintenanceMode': inMaintenanceMode,
  datastore: datastores.map((value) => ref('Datastore', value)),
  network: [ref('Network', `network-of-${datastores[0]}`)],
});
const store = (name: string, freeSpace: number, accessible = true) => ({ name, summary: { freeSpace, accessible } });

/** A cluster whose first host is dead, whose second is in maintenance, and whose others have a datastore of their own each. */
const cluster = () =>
  madeUp(
    {
      'ClusterComputeResource:domain-1': {
        parent: ref('Folder', 'group-h1'),
        resourcePool: ref('ResourcePool', 'resgroup-1'),
        host: [1, 2, 3, 4].map((number) => ref('HostSystem', `host-${number}`)),
        datastore: ['shared', 'local-3', 'local-4'].map((value) => ref('Datastore', value)),
        network: [ref('Network', 'network-1')],
      },
      'Folder:group-h1': { parent: ref('Datacenter', 'datacenter-1') },
      'Datacenter:datacenter-1': { parent: ref('Folder', 'group-d1'), vmFolder: ref('Folder', 'group-v1') },
      'HostSystem:host-1': host('notResponding', ['shared']),
      'HostSystem:host-2': host('connected', ['shared'], true),
      'HostSystem:host-3': host('connected', ['local-3', 'shared']),
      'HostSystem:host-4': host('connected', ['local-4', 'shared']),
      'Datastore:shared': store('shared', 100),
      'Datastore:local-3': store('local-3', 900),
      'Datastore:local-4': store('local-4', 500),
      'ContainerView:view-1': { view: [ref('ClusterComputeResource', 'domain-1')] },
    },
    { CreateContainerView: () => ref('ContainerView', 'view-1'), DestroyView: () => undefined },
  );
const places = (as: { readonly host?: string; readonly storage?: string }, needBytes = 10) => {
  const vcenter = cluster();
  Object.assign(vcenter.client.content, { viewManager: ref('ViewManager', 'ViewManager') });
  return choosePlaces(vcenter, { name: 'copy', nics: new Map(), ...as } as never, needBytes, callOf());
};
const place = (type: string, value: string) => `${type}:${value}` as PlaceId;

describe('where a replica goes', () => {
  it('is the datastore with most room, and a host that answers and sees it', async () => {
    const chosen = await places({});

    expect(chosen).to.deep.include({ datastoreName: 'local-3', host: ref('HostSystem', 'host-3'), folder: ref('Folder', 'group-v1') });
  });

  it('is a host that is neither dead nor in maintenance where the datastore was asked for', async () => {
    expect((await places({ storage: place('Datastore', 'shared') })).host).to.deep.equal(ref('HostSystem', 'host-3'));
    expect((await places({ storage: place('Datastore', 'local-4') })).host).to.deep.equal(ref('HostSystem', 'host-4'));
  });

  it('is a datastore and a network of the host that was asked for, not of another one of its cluster', async () => {
    const chosen = await places({ host: place('HostSystem', 'host-4') });

    expect(chosen).to.deep.include({
      datastoreName: 'local-4',
      host: ref('HostSystem', 'host-4'),
      network: ref('Network', 'network-of-local-4'),
    });
  });

  it('is refused with figures where there is no room', async () => {
    const error = await errorOf(places({ storage: place('Datastore', 'shared') }, 1000));

    expect(error.code).to.equal('TARGET_FULL');
    expect(error.message).to.equal('datastore shared has 100 bytes left, the disks need 1000');
  });
});
