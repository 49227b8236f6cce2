// One simulated vCenter over HTTPS on 127.0.0.1. Its certificate and port are kept, so that both are the same after a restart of the lab.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { WireAnswer, WireRequest } from '../../vsphere/port.ts';
import { type Certificate, createCertificate, pinOf } from './certificate.ts';
import type { Vcenter } from './vcenter.ts';
import type { Served } from './vcenters.ts';

interface Kept extends Certificate {
  readonly port: number;
}

const HOST = '127.0.0.1';
/** Longer than clients keep an idle connection, so that none is closed in the moment in which it is used. */
const KEEP_ALIVE_MS = 120_000;

export interface ServeOptions {
  /** That of the lab, which only its owner can read. */
  readonly directory: string;
  /** Runs before each answer is sent: what a client was told must survive a kill. */
  readonly afterCall: () => void;
}

export const serveVcenter = async (vcenter: Vcenter, options: ServeOptions): Promise<Served> => {
  const path = join(options.directory, `vcenter-${encodeURIComponent(vcenter.endpoint.name)}.json`);
  const kept: Kept = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Kept) : { ...newCertificate(vcenter), port: 0 };
  const server = new VcenterServer(vcenter, path, { kept, afterCall: options.afterCall });
  await server.open();
  return server;
};

const newCertificate = ({ endpoint }: Vcenter): Certificate => createCertificate(`${endpoint.name} (simulated)`, new Date());

class VcenterServer implements Served {
  readonly #vcenter: Vcenter;
  readonly #path: string;
  readonly #server: Server;
  readonly #afterCall: () => void;
  #kept: Kept;

  constructor(vcenter: Vcenter, path: string, { kept, afterCall }: { readonly kept: Kept; readonly afterCall: () => void }) {
    this.#vcenter = vcenter;
    this.#path = path;
    this.#kept = kept;
    this.#afterCall = afterCall;
    const { keyPem: key, certificatePem: cert } = kept;
    // A call may wait for as long as its client likes.
    this.#server = createServer({ key, cert, requestTimeout: 0 }, (request, response) => void this.#answer(request, response));
    this.#server.keepAliveTimeout = KEEP_ALIVE_MS;
    this.#server.on('secureConnection', (socket) => {
      const connection = vcenter.connect(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.on('close', () => vcenter.disconnect(connection));
    });
  }

  get address(): string {
    return `${HOST}:${this.#kept.port}`;
  }

  get pin(): string {
    return pinOf(this.#kept);
  }

  async open(): Promise<void> {
    try {
      await this.#listen(this.#kept.port);
    } catch (error) {
      // Somebody else has taken the port since.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      await this.#listen(0);
    }
    this.#keep({ ...this.#kept, port: (this.#server.address() as AddressInfo).port });
  }

  renewCertificate(): void {
    this.#keep({ ...this.#kept, ...newCertificate(this.#vcenter) });
    this.#server.setSecureContext({ key: this.#kept.keyPem, cert: this.#kept.certificatePem });
    this.#server.closeAllConnections();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, HOST, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  #keep(kept: Kept): void {
    this.#kept = kept;
    writeFileSync(`${this.#path}.new`, JSON.stringify(kept), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }

  /** Where the vCenter has no answer the connection breaks. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => gone.abort(new Error('the client has gone')));
    try {
      const answer = await this.#vcenter.handle(await toWire(request, gone.signal));
      this.#afterCall();
      await send(response, answer);
    } catch {
      request.socket.destroy();
    }
  }
}

const toWire = async (request: IncomingMessage, signal: AbortSignal): Promise<WireRequest> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const headers = Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]);
  return {
    method: request.method as WireRequest['method'],
    url: request.url ?? '/',
    headers: Object.fromEntries(headers),
    body: Buffer.concat(parts),
    signal,
  };
};

const send = async (response: ServerResponse, { status, headers, setCookies, body }: WireAnswer): Promise<void> => {
  response.writeHead(status, { ...headers, ...(setCookies.length > 0 ? { 'set-cookie': [...setCookies] } : {}) });
  for await (const piece of body) {
    if (response.write(piece)) continue;
    await new Promise<void>((resolve) => {
      response.once('drain', resolve);
      response.once('close', resolve);
    });
  }
  response.end();
};
