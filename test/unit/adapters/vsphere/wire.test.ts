import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, afterEach, before, it } from 'mocha';
import type { DrError } from '../../../../core/contract/index.ts';
import { makeCertificate } from './certificate.ts';
import { eachClient, rejection, SERVICE } from './clients.ts';
import { HostileServer } from './hostile-server.ts';

eachClient('the certificate of a vCenter', (openClient) => {
  const authority = makeCertificate();
  let folder = '';
  let server: HostileServer;
  const caFile = (pem: string): string => {
    const path = join(folder, 'ca.pem');
    writeFileSync(path, pem);
    return path;
  };
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'ws-ca-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });

  it('is refused when no authority of this machine has signed it, before a byte of the request is sent', async () => {
    server = await HostileServer.start();

    const error = (await rejection(openClient({ ...server.config, pin: undefined }))) as DrError;

    expect(error.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect(error.context.actual).to.equal(server.certificate.pin);
    expect(server.requests).to.deep.equal([]);
  });

  it('is accepted by its pin, with and without colons, and its thumbprint is known', async () => {
    server = await HostileServer.start();
    const colons = server.certificate.pin.toUpperCase().match(/../g)!.join(':');

    for (const pin of [server.certificate.pin, colons]) {
      await using client = await openClient({ ...server.config, pin });
      expect(client.thumbprintSha1).to.equal(server.certificate.thumbprint);
    }
  });

  it('is refused with both fingerprints when it is not the pinned one, whoever has signed it', async () => {
    server = await HostileServer.start(makeCertificate({ signer: authority }));
    const other = makeCertificate();

    const error = (await rejection(openClient({ ...server.config, pin: other.pin, caFile: caFile(authority.cert) }))) as DrError;

    expect(error.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect(error.context).to.deep.include({ actual: server.certificate.pin, expected: other.pin });
    expect(server.requests).to.deep.equal([]);
  });

  it('is looked at again for each connection: one that has changed in the middle of a session gets nothing', async () => {
    server = await HostileServer.start();
    await using client = await openClient(server.config);
    const calls = server.requests.length;

    const was = server.certificate.pin;
    server.present(makeCertificate());
    server.cutConnections();
    // The first may meet the dead connection.
    await client.call('CurrentTime', SERVICE, {}).catch(() => undefined);
    const error = (await rejection(client.call('CurrentTime', SERVICE, {}))) as DrError;

    expect(error.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect(error.context).to.deep.include({ actual: server.certificate.pin, expected: was });
    expect(server.requests).to.have.lengthOf(calls);
    server.expireSessions();
  });

  it('is accepted when an authority of the file has signed it', async () => {
    server = await HostileServer.start(makeCertificate({ signer: authority }));

    await using client = await openClient({ ...server.config, pin: undefined, caFile: caFile(authority.cert) });

    expect(await client.call('CurrentTime', SERVICE, {})).to.be.a('string');
  });

  const REFUSED: readonly [string, () => ReturnType<typeof makeCertificate>, RegExp][] = [
    ['another authority has signed it', () => makeCertificate({ signer: makeCertificate() }), /not signed by an authority/],
    ['it is made out to another name', () => makeCertificate({ signer: authority, name: 'vc.example' }), /another name/],
    ['it has expired', () => makeCertificate({ signer: authority, notAfter: new Date(Date.now() - 60_000) }), /has expired/],
  ];
  for (const [why, make, message] of REFUSED) {
    it(`is refused with a file of authorities when ${why}`, async () => {
      server = await HostileServer.start(make());

      const error = await rejection(openClient({ ...server.config, pin: undefined, caFile: caFile(authority.cert) }));

      expect(error).to.have.property('code', 'CERTIFICATE_UNTRUSTED');
      expect((error as DrError).message).to.match(message);
      expect(server.requests).to.deep.equal([]);
    });
  }

  it('cannot be judged by a pin or a file that is none, which is told before anything is sent', async () => {
    server = await HostileServer.start();

    for (const bad of [
      { pin: '12:34' },
      { pin: undefined, caFile: join(folder, 'absent.pem') },
      { pin: undefined, caFile: caFile('no PEM') },
    ]) {
      expect(await rejection(openClient({ ...server.config, ...bad }))).to.have.property('code', 'CONFIG_INVALID');
    }
    expect(server.requests).to.deep.equal([]);
  });

  it('cannot be asked of an address that is none', async () => {
    server = await HostileServer.start();

    for (const address of ['http://vc.example', 'https://user:pw@vc.example', '', 'vc example'])
      expect(await rejection(openClient({ ...server.config, address }))).to.have.property('code', 'CONFIG_INVALID');
  });
});
