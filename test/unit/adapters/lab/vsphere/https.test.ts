import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { EstatePort } from '../../../../../adapters/lab/port.ts';
import { createCertificate, pinOf } from '../../../../../adapters/lab/vsphere/certificate.ts';
import type { MoRef, VsphereClient } from '../../../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../../../adapters/vsphere/vim25/client.ts';
import { openWire } from '../../../../../adapters/vsphere/wire.ts';
import { DrError } from '../../../../../core/contract/index.ts';
import { LabProcess, temporary } from '../lab-process.ts';

const SERVICE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
const SMALL = ['--disk-bytes', String(1 << 20)];

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof DrError ? error.code : String(error)),
  );

const openAt = async (port: EstatePort, more: { caFile?: string; pin?: string } = {}): Promise<VsphereClient> => {
  const { address, pin } = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });
  const trust = Object.keys(more).length > 0 ? more : { pin };
  return openVim25(openWire, { address, username: 'any', password: 'any', ...trust });
};

const KEPT = 'vcenter-vcenter-a.json';

const certificateIn = (directory: string): string =>
  (JSON.parse(readFileSync(join(directory, KEPT), 'utf8')) as { readonly certificatePem: string }).certificatePem;

const now = (client: VsphereClient) => client.call('CurrentTime', SERVICE, {});

describe('the certificate of a simulated vCenter', () => {
  it('signs itself, is good now and for ten years, for this machine and no other', () => {
    const at = new Date('2026-03-04T05:06:07Z');

    const { certificatePem, keyPem } = createCertificate('vcenter-ä (simulated)', at);
    const certificate = new X509Certificate(certificatePem);

    expect(certificate.verify(certificate.publicKey)).to.equal(true);
    expect(certificate.checkIssued(certificate)).to.equal(true);
    expect(certificate.subject).to.equal('CN=vcenter-ä (simulated)');
    expect([certificate.checkHost('localhost'), certificate.checkIP('127.0.0.1')]).to.deep.equal(['localhost', '127.0.0.1']);
    expect(certificate.checkHost('vcenter.example.org')).to.equal(undefined);
    expect([certificate.validFromDate, certificate.validToDate].map((date) => date.toISOString().slice(0, 10))).to.deep.equal([
      '2026-03-03',
      '2036-03-01',
    ]);
    expect(certificate.publicKey.asymmetricKeyDetails).to.deep.equal({ namedCurve: 'prime256v1' });
    expect(certificate.fingerprint256.replaceAll(':', '').toLowerCase()).to.equal(pinOf({ certificatePem, keyPem }));
  });
});

describe('a simulated vCenter over HTTPS', () => {
  it('is reached by its pin or by its certificate as an authority, by nothing else', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    const caFile = join(home.path, 'ca.pem');
    writeFileSync(caFile, certificateIn(home.path));

    await using byPin = await openAt(port);
    await using byAuthority = await openAt(port, { caFile });

    expect(await codeOf(now(byPin))).to.equal('none');
    expect(await codeOf(now(byAuthority))).to.equal('none');
    expect(await codeOf(openAt(port, { pin: '0'.repeat(64) }))).to.equal('CERTIFICATE_UNTRUSTED');
    const { address } = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });
    expect(await codeOf(openVim25(openWire, { address, username: 'any', password: 'any' }))).to.equal('CERTIFICATE_UNTRUSTED');
    expect(statSync(join(home.path, KEPT)).mode & 0o777).to.equal(0o600);
  });

  it('is at the same address with the same certificate after a kill, and what it has said is true still', async () => {
    using home = temporary();
    const before = await (async () => {
      await using lab = await LabProcess.start(home.path, ...SMALL);
      const port = await lab.connect();
      const at = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });
      await using client = await openAt(port);
      const made = await client.call('CreateFolder', { type: 'Folder', value: 'group-v3' }, { name: 'kept' });
      await lab.end('SIGKILL');
      return { at, made };
    })();

    await using lab = await LabProcess.start(home.path);
    const port = await lab.connect();
    await using client = await openAt(port);

    expect(await port.call('lab.vcenter', { endpoint: 'vcenter-a' })).to.deep.equal(before.at);
    expect(await codeOf(client.call('CreateFolder', before.made, { name: 'below' }))).to.equal('none');
  });

  it('moves to another port when its own has been taken', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const before = await (await lab.connect()).call('lab.vcenter', { endpoint: 'vcenter-a' });
    await lab.end('SIGTERM');
    const other = createServer().listen(Number(before.address.split(':')[1]), '127.0.0.1');
    try {
      await using again = await LabProcess.start(home.path);
      const port = await again.connect();

      const { address, pin } = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });

      expect(address).not.to.equal(before.address);
      expect(pin).to.equal(before.pin);
      await using _ = await openAt(port);
    } finally {
      other.close();
    }
  });

  it('drops connections that are cut, calls that wait included, and keeps the session', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    await using client = await openAt(port);
    const { sessionKey } = client;
    const [host, number] = (await port.call('lab.vcenter', { endpoint: 'vcenter-a' })).address.split(':');
    const idle = connect({ host, port: Number(number), ca: certificateIn(home.path) });
    await once(idle, 'secureConnect');
    const dropped = once(idle, 'close');
    const waiting = codeOf(client.call('WaitForUpdatesEx', client.content.propertyCollector, {}));
    await now(client);

    await port.call('lab.cutConnections', { endpoint: 'vcenter-a' });

    expect(await waiting).to.equal('CONNECTION_LOST');
    await dropped;
    while ((await codeOf(now(client))) !== 'none');
    expect(client.sessionKey).to.equal(sessionKey);
  });

  it('does not answer from a site that has burned, and ends a call whose client has gone', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    await using client = await openAt(port);
    const controller = new AbortController();
    const waiting = client
      .call('WaitForUpdatesEx', client.content.propertyCollector, {}, { signal: controller.signal })
      .catch((error: unknown) => error);
    controller.abort(new Error('enough'));
    expect(String(await waiting)).to.equal('Error: enough');

    await port.call('lab.burnSite', { site: 'site-a' });
    expect(await codeOf(now(client))).to.be.oneOf(['CONNECTION_LOST', 'CONNECTION_REFUSED']);
    await port.call('lab.restoreSite', { site: 'site-a' });
    while ((await codeOf(now(client))) !== 'none');
  });

  it('shows a new certificate when it is told to, and the old pin is worth nothing', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const port = await lab.connect();
    await using client = await openAt(port);
    const before = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });

    await port.call('lab.setVcenter', { endpoint: 'vcenter-a', newCertificate: true });

    const after = await port.call('lab.vcenter', { endpoint: 'vcenter-a' });
    expect(after.address).to.equal(before.address);
    expect(after.pin).not.to.equal(before.pin);
    expect(await codeOf(now(client))).to.equal('CERTIFICATE_UNTRUSTED');
    await using _ = await openAt(port);
  });

  it('answers below the address of its WSDL too, where node-vsphere-soap calls', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const { address, pin } = await (await lab.connect()).call('lab.vcenter', { endpoint: 'vcenter-a' });
    await using wire = openWire({ address, username: '', password: '', pin });
    const call = '<RetrieveServiceContent xmlns="urn:vim25"><_this>ServiceInstance</_this></RetrieveServiceContent>';
    const body = `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>${call}</Body></Envelope>`;

    const answer = await wire.send({ method: 'POST', url: '/sdk/vimService.wsdl', headers: {}, body });

    expect(answer.status).to.equal(200);
  });

  it('says what versions it speaks, and 404 and 405 to what it does not know', async () => {
    using home = temporary();
    await using lab = await LabProcess.start(home.path, ...SMALL);
    const { address, pin } = await (await lab.connect()).call('lab.vcenter', { endpoint: 'vcenter-a' });
    await using wire = openWire({ address, username: '', password: '', pin });
    const get = async (url: string) => {
      const { status, body } = await wire.send({ method: 'GET', url, headers: {} });
      const parts: Uint8Array[] = [];
      for await (const part of body) parts.push(part);
      return { status, text: Buffer.concat(parts).toString() };
    };

    expect((await get('/sdk/vimServiceVersions.xml')).text).to.contain('<version>8.0.3.0</version>');
    expect((await get('/sdk/vimService.wsdl')).text).to.contain(`location="https://${address}/sdk"`);
    expect((await get('/sdk')).status).to.equal(405);
    expect((await get('/ui')).status).to.equal(404);
    expect((await get('/folder/a.vmdk?dcPath=dc-a&dsName=vcenter-a-store-1')).status).to.equal(401);
  });
});
