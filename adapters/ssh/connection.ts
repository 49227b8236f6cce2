import type { Duplex } from 'node:stream';
import type { Client, ClientErrorExtensions, ConnectConfig } from 'ssh2';
import type { DrError } from '../../core/contract/errors.ts';
import type { SshAddress } from './address.ts';
import { noAgent } from './agent-keys.ts';
import { algorithmsFor } from './algorithms.ts';
import { Authentication } from './authentication.ts';
import type { Credentials, Ssh2 } from './credentials.ts';
import { brokenError, handshakeError, lostError, type SshFailure } from './errors.ts';
import { fingerprintOf, type HostCheck } from './host-key.ts';
import { unlessAborted } from './limit.ts';

/** Whole intervals without a byte from the server, after which it is gone: three to four intervals after its last one. */
const SILENT_INTERVALS = 3;

/** How long disposing waits for the server to close. */
const FAREWELL_MS = 2000;

/** One side of the path to the target, known and able to prove itself. */
export interface Hop {
  readonly address: SshAddress;
  /** What errors call it. */
  readonly where: string;
  readonly username: string;
  readonly hostCheck: HostCheck;
  readonly credentials: Credentials;
}

/** An authenticated connection. Whatever ends it aborts `lost`, and closes what it stands on. */
export class Connection implements AsyncDisposable {
  readonly client: Client;
  readonly where: string;
  fingerprint = '';
  readonly #hop: Hop;
  readonly #transport: Duplex;
  readonly #via: Connection | undefined;
  readonly #lost = new AbortController();
  readonly #authentication: Authentication;
  #isReady = false;
  #watch: NodeJS.Timeout | undefined;
  #heard = true;
  #disposed: Promise<void> | undefined;

  constructor(ssh2: Ssh2, hop: Hop, transport: Duplex, via: Connection | undefined) {
    this.where = hop.where;
    this.client = new ssh2.Client();
    this.#hop = hop;
    this.#transport = transport;
    this.#via = via;
    this.#authentication = new Authentication(hop.where, hop.username, hop.credentials);
    via?.lost.addEventListener('abort', () => this.#end(lostError(this.where, `${via.where} is gone`, via.lost.reason)), {
      signal: this.#lost.signal,
    });
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Identifies the host, logs in. Rejects with the signal's reason when it aborts; the caller disposes. */
  async establish(keepaliveMs: number, signal: AbortSignal): Promise<void> {
    const ready = new Promise<void>((done) => this.client.once('ready', done));
    this.#listen();
    this.client.connect(this.#config(keepaliveMs));
    // After connect: ssh2 pauses the stream there, and a listener before would have it flow too early.
    this.#transport.on('data', () => {
      this.#heard = true;
    });
    await unlessAborted(ready, signal, this.lost);
    this.#isReady = true;
    this.#hop.credentials.agent?.[Symbol.dispose]();
    this.#watchSilence(keepaliveMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    // Through a jump host there is nothing to wait for: what was sent goes ahead of the end of the connection that carries it.
    if (this.#isReady && !this.lost.aborted && this.#via === undefined) {
      const closed = new Promise<void>((done) => this.#transport.once('close', done));
      const farewell = setTimeout(() => this.#transport.destroy(), FAREWELL_MS);
      this.client.end();
      this.#end(lostError(this.where, 'it was closed here'), false);
      await closed;
      clearTimeout(farewell);
    }
    this.#end(lostError(this.where, 'it was closed here'));
    await this.#via?.[Symbol.asyncDispose]();
  }

  #config(keepaliveMs: number): ConnectConfig {
    const { username, hostCheck } = this.#hop;
    return {
      sock: this.#transport,
      username,
      algorithms: algorithmsFor(hostCheck.types),
      hostVerifier: (key: Buffer) => this.#identify(key),
      authHandler: (methods, _partial, next) => {
        const attempt = this.#authentication.next(methods);
        const { rejection } = this.#authentication;
        if (attempt === false && rejection) this.#end(rejection);
        else if (attempt !== false) next(attempt);
      },
      // The caller's limit holds.
      readyTimeout: 0,
      // ssh2 asks; whether anything comes is looked at here. ssh2 itself would count an answer as missing that only waits behind much data.
      keepaliveInterval: keepaliveMs,
      keepaliveCountMax: Number.MAX_SAFE_INTEGER,
    };
  }

  /** Also each time the keys are exchanged anew. */
  #identify(key: Buffer): boolean {
    this.fingerprint = fingerprintOf(key);
    const refusal = this.#hop.hostCheck.refuse(key);
    if (refusal) this.#end(refusal);
    return refusal === undefined;
  }

  #listen(): void {
    this.client.on('error', (error) => this.#onError(error));
    this.client.on('end', () => this.#end(this.#closedError()));
    this.client.on('close', () => this.#end(this.#closedError()));
    this.client.on('change password', () => this.#end(this.#authentication.changeDemanded()));
  }

  #onError(error: Error & ClientErrorExtensions): void {
    const isAboutKeys = error.level === 'agent' || error.level === 'client-authentication';
    if (this.#isReady) this.#end(brokenError(this.where, error as SshFailure));
    else if (error.level === 'agent' && /connect to agent/.test(error.message)) this.#end(noAgent('it does not answer'));
    // ssh2 then goes on to the next key or method, or asks us for one.
    else if (isAboutKeys) this.#authentication.note(error);
    else this.#end(handshakeError(this.where, this.#hop.username, error as SshFailure));
  }

  #closedError(): DrError {
    return lostError(this.where, this.#isReady ? 'the server closed it' : 'the server closed it before the login was done');
  }

  #watchSilence(keepaliveMs: number): void {
    let silent = 0;
    this.#watch = setInterval(() => {
      silent = this.#heard ? 0 : silent + 1;
      this.#heard = false;
      if (silent >= SILENT_INTERVALS) this.#end(lostError(this.where, `nothing was heard for ${(silent * keepaliveMs) / 1000} s`));
    }, keepaliveMs);
    if (this.lost.aborted) clearInterval(this.#watch);
  }

  /** The first reason is the one that counts. */
  #end(reason: DrError, destroy = true): void {
    clearInterval(this.#watch);
    this.#hop.credentials.agent?.[Symbol.dispose]();
    if (!this.lost.aborted) this.#lost.abort(reason);
    if (!destroy) return;
    this.#transport.destroy();
    // It carries nothing else. It never rejects.
    void this.#via?.[Symbol.asyncDispose]();
  }
}
