// Two implementations: our own thin client (vim25/client.ts, the default) and node-vsphere-soap in a worker thread (node-vsphere-soap/client.ts). One suite runs over both.
import type { AboutInfo, MoRef, ServiceContent, VimMethods } from './vim25/types.ts';

export { isFault, localizedFault, toError } from './faults.ts';
export { typed } from './vim25/encode.ts';
export type * from './vim25/types.ts';

export interface VsphereConfig {
  /** Host name or address of a vCenter or ESXi host, with `:port` where it is not 443. */
  readonly address: string;
  readonly username: string;
  readonly password: string;
  /** SHA-256 of the server's certificate in hex, with or without colons. With it nothing else about the certificate counts. */
  readonly pin?: string | undefined;
  /** PEM file of the authorities that may have signed the certificate, instead of the system's. */
  readonly caFile?: string | undefined;
  /** How the session is called in the server's list of sessions. */
  readonly userAgent?: string | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** TIMED_OUT once it has passed; 60 s unless told, for a file no limit. */
  readonly deadlineMs?: number | undefined;
}

export type VimMethod = keyof VimMethods;
export type VimArgs<M extends VimMethod> = VimMethods[M][0];
export type VimResult<M extends VimMethod> = VimMethods[M][1];

/**
 * One session at one vCenter or ESXi host. It logs in once, keeps itself alive, logs in again once when the server has forgotten it, and
 * logs out at its end. Property filters and views end with the server's session: their users meet NOT_FOUND and make them again.
 */
export interface VsphereClient extends AsyncDisposable {
  readonly about: AboutInfo;
  readonly content: ServiceContent;
  /** Key of the server's session, as HasPrivilegeOnEntities wants it; another one after a new log-in. */
  readonly sessionKey: string;
  /** SHA-1 of the server's certificate with colons: VDDK takes no other. */
  readonly thumbprintSha1: string;
  /**
   * A fault of the server rejects as a DrError by the table of faults.ts, with the fault's type in `context.vendorCode`
   * and the fault itself as the cause. Never retried but once after a new log-in: the server has not looked at a call that it refuses so.
   */
  call<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, options?: CallOptions): Promise<VimResult<M>>;
  /** A file of a datastore (`/folder/…`) or of a lease (an absolute URL), with the session's cookie. */
  transfer(request: TransferRequest, options?: CallOptions): Promise<TransferAnswer>;
}

export interface TransferRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
}

export interface TransferAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** To be read to its end or given up by `return()`. */
  readonly body: AsyncIterable<Uint8Array>;
}

export type OpenVsphere = (config: VsphereConfig, options?: CallOptions) => Promise<VsphereClient>;

/** One request over the wire. What is below is TLS, or a simulated vCenter in the same process. */
export interface WireRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST';
  /** Path and query; an absolute https URL goes to another host of the same server. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WireAnswer extends TransferAnswer {
  readonly setCookies: readonly string[];
}

/** Rejects with CONNECTION_REFUSED, CONNECTION_LOST, CERTIFICATE_UNTRUSTED, or the signal's reason. */
export interface Wire extends AsyncDisposable {
  send(request: WireRequest): Promise<WireAnswer>;
  /** Of the server's certificate; empty before the first answer, and where there is no TLS. */
  readonly thumbprintSha1: string;
}

export type OpenWire = (config: VsphereConfig) => Wire;
