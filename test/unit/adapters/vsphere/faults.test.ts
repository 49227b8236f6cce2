import { expect } from 'chai';
import { describe, it } from 'mocha';
import { FAULTS, isFault, localizedFault, toError } from '../../../../adapters/vsphere/faults.ts';
import type { DrError } from '../../../../core/contract/index.ts';
import { eachClient, MACHINE, rejection, shared } from './clients.ts';
import { HostileServer, type Reply } from './hostile-server.ts';

eachClient('a fault of the server', (openClient) => {
  const at = shared(openClient, () => HostileServer.start());
  const meet = async (reply: Reply): Promise<DrError> => {
    at.server.on('ReconfigVM_Task', () => reply);
    return (await rejection(at.client.call('ReconfigVM_Task', MACHINE, { spec: {} }))) as DrError;
  };

  // NotAuthenticated has tests of its own: it is answered by a new log-in.
  for (const [name, { code }] of Object.entries(FAULTS).filter(([fault]) => fault !== 'NotAuthenticated')) {
    it(`becomes ${code} for ${name}, which is told with what failed on what`, async () => {
      const error = await meet({ fault: `<${name}Fault xsi:type="${name}"/>`, faultstring: 'what the server says' });

      expect(error.code).to.equal(code);
      expect(error.context).to.deep.include({ vendorCode: name, method: 'ReconfigVM_Task', machine: 'vm-101' });
      expect(error.message).to.match(/^ReconfigVM_Task on VirtualMachine vm-101 failed: /);
      expect(error.cause).to.deep.include({ $type: name, faultstring: 'what the server says' });
      expect(isFault(error, name)).to.equal(true);
    });
  }

  it('names the privilege that the account lacks and the object that it lacks it on', async () => {
    const inside = '<object type="VirtualMachine">vm-101</object><privilegeId>VirtualMachine.State.CreateSnapshot</privilegeId>';

    const error = await meet({ fault: `<NoPermissionFault xsi:type="NoPermission">${inside}</NoPermissionFault>` });

    expect(error.message).to.include('lacks the privilege VirtualMachine.State.CreateSnapshot on VirtualMachine vm-101');
    expect(error.hint).to.include('grant VirtualMachine.State.CreateSnapshot');
    expect(error.context.name).to.equal('VirtualMachine.State.CreateSnapshot');
  });

  it('names all privileges of a newer server, which lists them for each object', async () => {
    const ids = '<privilegeIds>A.B</privilegeIds><privilegeIds>C.D</privilegeIds>';
    const inside = `<missingPrivileges><entity type="Folder">group-v3</entity>${ids}</missingPrivileges>`;

    const error = await meet({ fault: `<NoPermissionFault xsi:type="NoPermission">${inside}</NoPermissionFault>` });

    expect(error.context.name).to.equal('A.B, C.D');
  });

  const SHAPES: readonly [string, string, string, string][] = [
    ['without xsi:type, by the name of its element', '<TaskInProgressFault/>', 'TaskInProgress', 'TASK_IN_PROGRESS'],
    ['whose own name ends in Fault', '<FileFaultFault><file>[ds] a.vmdk</file></FileFaultFault>', 'FileFault', 'STATE_CONFLICT'],
    [
      'with other prefixes',
      '<a:x xmlns:a="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="a:NoDiskSpace"><a:file>f</a:file></a:x>',
      'NoDiskSpace',
      'TARGET_FULL',
    ],
    [
      'that is not in our part of the schema, as what it is a kind of',
      '<f xsi:type="NoDisksToCustomize"/>',
      'NoDisksToCustomize',
      'STATE_CONFLICT',
    ],
    ['that is newer than the schema', '<f xsi:type="QuantumEntangled"><howMuch>5</howMuch></f>', 'QuantumEntangled', 'INTERNAL'],
    ['that is newer and has nothing but its name', '<QuantumEntangledFault/>', 'QuantumEntangled', 'INTERNAL'],
    ['without a detail', '', 'RuntimeFault', 'INTERNAL'],
  ];
  for (const [what, fault, type, code] of SHAPES) {
    it(`is understood ${what}`, async () => {
      const error = await meet({ fault });

      expect(error.context.vendorCode).to.equal(type);
      expect(error.code).to.equal(code);
    });
  }

  it('is understood when its envelope has other prefixes and no detail at all', async () => {
    const whole =
      '<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><S:Fault><faultcode>S:Server</faultcode><faultstring>gone &amp; away</faultstring></S:Fault></S:Body></S:Envelope>';

    const error = await meet({ status: 500, whole });

    expect(error.code).to.equal('INTERNAL');
    expect(error.message).to.include('gone & away');
  });

  it('leaves the session as it is: the next call goes through', async () => {
    await meet({ fault: '<NoDiskSpaceFault xsi:type="NoDiskSpace"><file>[ds] a</file></NoDiskSpaceFault>' });
    at.server.on('ReconfigVM_Task', () => '<returnval type="Task">task-1</returnval>');

    expect(await at.client.call('ReconfigVM_Task', MACHINE, { spec: {} })).to.deep.equal({ type: 'Task', value: 'task-1' });
    expect(at.server.count('Login')).to.equal(1);
  });
});

describe('the fault in a task', () => {
  it('becomes the same error as one that is thrown', () => {
    const fault = localizedFault({ fault: { $type: 'FileLocked', file: '[ds] a/a.vmdk' }, localizedMessage: 'Failed to lock the file' });

    const error = toError(fault, 'the removal of snapshot-3 failed');

    expect(error.code).to.equal('FILE_LOCKED');
    expect(error.message).to.equal('the removal of snapshot-3 failed: FileLocked: Failed to lock the file ([ds] a/a.vmdk)');
    expect(isFault(error, 'FileFault')).to.equal(true);
    expect(isFault(error, 'NoDiskSpace')).to.equal(false);
  });

  it('is an unknown one where the task says nothing', () => {
    expect(toError(localizedFault(undefined), 'x').context.vendorCode).to.equal('MethodFault');
    expect(isFault(new Error('other'), 'MethodFault')).to.equal(false);
  });
});
