import { expect } from 'chai';
import { describe, it } from 'mocha';
import { toError } from '../../../../adapters/vsphere/port.ts';
import type { MachineId } from '../../../../core/contract/index.ts';
import { choosePaths } from '../../../../plugins/vmware/movers/choose.ts';
import { Https } from '../../../../plugins/vmware/movers/https.ts';
import { isGone, placesAbove, vmRef } from '../../../../plugins/vmware/vcenter.ts';
import { callOf, errorOf, Ground, madeUp } from './ground.ts';

const ref = (type: string, value: string) => ({ type, value });
const tree = (vm: Readonly<Record<string, unknown>>) => ({
  'VirtualMachine:vm-1': vm,
  'Folder:group-v7': { name: 'shop%2foffice', parent: ref('Folder', 'group-v3') },
  'Folder:group-v3': { name: 'vm', parent: ref('Datacenter', 'datacenter-2') },
  'Datacenter:datacenter-2': { name: 'dc%2fa', parent: ref('Folder', 'group-d9') },
  'Folder:group-d9': { name: 'Europe', parent: ref('Folder', 'group-d1') },
  'Folder:group-d1': { name: 'Datacenters' },
  'HostSystem:host-4': { name: 'esx', parent: ref('ComputeResource', 'domain-s4') },
  'ComputeResource:domain-s4': { name: 'esx', parent: ref('Folder', 'group-h3') },
  'Folder:group-h3': { name: 'host', parent: ref('Datacenter', 'datacenter-2') },
});
const names = async (vm: Readonly<Record<string, unknown>>) =>
  (await placesAbove(madeUp(tree(vm)), 'vm-1', callOf())).map(({ props }) => props['name']);

describe('what a machine lies in', () => {
  it('is its folders and its datacenter, up to the root', async () => {
    expect(await names({ parent: ref('Folder', 'group-v7') })).to.deep.equal(['shop%2foffice', 'vm', 'dc%2fa', 'Europe', 'Datacenters']);
  });

  it('is found by the host of a machine in a vApp, which has no folder', async () => {
    expect(await names({ 'runtime.host': ref('HostSystem', 'host-4') })).to.include('dc%2fa');
  });

  it('makes the path by which files are asked for: below the root, as vCenter writes it', async () => {
    const urls: string[] = [];
    const vcenter = madeUp(tree({ parent: ref('Folder', 'group-v7'), 'runtime.powerState': 'poweredOff' }));
    Object.assign(vcenter.client, {
      transfer: async ({ url }: { url: string }) => {
        urls.push(url);
        throw new Error('far enough');
      },
    });
    const disk = { id: 'a', device: {}, controller: undefined, slot: 'scsi0:0', sizeBytes: 512, fileName: '[my store] a b/c?.vmdk' };
    const reader = await new Https(vcenter).openRead({ machine: 'vm-1' as MachineId, disk: disk as never }, callOf());
    await reader.read(0, new Uint8Array(512), callOf()).catch(() => undefined);

    const url = new URL(urls[0]!, 'https://vcenter');
    expect(url.searchParams.get('dcPath')).to.equal('Europe/dc%2fa');
    expect(url.searchParams.get('dsName')).to.equal('my store');
    expect(url.pathname).to.equal('/folder/a%20b/c%3F-flat.vmdk');
    expect(choosePaths([new Https(vcenter)], undefined).write).to.equal(undefined);
  });
});

describe('an object that is gone', () => {
  it('is told from a file that is missing', () => {
    const fault = (type: string) => toError({ $type: type, faultstring: '', detail: {} }, 'it failed');

    expect(isGone(fault('ManagedObjectNotFound'))).to.equal(true);
    expect(isGone(fault('FileNotFound'))).to.equal(false);
    expect(isGone(fault('NotFound'))).to.equal(false);
    expect(isGone(new Error('ManagedObjectNotFound'))).to.equal(false);
  });

  it('is not even asked for where no server would have made such an id', async () => {
    const error = await errorOf(madeUp({}).props(vmRef('vm 1\n'), ['name'], callOf()));

    expect(error.code).to.equal('NOT_FOUND');
    expect(isGone(error)).to.equal(true);
  });
});

describe('what the account may not read', () => {
  it('is refused by the name of the privilege, and never taken for something that is not there', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    await ground.vcenter({ missingPrivileges: ['System.Read'] });

    for (const work of [
      () => session.inventory.getMachine(id, callOf()),
      () => session.fence!.read(id, callOf()),
      () => Array.fromAsync(session.inventory.listMachines({}, callOf())),
    ]) {
      const error = await errorOf(work());
      expect(error.code).to.equal('PERMISSION_DENIED');
      expect(error.message).to.include('System.Read');
    }
  });
});
