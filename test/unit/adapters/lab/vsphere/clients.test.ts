import { expect } from 'chai';
import { it } from 'mocha';
import { createEstate } from '../../../../../adapters/lab/in-process.ts';
import { createOpenVsphere } from '../../../../../adapters/vsphere/open.ts';
import type { MoRef, TaskInfo, VsphereClient } from '../../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import { DrError } from '../../../../../core/contract/index.ts';
import { eachClient } from '../../vsphere/clients.ts';
import { vcenterSpec } from './vcenter-bench.ts';

const read = async (client: VsphereClient, on: MoRef, path: string): Promise<unknown> => {
  const spec = { propSet: [{ type: on.type, pathSet: [path] }], objectSet: [{ obj: on }] };
  const { objects } = await client.call('RetrievePropertiesEx', client.content.propertyCollector, { specSet: [spec], options: {} });
  return objects[0]?.propSet?.[0]?.val;
};

eachClient('a simulated vCenter', (_, name) => {
  it('is looked through, told what to do and waited for', async () => {
    await using lab = createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [vcenterSpec()] }] }, clock: 'real' });
    await using client = await createOpenVsphere(lab.openWire)(name)({ address: 'vcenter-a', username: 'warmsite', password: 'secret' });
    const { viewManager, rootFolder, propertyCollector } = client.content;
    const view = await client.call('CreateContainerView', viewManager!, {
      container: rootFolder,
      type: ['VirtualMachine'],
      recursive: true,
    });
    const selectSet = [typed('TraversalSpec', { type: 'ContainerView', path: 'view', skip: false })];
    const spec = {
      propSet: [{ type: 'VirtualMachine', pathSet: ['name', 'runtime.powerState'] }],
      objectSet: [{ obj: view, skip: true, selectSet }],
    };
    const collector = await client.call('CreatePropertyCollector', propertyCollector, {});
    await client.call('CreateFilter', collector, { spec, partialUpdates: false });

    const first = await client.call('WaitForUpdatesEx', collector, { version: '', options: { maxWaitSeconds: 0 } });
    const entered = first.filterSet![0]!.objectSet!;
    const machine = entered.find(({ changeSet }) => changeSet?.some(({ val }) => val === 'shop-db'))!.obj;
    const waiting = client.call('WaitForUpdatesEx', collector, { version: first.version, options: { maxWaitSeconds: 10 } });
    const task = await client.call('PowerOffVM_Task', machine, {});
    const second = await waiting;

    expect(second.filterSet![0]!.objectSet![0]!.changeSet).to.deep.equal([{ name: 'runtime.powerState', op: 'assign', val: 'poweredOff' }]);
    expect(((await read(client, task, 'info')) as TaskInfo).state).to.equal('success');
    const error = await client.call('DestroyView', { type: 'ContainerView', value: 'none' }, {}).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(DrError).with.property('code', 'NOT_FOUND');
  });
});
