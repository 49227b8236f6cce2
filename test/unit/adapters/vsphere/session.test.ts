import { expect } from 'chai';
import { afterEach, beforeEach, it } from 'mocha';
import { DrError } from '../../../../core/contract/index.ts';
import { eachClient, MACHINE, open, rejection, SERVICE } from './clients.ts';
import { HostileServer } from './hostile-server.ts';

eachClient('a session at a vCenter', (openClient, name) => {
  let server: HostileServer;
  beforeEach(async () => {
    server = await HostileServer.start();
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });

  it('logs in with a password of any characters, says who it is, and logs out at its end', async () => {
    const client = await openClient({ ...server.config, userAgent: 'Warmsite (engine-1)' });

    expect(client.about.apiVersion).to.equal('8.0.3.0');
    expect(client.content.rootFolder).to.deep.equal({ type: 'Folder', value: 'group-d1' });
    expect(client.sessionKey).to.match(/^session-/);
    expect(await client.call('CurrentTime', SERVICE, {})).to.equal('2026-01-02T03:04:05Z');
    expect(new Set(server.requests.map(({ headers }) => headers['user-agent']))).to.deep.equal(new Set(['Warmsite (engine-1)']));
    expect(new Set(server.requests.map(({ headers }) => headers['soapaction']))).to.deep.equal(new Set(['"urn:vim25/6.7"']));
    expect(server.openSessions).to.equal(1);

    await client[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();

    expect(server.openSessions).to.equal(0);
    expect(server.count('Logout')).to.equal(1);
  });

  it('rejects a wrong password as AUTH_REJECTED, and shows it nowhere', async () => {
    const error = await rejection(openClient({ ...server.config, password: 'not-it-93' }));

    expect(error).to.be.instanceOf(DrError).with.property('code', 'AUTH_REJECTED');
    const { message, hint, context, stack } = error as DrError;
    expect(JSON.stringify({ message, hint, context, stack })).not.to.include('not-it-93');
    expect(context.vendorCode).to.equal('InvalidLogin');
    expect(server.count('Login')).to.equal(1);
  });

  it('refuses a password that XML cannot carry, by the name of the field and without showing it', async () => {
    const error = await rejection(openClient({ ...server.config, password: 'secret\u0007word' }));

    expect(error).to.have.property('code', 'CONFIG_INVALID');
    expect((error as DrError).message)
      .to.include('Login.password')
      .and.to.include('U+0007')
      .and.not.to.include('secret');
    expect(server.count('Login')).to.equal(0);
  });

  it('logs in once for twenty calls that meet an expired session together, and all go on', async () => {
    await using client = await openClient(server.config);
    const first = client.sessionKey;
    server.expireSessions();

    const times = await Promise.all(Array.from({ length: 20 }, () => client.call('CurrentTime', SERVICE, {})));

    expect(new Set(times)).to.deep.equal(new Set(['2026-01-02T03:04:05Z']));
    expect(server.count('Login')).to.equal(2);
    expect(client.sessionKey).not.to.equal(first);
  });

  it('tells that somebody ends its sessions when a new one is over at once, without trying for ever', async () => {
    await using client = await openClient(server.config);
    server.sessionsLast = false;
    server.expireSessions();

    const error = await rejection(client.call('CurrentTime', SERVICE, {}));

    expect(error).to.have.property('code', 'AUTH_REJECTED');
    expect(error).to.have.property('hint', 'check whether somebody ends the sessions of this account');
    expect(server.count('Login')).to.equal(2);
    expect(server.count('CurrentTime')).to.equal(2);
  });

  it('keeps to the deadline of a call when the new log-in stalls', async () => {
    await using client = await openClient(server.config);
    server.expireSessions();
    server.on('Login', () => ({ stall: 'before' }));

    const started = performance.now();
    const error = await rejection(client.call('CurrentTime', SERVICE, {}, { deadlineMs: 200 }));

    expect(error).to.have.property('code', 'TIMED_OUT');
    expect(performance.now() - started).to.be.below(5_000);
  });

  for (const when of ['before', 'during'] as const) {
    it(`gives CONNECTION_LOST for a connection that is cut ${when} the answer, and goes on with the next call`, async () => {
      await using client = await openClient(server.config);
      server.on('PowerOnVM_Task', () => ({ cut: when }));

      const error = await rejection(client.call('PowerOnVM_Task', MACHINE, {}));

      expect(error).to.have.property('code', 'CONNECTION_LOST');
      expect(server.count('PowerOnVM_Task')).to.equal(1);
      expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    });

    it(`gives TIMED_OUT within its deadline for an answer that stalls ${when} its first bytes have come`, async () => {
      await using client = await openClient(server.config);
      server.on('PowerOnVM_Task', () => ({ stall: when }));

      const started = performance.now();
      const error = await rejection(client.call('PowerOnVM_Task', MACHINE, {}, { deadlineMs: 200 }));

      expect(error).to.have.property('code', 'TIMED_OUT');
      expect(error).to.have.deep.property('context', { method: 'PowerOnVM_Task', deadlineMs: 200 });
      expect(performance.now() - started).to.be.below(5_000);
      expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    });

    it(`ends with the reason of its signal when that aborts ${when} the first bytes have come`, async () => {
      await using client = await openClient(server.config);
      const abort = new AbortController();
      const reason = new Error('the cycle was stopped');
      server.on('PowerOnVM_Task', () => {
        setImmediate(() => abort.abort(reason));
        return { stall: when };
      });

      expect(await rejection(client.call('PowerOnVM_Task', MACHINE, {}, { signal: abort.signal }))).to.equal(reason);
      expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
    });
  }

  it('sends nothing for a signal that has aborted before', async () => {
    await using client = await openClient(server.config);
    const reason = new Error('too late');

    expect(await rejection(client.call('PowerOnVM_Task', MACHINE, {}, { signal: AbortSignal.abort(reason) }))).to.equal(reason);
    expect(server.count('PowerOnVM_Task')).to.equal(0);
  });

  it('gives CONNECTION_REFUSED where nobody listens', async () => {
    const { config } = server;
    await server[Symbol.asyncDispose]();

    expect(await rejection(openClient(config))).to.have.property('code', 'CONNECTION_REFUSED');
    server = await HostileServer.start();
  });

  for (const status of [502, 503, 504]) {
    it(`takes HTTP ${status} for a server that is busy`, async () => {
      await using client = await openClient(server.config);
      server.on('CurrentTime', () => ({ status, type: 'text/html', whole: '<html>wait</html>' }));

      expect(await rejection(client.call('CurrentTime', SERVICE, {}))).to.have.property('code', 'HOST_BUSY');
    });
  }

  const NO_ANSWERS: readonly [string, { readonly status?: number; readonly type?: string; readonly whole: string }][] = [
    ['a page of HTML', { type: 'text/html', whole: '<html><body>Welcome</body></html>' }],
    ['HTTP 404', { status: 404, type: 'text/html', whole: 'no such page' }],
    ['a redirection', { status: 302, type: 'text/html', whole: '' }],
    ['HTML that calls itself XML', { whole: '<html><body><p>Welcome</body></html>' }],
    ['nothing at all', { whole: '' }],
    ['half an envelope', { whole: '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>' }],
    ['bytes that are no text', { whole: '\u0000\u0001\u0002' }],
  ];
  for (const [what, reply] of NO_ANSWERS) {
    it(`gives PROTOCOL_ERROR with the method's name for ${what}`, async () => {
      await using client = await openClient(server.config);
      server.on('CurrentTime', () => reply);

      const error = await rejection(client.call('CurrentTime', SERVICE, {}));

      expect(error).to.have.property('code', 'PROTOCOL_ERROR');
      expect((error as DrError).context.method).to.equal('CurrentTime');
    });
  }

  it('refuses calls and files after its end', async () => {
    const client = await openClient(server.config);
    await client[Symbol.asyncDispose]();

    expect(await rejection(client.call('CurrentTime', SERVICE, {}))).to.have.property('code', 'CONNECTION_LOST');
    expect(await rejection(client.transfer({ method: 'GET', url: '/folder/a' }))).to.have.property('code', 'CONNECTION_LOST');
  });

  it('ends without a word when the server is gone', async () => {
    const client = await openClient(server.config);
    await server[Symbol.asyncDispose]();

    await client[Symbol.asyncDispose]();
    server = await HostileServer.start();
  });

  it('fetches a file with the cookie of its session, after a new log-in where that is needed', async () => {
    await using client = await openClient(server.config);
    server.file = (request, response) => response.writeHead(206, { 'x-range': String(request.headers['range']) }).end('0123456789');
    server.expireSessions();

    const { status, headers, body } = await client.transfer({
      method: 'GET',
      url: '/folder/d.vmdk?dsName=a',
      headers: { range: 'bytes=0-9' },
    });

    expect({ status, range: headers['x-range'] }).to.deep.equal({ status: 206, range: 'bytes=0-9' });
    expect(Buffer.concat(await Array.fromAsync(body)).toString()).to.equal('0123456789');
    expect(server.count('Login')).to.equal(2);
  });

  it('sends its cookie to no address without TLS', async () => {
    await using client = await openClient(server.config);

    expect(await rejection(client.transfer({ method: 'GET', url: `http://${server.address}/folder/a` }))).to.have.property(
      'code',
      'PROTOCOL_ERROR',
    );
  });

  it('gives TIMED_OUT for a file that stalls in the middle', async () => {
    await using client = await openClient(server.config);
    server.file = (_, response) => void response.writeHead(200).write('half');

    const { body } = await client.transfer({ method: 'GET', url: '/folder/a' }, { deadlineMs: 300 });

    expect(await rejection(Array.fromAsync(body))).to.have.property('code', 'TIMED_OUT');
  });

  it('gives back the connection of a file that nobody reads', async () => {
    await using client = await openClient(server.config);
    server.file = (_, response) => void response.writeHead(200).end(Buffer.alloc(1 << 20));

    // More than there are connections: one that was kept would be missing.
    for (let count = 0; count < 40; count++) {
      const { body } = await client.transfer({ method: 'GET', url: '/folder/a' }, { deadlineMs: 5_000 });
      await body[Symbol.asyncIterator]().return?.();
    }

    expect(await client.call('CurrentTime', SERVICE, {}, { deadlineMs: 5_000 })).to.be.a('string');
  });

  it(`is what createOpenVsphere gives for ${name}`, async () => {
    await using client = await open(name)(server.config);

    expect(client.thumbprintSha1).to.equal(server.certificate.thumbprint);
  });
});
