import { expect } from 'chai';
import { after, before, it } from 'mocha';
import { isFault } from '../../../../adapters/vsphere/faults.ts';
import type { MoRef, ObjectContent, VsphereClient } from '../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../adapters/vsphere/vim25/encode.ts';
import type { DrError } from '../../../../core/contract/index.ts';
import { type Drsim, requireDrsim, startDrsim } from '../../../support/drsim.ts';
import { eachClient, rejection, SERVICE } from './clients.ts';

eachClient("govmomi's simulator, a vCenter that we did not write", (openClient) => {
  let server: Drsim;
  let client: VsphereClient;
  before(async function () {
    await requireDrsim(this);
    server = await startDrsim({ vms: 2 });
    client = await openClient(server.config);
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const properties = async (type: string, pathSet: readonly string[]): Promise<readonly ObjectContent[]> => {
    const { rootFolder: container, viewManager, propertyCollector } = client.content;
    const view = await client.call('CreateContainerView', viewManager!, { container, type: [type], recursive: true });
    const selectSet = [typed('TraversalSpec', { type: 'ContainerView', path: 'view', skip: false })];
    const specSet = [{ objectSet: [{ obj: view, skip: true, selectSet }], propSet: [{ type, pathSet }] }];
    const { objects } = await client.call('RetrievePropertiesEx', propertyCollector, { specSet, options: {} });
    await client.call('DestroyView', view, {});
    return objects;
  };
  const taskState = async (task: MoRef): Promise<Record<string, unknown>> => {
    const specSet = [{ objectSet: [{ obj: task }], propSet: [{ type: 'Task', pathSet: ['info'] }] }];
    const { objects } = await client.call('RetrievePropertiesEx', client.content.propertyCollector, { specSet, options: {} });
    return objects[0]!.propSet![0]!.val as Record<string, unknown>;
  };
  const someMachine = async (): Promise<MoRef> => (await properties('VirtualMachine', ['name']))[0]!.obj;

  it('lets it in, and refuses a wrong password and another certificate', async () => {
    expect(client.about.apiType).to.equal('VirtualCenter');
    expect(client.sessionKey).to.be.a('string').and.not.equal('');
    expect(await rejection(openClient({ ...server.config, password: 'wrong' }))).to.have.property('code', 'AUTH_REJECTED');
    expect(await rejection(openClient({ ...server.config, pin: '0'.repeat(64) }))).to.have.property('code', 'CERTIFICATE_UNTRUSTED');
  });

  it('gives machines with their devices, in the types that they are', async () => {
    const machines = await properties('VirtualMachine', ['name', 'runtime.powerState', 'config.hardware.device']);

    expect(machines).to.have.lengthOf(2);
    for (const { propSet } of machines) {
      const { name, ...rest } = Object.fromEntries(propSet!.map(({ name: key, val }) => [key, val])) as Record<string, unknown>;
      const devices = rest['config.hardware.device'] as {
        readonly $type: string;
        readonly key: number;
        readonly capacityInKB?: number;
      }[];
      expect(name).to.be.a('string');
      expect(rest['runtime.powerState']).to.equal('poweredOn');
      expect(devices.find(({ $type }) => $type === 'VirtualDisk')?.capacityInKB).to.be.a('number');
    }
  });

  it('keeps what is written into a machine, character for character', async () => {
    const machine = await someMachine();
    const value = '{"ownerId":"<&\\"]]>"} ä😀';

    const task = await client.call('ReconfigVM_Task', machine, { spec: { extraConfig: [{ key: 'warmsite.owner', value }] } });

    expect(await taskState(task)).to.deep.include({ state: 'success' });
    const options = (await properties('VirtualMachine', ['config.extraConfig'])).find(({ obj }) => obj.value === machine.value)!
      .propSet![0]!.val as { readonly key: string; readonly value: unknown }[];
    expect(options.find(({ key }) => key === 'warmsite.owner')?.value).to.equal(value);
  });

  it('takes and removes a snapshot', async () => {
    const machine = await someMachine();

    const task = await client.call('CreateSnapshot_Task', machine, { name: 'warmsite cycle', memory: false, quiesce: false });
    const { state, result } = await taskState(task);

    expect(state).to.equal('success');
    expect(result).to.have.property('type', 'VirtualMachineSnapshot');
    const removal = await client.call('RemoveSnapshot_Task', result as MoRef, { removeChildren: false });
    expect(await taskState(removal)).to.deep.include({ state: 'success' });
  });

  it('answers with faults, thrown and in tasks, that are told as what they are', async () => {
    const gone = await rejection(client.call('PowerOffVM_Task', { type: 'VirtualMachine', value: 'vm-none' }, {}));
    expect(gone).to.have.property('code', 'NOT_FOUND');
    expect((gone as DrError).message).to.include('VirtualMachine vm-none');

    const machine = await someMachine();
    const { state, error } = await taskState(await client.call('PowerOnVM_Task', machine, {}));
    expect(state).to.equal('error');
    expect((error as { fault: object }).fault).to.deep.include({ $type: 'InvalidPowerState', existingState: 'poweredOn' });
  });

  it('has methods that it does not know refused as such', async () => {
    const machine = await someMachine();

    const error = await rejection(client.call('QueryChangedDiskAreas', machine, { deviceKey: 204, startOffset: 0, changeId: '*' }));

    expect(error).to.have.property('code', 'CAPABILITY_MISSING');
    expect(isFault(error, 'MethodNotFound')).to.equal(true);
  });

  it('is asked by twenty callers at once', async () => {
    const times = await Promise.all(Array.from({ length: 20 }, () => client.call('CurrentTime', SERVICE, {})));

    expect(times.every((time) => /^\d{4}-\d\d-\d\dT/.test(time))).to.equal(true);
  });

  it('is logged in to again when the session has been ended there', async () => {
    await using other = await openClient(server.config);
    const first = other.sessionKey;
    await other.call('Logout', other.content.sessionManager!, {});

    const { rootFolder: container, viewManager } = other.content;
    const views = await Promise.all(
      Array.from({ length: 20 }, () => other.call('CreateContainerView', viewManager!, { container, recursive: true })),
    );

    expect(views.every(({ type }) => type === 'ContainerView')).to.equal(true);
    expect(other.sessionKey).not.to.equal(first);
  });
});
