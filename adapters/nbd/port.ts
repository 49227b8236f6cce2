// One implementation of each (client.ts, nbdkit.ts), injected into plugins. The servers are two: nbdkit with VMware's library, and any other nbdkit or
// qemu-nbd; test/support/nbdkit-vddk-standin stands in for the first where that library is not.
import type { DrError } from '../../core/contract/errors.ts';

// ---- the client ---------------------------------------------------------------------------------------------------------

export type NbdAddress = { readonly exportName?: string } & (
  | { readonly socketPath: string }
  /** In clear text: no TLS. Only for a network that is trusted. */
  | { readonly host: string; readonly port: number }
);

export interface OpenNbdOptions {
  /** PERMISSION_DENIED when the server is read-only, CAPABILITY_MISSING when it cannot flush. */
  readonly forWriting: boolean;
  readonly signal: AbortSignal;
  /** Until the export is ready, 30 s unless told. A VDDK server logs in within this time. */
  readonly deadlineMs?: number;
  /** The most requests that are with the server at once, 16 unless told. Others wait here. */
  readonly maxInFlight?: number;
  /** Without a byte from a server that owes an answer for so long, the connection counts as lost. 2 minutes unless told. */
  readonly silenceMs?: number;
  /** Makes more of an error than the wire could say: NbdkitProcess.explain. */
  readonly explain?: (error: DrError) => Promise<DrError>;
}

export type OpenNbd = (where: NbdAddress, options: OpenNbdOptions) => Promise<NbdExport>;

export interface NbdRequestOptions {
  readonly signal?: AbortSignal;
}

/** A byte range; `zero`: it is known to read as zero. */
export interface NbdExtent {
  readonly offset: number;
  readonly length: number;
  readonly zero?: true;
}

/**
 * One export over one connection. Requests may overlap in time and are answered in any order.
 * Once a request has rejected, its buffer is the caller's again: nothing is read from it or written to it later.
 * A write that was aborted may still take effect, but not after a later write, nor after the export is disposed of, which waits for the server's answer
 * (30 s; a server that takes longer than that must be ended itself before the disk is anybody else's).
 */
export interface NbdExport extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Offsets and lengths are multiples of it; only the end of the disk may be odd. */
  readonly minimumBlockBytes: number;
  /** What goes to the server in one piece. Larger calls are cut, one piece after the other. */
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  read(offset: number, into: Uint8Array, options?: NbdRequestOptions): Promise<void>;
  write(offset: number, data: Uint8Array, options?: NbdRequestOptions): Promise<void>;
  /** Sends zeroes where the server has no command for it. */
  writeZeroes(offset: number, length: number, options?: NbdRequestOptions): Promise<void>;
  /** All writes that were answered before are durable after. */
  flush(options?: NbdRequestOptions): Promise<void>;
  /**
   * From a byte offset on: ascending, disjoint, neighbours joined. What is left out reads as zero; a normal end means complete.
   * Absent where the server does not tell.
   */
  extents?(from: number, options?: NbdRequestOptions): AsyncIterable<NbdExtent>;
}

// ---- nbdkit with the vddk plugin --------------------------------------------------------------------------------------------

export interface NbdkitSpec {
  /** nbdkit itself: a path, or a name that PATH finds. */
  readonly program: string;
  /** The folder that holds lib64/libvixDiskLib.so.N. */
  readonly vddkLibDir: string;
  readonly server: string;
  readonly port?: number;
  readonly user: string;
  readonly password: string;
  /** SHA-1 of the server's certificate, 20 pairs of hex digits between colons: VDDK takes no other. */
  readonly thumbprint: string;
  readonly vmMoref: string;
  /** Without it VDDK opens the running disk, which a running machine has locked. */
  readonly snapshotMoref?: string;
  /** '[datastore] folder/name.vmdk' */
  readonly diskPath: string;
  /** Such as 'nbdssl:nbd'; VDDK chooses unless told. */
  readonly transports?: string;
  readonly readOnly: boolean;
  /** A folder of its own is made in here for the socket; its path may have about 80 bytes, because a socket's may have 107. */
  readonly scratchDir: string;
  /** Further parameters of the plugin, such as 'compression=skipz'. Never a secret: other users of this machine can read them. */
  readonly extraArgs?: readonly string[];
}

export interface NbdkitLog {
  debug(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
}

export interface StartNbdkitOptions {
  /** Of the start; it does not end an nbdkit that runs. */
  readonly signal: AbortSignal;
  /** Until nbdkit listens. It logs in at the first connection only, so that is not in here. */
  readonly deadlineMs: number;
  readonly log: NbdkitLog;
  /** How long an nbdkit that was told to end may take before it is killed, 30 s unless told: a killed one leaves its session at the host. */
  readonly stopGraceMs?: number;
}

/** One process for one disk. When the promise rejects, process and files are gone. */
export type StartNbdkit = (spec: NbdkitSpec, options: StartNbdkitOptions) => Promise<NbdkitProcess>;

/** Disposing ends it, in order: close its exports first. */
export interface NbdkitProcess extends AsyncDisposable {
  readonly socketPath: string;
  readonly pid: number;
  /** Never rejects. */
  readonly ended: Promise<NbdkitEnd>;
  /**
   * VDDK logs in when a client connects, and then only says "unknown error" over the wire: what was wrong stands in nbdkit's own output.
   * The same error when that says nothing about it.
   */
  explain(error: DrError): Promise<DrError>;
}

export interface NbdkitEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** Its last words, without the password. */
  readonly lastLines: readonly string[];
}
