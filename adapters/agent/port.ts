// Two implementations: a client of a real agent (client.ts: over an SSH channel or TLS), and the same client over the lab's devices. The agent itself is server.ts.
import type { BlockDevice } from '../block/port.ts';

export interface AgentOptions {
  readonly signal?: AbortSignal | undefined;
  /** 60 s unless told. */
  readonly deadlineMs?: number | undefined;
}

export interface AgentInfo {
  /** Of the agent's program. */
  readonly version: string;
  /** Of the wire; both sides speak the lower one of what they know, at least 1. */
  readonly protocol: number;
  readonly platform: 'linux' | 'windows';
  readonly hostname: string;
}

export interface AgentDigest {
  readonly offset: number;
  readonly sha256: Uint8Array;
}

/**
 * Block ranges of a device, with what only the side of the device can do cheaply. A write whose answer was lost may have taken effect, in whole or in part;
 * whoever opens the device again finds it at rest.
 */
export interface AgentDevice extends BlockDevice {
  /**
   * SHA-256 of each block from a byte offset on, computed there; the last block may be short. Blocks are of whole sectors and at most 16 MiB, the deadline
   * is for each of the requests that it takes, and the agent reads at most 48 MiB ahead of whoever consumes it.
   */
  digests(blockBytes: number, from: number, options?: AgentOptions): AsyncIterable<AgentDigest>;
}

/**
 * What an agent on a host does for us: reads and writes ranges of its block devices. It decides nothing. On Windows a virtual disk is attached by
 * PowerShell first (Mount-VHD), and is then `\\.\PhysicalDriveN`; on Linux a device is a path in /dev. Once the wire is gone every call rejects with CONNECTION_LOST.
 */
export interface Agent extends AsyncDisposable {
  readonly info: AgentInfo;
  readonly lost: AbortSignal;
  /** FILE_LOCKED while another session of any client has it open for writing; NOT_FOUND; PERMISSION_DENIED. A session that ends closes what it had open. */
  openDevice(path: string, options: AgentOptions & { readonly forWriting: boolean }): Promise<AgentDevice>;
}

export type AgentTarget =
  /** The agent's program is started by the host's sshd and speaks over the channel. */
  | {
      readonly kind: 'channel';
      readonly stdin: NodeJS.WritableStream;
      readonly stdout: NodeJS.ReadableStream;
      readonly ended: Promise<unknown>;
    }
  /** A service that listens; both sides show certificates. */
  | {
      readonly kind: 'tls';
      readonly address: string;
      readonly certificateFile: string;
      readonly keyFile: string;
      /** PEM file of the authority that signed the agent's certificate. */
      readonly caFile: string;
    };

export type OpenAgent = (target: AgentTarget, options?: AgentOptions) => Promise<Agent>;
