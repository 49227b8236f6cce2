import { once } from 'node:events';
import { resolve } from 'node:path';
import { inspect } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { VsphereClient } from '../../../../adapters/vsphere/port.ts';
import { runModule } from './child.ts';
import { MACHINE, open, rejection, SERVICE } from './clients.ts';
import { answered, HostileServer } from './hostile-server.ts';

describe('the package node-vsphere-soap', () => {
  let server: HostileServer;
  let client: VsphereClient;
  let worker: Worker;
  beforeEach(async () => {
    server = await HostileServer.start();
    const started = once(process, 'worker');
    client = await open('node-vsphere-soap')(server.config);
    [worker] = (await started) as [Worker];
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it('changes nothing in the process, prints nothing, and lets it end, with faults and without a farewell', async () => {
    const source = `
      const state = () => [process.env.NODE_TLS_REJECT_UNAUTHORIZED ?? 'unset', ...['beforeExit', 'exit', 'uncaughtException', 'unhandledRejection'].map((name) => process.listenerCount(name))];
      process.on('beforeExit', () => process.stdout.write(' end'));
      const before = JSON.stringify(state());
      const { createOpenVsphere } = await import('${resolve('adapters/vsphere/open.ts')}');
      const client = await createOpenVsphere()('node-vsphere-soap')(config);
      const codes = await Promise.all(['vm-1', 'vm-2'].map((value) => client.call('PowerOnVM_Task', { type: 'VirtualMachine', value }, {}).catch(({ code }) => code)));
      process.stdout.write(JSON.stringify([before === JSON.stringify(state()), ...codes]));`;
    server.on('PowerOnVM_Task', () => ({
      fault: '<TaskInProgressFault xsi:type="TaskInProgress"/>',
      faultstring: 'The session is not authenticated.',
    }));

    const { code, out, err } = await runModule(source, server.config);

    expect({ code, out, err }).to.deep.equal({ code: 0, out: '[true,"TASK_IN_PROGRESS","TASK_IN_PROGRESS"] end', err: '' });
  });

  it('keeps an answer that it cannot read to itself, that of a log-in too', async () => {
    server.expireSessions();
    server.on('Login', () => '<returnval><key>key-that-opens</key><constructor/></returnval>');

    const error = await rejection(client.call('CurrentTime', SERVICE, {}));

    expect(error).to.have.property('code', 'PROTOCOL_ERROR');
    expect(inspect(error, { depth: null }))
      .not.to.include('key-that-opens')
      .and.not.to.include(server.password);
  });

  it('does not do a call again of which it believes that the session was over', async () => {
    server.on('PowerOnVM_Task', () => '<returnval type="Task">session is not authenticated</returnval><constructor/>');

    expect(await client.call('PowerOnVM_Task', MACHINE, {})).to.have.property('type', 'Task');
    expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    expect(server.requests.map(({ method }) => method)).to.deep.equal(['RetrieveServiceContent', 'Login', 'PowerOnVM_Task', 'CurrentTime']);
  });

  it('takes its calls with it when its thread dies; the next call begins another one in the same session', async () => {
    const entered = Promise.withResolvers<void>();
    server.on('PowerOnVM_Task', () => {
      entered.resolve();
      return { stall: 'before' };
    });
    const calls = [1, 2, 3].map(() => rejection(client.call('PowerOnVM_Task', MACHINE, {})));
    await entered.promise;

    await worker.terminate();

    for (const error of await Promise.all(calls)) {
      expect(error).to.have.property('code', 'CONNECTION_LOST');
      expect((error as Error).message).to.include('node-vsphere-soap');
    }
    expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    expect(server.count('Login')).to.equal(1);
  });

  it('is given up when it hangs on an answer: that call has timed out, the next one goes through', async () => {
    // Its soap looks for the envelope with a pattern that takes quadratic time where names have no prefix.
    const inner = `<returnval>${'&lt;'.repeat(10)}</returnval>${'<a/>'.repeat(200_000)}`;
    const whole = answered('CurrentTime', inner).replaceAll('soapenv:', '').replace('xmlns:soapenv', 'xmlns');
    server.on('CurrentTime', () => ({ whole }));
    const ended = once(worker, 'exit');

    const error = await rejection(client.call('CurrentTime', SERVICE, {}, { deadlineMs: 1_500 }));

    expect(error).to.have.property('code', 'TIMED_OUT');
    await ended;
    server.on('CurrentTime', () => '<returnval>now</returnval>');
    expect(await client.call('CurrentTime', SERVICE, {})).to.equal('now');
  });

  it('never has a call done that was given up before its envelope was made', async () => {
    const abort = new AbortController();
    const call = rejection(client.call('PowerOnVM_Task', MACHINE, {}, { signal: abort.signal }));
    abort.abort(new Error('stopped'));

    expect(await call).to.have.property('message', 'stopped');
    expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    expect(server.count('PowerOnVM_Task')).to.equal(0);
  });
});
