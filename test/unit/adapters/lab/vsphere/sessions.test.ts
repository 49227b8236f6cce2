import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createEstate, type InProcessEstate } from '../../../../../adapters/lab/in-process.ts';
import type { EstateArgs } from '../../../../../adapters/lab/port.ts';
import type { MoRef, VsphereClient } from '../../../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../../../adapters/vsphere/vim25/client.ts';
import { failure, vcenterSpec } from './vcenter-bench.ts';

const SERVICE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
const MINUTE_MS = 60_000;

const createLab = (): InProcessEstate =>
  createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [vcenterSpec()] }] }, clock: 'manual', msPerCall: 0 });

const openClient = (lab: InProcessEstate, password = 'secret'): Promise<VsphereClient> =>
  openVim25(lab.openWire, { address: 'vcenter-a', username: 'warmsite', password, userAgent: 'Warmsite (owner-1)' });

const set = (lab: InProcessEstate, args: Omit<EstateArgs<'lab.setVcenter'>, 'endpoint'>) =>
  lab.control.call('lab.setVcenter', { endpoint: 'vcenter-a', ...args });

const sessionsOf = async (client: VsphereClient): Promise<{ readonly key: string; readonly userAgent: string }[]> => {
  const manager = client.content.sessionManager!;
  const found = await client.call('RetrievePropertiesEx', client.content.propertyCollector, {
    specSet: [{ propSet: [{ type: 'SessionManager', pathSet: ['sessionList'] }], objectSet: [{ obj: manager }] }],
    options: {},
  });
  return found.objects[0]!.propSet![0]!.val as never;
};

describe('sessions of a simulated vCenter', () => {
  it('begin with the endpoint’s credential only, under the name that the client gives itself', async () => {
    await using lab = createLab();

    expect(await failure(openClient(lab, 'wrong'))).to.match(/^InvalidLogin .*rejects the user name or password/);
    await using client = await openClient(lab);

    expect(client.about).to.include({ apiType: 'VirtualCenter', apiVersion: '8.0.3.0' });
    expect((await sessionsOf(client)).map(({ key, userAgent }) => [key, userAgent])).to.deep.equal([
      [client.sessionKey, 'Warmsite (owner-1)'],
    ]);
  });

  it('let nobody but their owner call, and end with the log-out', async () => {
    await using lab = createLab();
    const client = await openClient(lab);
    await client[Symbol.asyncDispose]();

    const wire = lab.openWire({ address: 'vcenter-a', username: '', password: '' });
    const body = `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime></Body></Envelope>`;
    const answer = await wire.send({ method: 'POST', url: '/sdk', headers: { cookie: 'vmware_soap_session="forged"' }, body });
    let text = '';
    for await (const part of answer.body) text += Buffer.from(part).toString();
    await using other = await openClient(lab);

    expect(answer.status).to.equal(500);
    expect(text).to.contain('The session is not authenticated.').and.to.contain('<privilegeId>System.View</privilegeId>');
    expect(await sessionsOf(other)).to.have.length(1);
  });

  it('end after half an hour without a call; the client logs in anew, its view is gone', async () => {
    await using lab = createLab();
    await using client = await openClient(lab);
    const { viewManager, rootFolder } = client.content;
    const view = await client.call('CreateContainerView', viewManager!, { container: rootFolder, recursive: true });
    const before = client.sessionKey;

    await lab.control.call('lab.advance', { ms: 29 * MINUTE_MS });
    await client.call('CurrentTime', SERVICE, {});
    expect(client.sessionKey).to.equal(before);
    await lab.control.call('lab.advance', { ms: 30 * MINUTE_MS });
    await client.call('CurrentTime', SERVICE, {});

    expect(client.sessionKey).not.to.equal(before);
    expect(await failure(client.call('DestroyView', view, {}))).to.match(/^ManagedObjectNotFound /);
  });

  it('let everybody ask for properties and refuse each: the client takes that for the end of its session', async () => {
    await using lab = createLab();
    await using client = await openClient(lab);
    await set(lab, { sessionIdleMs: 1000 });
    const before = client.sessionKey;

    await lab.control.call('lab.advance', { ms: 1000 });
    const sessions = await sessionsOf(client);

    expect(client.sessionKey).not.to.equal(before);
    expect(sessions.map(({ key }) => key)).to.deep.equal([client.sessionKey]);
  });

  it('do not end under a call that waits', async () => {
    await using lab = createLab();
    await using client = await openClient(lab);
    const before = client.sessionKey;
    const waiting = client.call('WaitForUpdatesEx', client.content.propertyCollector, { options: { maxWaitSeconds: 7200 } });
    await client.call('CurrentTime', SERVICE, {});

    await lab.control.call('lab.advance', { ms: 60 * MINUTE_MS });
    await using other = await openClient(lab);
    expect((await sessionsOf(other)).map(({ key }) => key)).to.include(before);
    await lab.control.call('lab.advance', { ms: 60 * MINUTE_MS });

    expect(await waiting).to.equal(undefined);
    await client.call('CurrentTime', SERVICE, {});
    expect(client.sessionKey).to.equal(before);
  });

  it('are so many and no more', async () => {
    await using lab = createLab();
    await set(lab, { maxSessions: 1 });
    await using _ = await openClient(lab);

    const second = openClient(lab).catch((error: { readonly code: string }) => error.code);

    expect(await second).to.equal('HOST_BUSY');
  });

  it('end when the server starts anew, and calls under way lose their connection', async () => {
    await using lab = createLab();
    await using client = await openClient(lab);
    const before = client.sessionKey;
    const waiting = client
      .call('WaitForUpdatesEx', client.content.propertyCollector, {})
      .catch((error: { readonly code: string }) => error.code);
    await client.call('CurrentTime', SERVICE, {});

    await set(lab, { restart: true });

    expect(await waiting).to.equal('CONNECTION_LOST');
    await client.call('CurrentTime', SERVICE, {});
    expect(client.sessionKey).not.to.equal(before);
  });

  it('lack the privileges that the account lacks, and can ask which', async () => {
    await using lab = createLab();
    await using client = await openClient(lab);
    await set(lab, { missingPrivileges: ['VirtualMachine.Interact.PowerOn'] });
    const machine = { type: 'VirtualMachine', value: [...lab.estate.machines.keys()][0]! };

    const [entity] = await client.call('HasPrivilegeOnEntities', client.content.authorizationManager!, {
      entity: [machine],
      sessionId: client.sessionKey,
      privId: ['VirtualMachine.Interact.PowerOn', 'VirtualMachine.Interact.PowerOff'],
    });

    expect(entity!.privAvailability.map(({ isGranted }) => isGranted)).to.deep.equal([false, true]);
    expect(await failure(client.call('PowerOnVM_Task', machine, {}))).to.match(/^NoPermission .*VirtualMachine\.Interact\.PowerOn/);
    await set(lab, { missingPrivileges: ['System.Read'] });
    const read = await client.call('RetrievePropertiesEx', client.content.propertyCollector, {
      specSet: [{ propSet: [{ type: 'VirtualMachine', pathSet: ['name'] }], objectSet: [{ obj: machine }] }],
      options: {},
    });
    expect(read.objects[0]!.missingSet![0]).to.deep.include({ path: 'name' });
    expect(read.objects[0]!.propSet ?? []).to.deep.equal([]);
  });
});
