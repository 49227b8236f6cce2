// What a person is shown of a certificate that nobody vouches for.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { openWire } from '../../../../adapters/vsphere/wire.ts';
import type { DrError } from '../../../../core/contract/index.ts';
import { type Certificate, makeCertificate } from './certificate.ts';
import { rejection } from './clients.ts';

interface Peer extends AsyncDisposable {
  readonly address: string;
  /** From the n-th connection on nobody answers any more. */
  answers: number;
}

const listen = async ({ cert, key }: Certificate): Promise<Peer> => {
  const server = createServer({ cert, key }, (_request, response) => response.end());
  const peer: Peer = {
    get address() {
      return `127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    answers: Number.POSITIVE_INFINITY,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  server.on('connection', (socket) => {
    peer.answers--;
    if (peer.answers < 0) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return peer;
};

const refused = async (address: string, caFile?: string, url = '/'): Promise<DrError> => {
  await using wire = openWire({ address, username: 'u', password: 'p', caFile });
  return (await rejection(wire.send({ method: 'GET', url, headers: {} }))) as DrError;
};

describe('a certificate that nobody vouches for', () => {
  const authority = makeCertificate();
  let folder = '';
  let caFile = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'ws-untrusted-'));
    caFile = join(folder, 'ca.pem');
    writeFileSync(caFile, authority.cert);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('is said to be self-signed when it has signed itself', async () => {
    const own = makeCertificate();
    await using peer = await listen(own);

    const error = await refused(peer.address);

    expect(error.message).to.match(/is not signed by an authority that is trusted here \(it is self-signed\)$/);
    expect(error.context).to.deep.equal({ actual: own.pin });
    expect(error.hint).to.include('endpoint trust');
  });

  it('is shown with the signer that it names, as a claim', async () => {
    const signed = makeCertificate({ signer: authority });
    await using peer = await listen(signed);

    const error = await refused(peer.address);

    expect(error.message).to.match(/\(it names as its signer: CN=test [0-9a-f]{8}\)$/);
    expect(error.context).to.deep.equal({ actual: signed.pin });
  });

  for (const [why, make, message] of [
    ['is made out to another name', () => makeCertificate({ signer: authority, name: 'vc.example' }), /is made out to another name/],
    ['has expired', () => makeCertificate({ signer: authority, notAfter: new Date(Date.now() - 60_000) }), /has expired/],
  ] as const) {
    it(`can be compared too when it ${why}`, async () => {
      const certificate = make();
      await using peer = await listen(certificate);

      const error = await refused(peer.address, caFile);

      expect(error.message).to.match(message);
      expect(error.context).to.deep.equal({ actual: certificate.pin });
    });
  }

  it('is refused as well when it cannot be looked at again', async () => {
    await using peer = await listen(makeCertificate());
    peer.answers = 1;

    const error = await refused(peer.address);

    expect([error.code, error.context]).to.deep.equal(['CERTIFICATE_UNTRUSTED', {}]);
  });

  it('of another host is not shown as that of the vCenter', async () => {
    await using vcenter = await listen(makeCertificate({ signer: authority }));
    await using host = await listen(makeCertificate());

    const error = await refused(vcenter.address, caFile, `https://${host.address}/nfc/disk-0.vmdk`);

    expect([error.code, error.context]).to.deep.equal(['CERTIFICATE_UNTRUSTED', {}]);
  });
});
