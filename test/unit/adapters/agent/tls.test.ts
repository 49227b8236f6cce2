// The program as a service: who is let in, and what whoever is not hears.

import { once } from 'node:events';
import { connect as connectPlain, createServer, type Server } from 'node:net';
import { connect } from 'node:tls';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openAgent } from '../../../../adapters/agent/client.ts';
import type { Agent } from '../../../../adapters/agent/port.ts';
import { type Certificate, makeCertificate } from '../vsphere/certificate.ts';
import { AgentProcess, codeOf, equal, errorOf, Folder, MiB, random, until } from './agents.ts';
import { measure, measurePlain } from './throughput.ts';

const AUTHORITY = makeCertificate();
const YESTERDAY = new Date(Date.now() - 86_400_000);

/** A host with an agent, and a folder for what it and its clients show. */
class Site implements AsyncDisposable {
  readonly folder = new Folder();
  readonly #process: AgentProcess[] = [];
  #count = 0;

  async start(own: Certificate = makeCertificate({ signer: AUTHORITY }), ...args: readonly string[]): Promise<string> {
    const files = ['--certificate', this.#file(own.cert), '--key', this.#file(own.key), '--ca', this.#file(AUTHORITY.cert)];
    const { process, address } = await AgentProcess.listening(...files, '--files', this.folder.path, ...args);
    this.#process.push(process);
    return address;
  }

  get agent(): AgentProcess {
    return this.#process.at(-1)!;
  }

  open(address: string, shown: Certificate = makeCertificate({ signer: AUTHORITY }), trusted: Certificate = AUTHORITY): Promise<Agent> {
    const [certificateFile, keyFile, caFile] = [shown.cert, shown.key, trusted.cert].map((pem) => this.#file(pem)) as [
      string,
      string,
      string,
    ];
    return openAgent({ kind: 'tls', address, certificateFile, keyFile, caFile }, { deadlineMs: 10_000 });
  }

  #file(pem: string): string {
    return this.folder.file(`pem-${++this.#count}`, pem);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#process) await process[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

/** Answers every connection in the same way; gone with the test. */
const strangerThat = async (says: string | undefined): Promise<{ readonly address: string } & Disposable> => {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (says !== undefined) socket.end(says);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return { address: `127.0.0.1:${(server.address() as { port: number }).port}`, [Symbol.dispose]: () => void server.close() };
};

describe('an agent that listens', () => {
  it('serves a client of its authority, and another one after it', async () => {
    await using site = new Site();
    const path = site.folder.file('disk', random(4 * MiB));
    const address = await site.start();

    for (const round of [1, 2]) {
      await using agent = await site.open(address);
      await using device = await agent.openDevice(path, { forWriting: true });
      await device.write(0, random(3 * MiB, round));
      const into = new Uint8Array(4 * MiB);
      await device.read(0, into);

      expect(equal(into.subarray(0, 3 * MiB), random(3 * MiB, round))).to.equal(true);
    }
  });

  it('tells a client why it is not let in', async () => {
    await using site = new Site();
    const address = await site.start();
    const expired = makeCertificate({ signer: AUTHORITY, notAfter: YESTERDAY });
    const another = makeCertificate({ signer: makeCertificate() });

    for (const [shown, why] of [
      [expired, 'CERT_HAS_EXPIRED'],
      [another, 'UNABLE_TO'],
      [makeCertificate(), 'SELF_SIGNED'],
    ] as const) {
      const error = await errorOf(site.open(address, shown));
      expect(error).to.include({ code: 'AUTH_REJECTED' });
      expect(String(error)).to.include(why);
    }
    await using agent = await site.open(address);
    expect(agent.info.platform).to.equal('linux');
  });

  it('lets nobody in without a certificate, whatever it says', async () => {
    await using site = new Site();
    const address = await site.start();
    const socket = connect({ host: '127.0.0.1', port: Number(address.split(':')[1]), ca: AUTHORITY.cert });
    let heard = '';
    socket.on('data', (chunk: Buffer) => {
      heard += String(chunk);
    });
    socket.on('error', () => undefined);
    const hello = Buffer.from('{"hello":"warmsite-agent","protocol":1}');
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(hello.length);

    socket.write(Buffer.concat([lengths, hello]));
    await once(socket, 'close');

    expect(heard).to.include('AUTH_REJECTED').and.to.include('it shows none').and.not.to.include('hostname');
    expect(site.agent.said).to.include('refused').and.not.to.include('session begins');
  });

  it('lets in one client alone where it is told which', async () => {
    await using site = new Site();
    const mine = makeCertificate({ signer: AUTHORITY });
    const address = await site.start(undefined, '--client-sha256', mine.pin.toUpperCase().match(/../g)!.join(':'));

    expect(await errorOf(site.open(address))).to.include({ code: 'AUTH_REJECTED' });
    await using agent = await site.open(address, mine);
    expect(agent.lost.aborted).to.equal(false);
  });

  it('is not trusted by a client when its certificate is of another authority, another host or expired', async () => {
    await using site = new Site();
    const good = await site.start();
    const elsewhere = await site.start(makeCertificate({ signer: AUTHORITY, name: 'elsewhere.example' }));
    const expired = await site.start(makeCertificate({ signer: AUTHORITY, notAfter: YESTERDAY }));

    expect(await codeOf(site.open(good, undefined, makeCertificate()))).to.equal('CERTIFICATE_UNTRUSTED');
    expect(await codeOf(site.open(elsewhere))).to.equal('CERTIFICATE_UNTRUSTED');
    expect(await codeOf(site.open(expired))).to.equal('CERTIFICATE_UNTRUSTED');
  });

  it('is told from one that is not there, is no agent, or says nothing', async () => {
    await using site = new Site();
    const address = await site.start();
    await site.agent.kill();
    using http = await strangerThat('HTTP/1.1 400 Bad Request\r\n\r\n');
    using silent = await strangerThat(undefined);
    const given = { kind: 'tls', ...filesOf(site) } as const;

    expect(await codeOf(openAgent({ ...given, address }))).to.equal('CONNECTION_REFUSED');
    expect(await codeOf(openAgent({ ...given, address: http.address }))).to.equal('PROTOCOL_ERROR');
    expect(await codeOf(openAgent({ ...given, address: silent.address }, { deadlineMs: 100 }))).to.equal('TIMED_OUT');
    expect(await codeOf(openAgent({ ...given, address: '127.0.0.1' }))).to.equal('CONFIG_INVALID');
    expect(await codeOf(openAgent({ ...given, address: silent.address }, { signal: AbortSignal.abort(new Error('enough')) }))).to.equal(
      'Error: enough',
    );
  });

  it('refuses what speaks no TLS, and goes on', async () => {
    await using site = new Site();
    const address = await site.start();
    const socket = connectPlain(Number(address.split(':')[1]), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');

    await using agent = await site.open(address);

    expect(site.agent.said).to.include('no TLS');
    expect(agent.lost.aborted).to.equal(false);
  });

  it('keeps a disk for one writer over all sessions, until that one has gone', async () => {
    await using site = new Site();
    const path = site.folder.file('disk', random(MiB));
    const address = await site.start();
    await using first = await site.open(address);
    await using second = await site.open(address);
    const written = await first.openDevice(path, { forWriting: true });

    const asked = await Promise.all([true, false].map((forWriting) => codeOf(second.openDevice(path, { forWriting }))));
    await first[Symbol.asyncDispose]();
    await using device = await second.openDevice(path, { forWriting: true });
    await device.write(0, random(MiB, 3));

    expect(asked).to.deep.equal(['FILE_LOCKED', 'FILE_LOCKED']);
    expect(await codeOf(written.write(0, random(MiB, 4)))).to.equal('CONNECTION_LOST');
  });

  it('ends all sessions in order when it is told to', async () => {
    await using site = new Site();
    const address = await site.start();
    await using agent = await site.open(address);
    await agent.openDevice(site.folder.file('disk', random(MiB)), { forWriting: true });

    site.agent.child.kill('SIGTERM');

    expect(await site.agent.ended).to.deep.equal([0, null]);
    await until(() => agent.lost.aborted);
    expect(agent.lost.reason).to.include({ code: 'CONNECTION_LOST' });
  });

  it('keeps a device busy: 16 requests of 1 MiB at once', async function () {
    await using site = new Site();
    const size = 256 * MiB;
    const path = site.folder.file('disk', random(size));
    const address = await site.start();
    const plain = await measurePlain(path, size);
    await using agent = await site.open(address);

    const { read, write, digests } = await measure(agent, path, size);

    this.test!.title += ` [${plain} MiB/s plain, ${read} read, ${write} written, ${digests} digested]`;
    expect(read).to.be.greaterThan(20);
  });
});

const filesOf = (site: Site): { readonly certificateFile: string; readonly keyFile: string; readonly caFile: string } => {
  const own = makeCertificate({ signer: AUTHORITY });
  return {
    certificateFile: site.folder.file('own.pem', own.cert),
    keyFile: site.folder.file('own.key', own.key),
    caFile: site.folder.file('ca.pem', AUTHORITY.cert),
  };
};
