// One implementation (client.ts, over ssh2), tested against OpenSSH's own sshd; users of it are tested with a process on this machine as well.
import type { Readable, Writable } from 'node:stream';

export interface SshTarget {
  /** Name or address, with `:port` where it is not 22; IPv6 in brackets. */
  readonly address: string;
  readonly username: string;
  readonly password?: string | undefined;
  /** Private key in OpenSSH or PEM form. */
  readonly keyFile?: string | undefined;
  readonly passphrase?: string | undefined;
  /** Keys of the agent at $SSH_AUTH_SOCK (or Pageant, or the pipe of Windows). */
  readonly agent?: boolean | undefined;
  /** SHA-256 of the host key in hex, with or without colons. With it nothing else identifies the host. */
  readonly pin?: string | undefined;
  /** File in the form of OpenSSH's known_hosts, hashed names and @revoked too. Without pin and file the host is not trusted. */
  readonly knownHosts?: string | undefined;
  /** Reached first, and through it the target. Its own keys and its own identification. */
  readonly jump?: SshTarget | undefined;
}

export interface SshOptions {
  readonly signal?: AbortSignal | undefined;
  /** 30 s unless told. */
  readonly deadlineMs?: number | undefined;
}

/** One connection. AUTH_REJECTED, HOST_KEY_MISMATCH (the fingerprint seen in `context.actual`), CONNECTION_REFUSED and TIMED_OUT say why there is none. */
export interface SshClient extends AsyncDisposable {
  readonly address: string;
  /** SHA-256 of the host key that was seen, in lower-case hex. */
  readonly fingerprint: string;
  /** Aborts with CONNECTION_LOST when the connection has gone; keepalive finds a silent end within 45 s. */
  readonly lost: AbortSignal;
  /** `command` is a constant of ours, never made of data. */
  exec(command: string, options?: SshOptions): Promise<SshProcess>;
  /** Writes a file by SFTP under a temporary name and renames it; makes the folders on the way. Paths with `/`, relative to the account's home. */
  putFile(path: string, content: Uint8Array, options?: SshOptions): Promise<void>;
  /** Undefined when there is none. */
  readFile(path: string, options?: SshOptions): Promise<Uint8Array | undefined>;
}

export interface SshProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves however it ends, at the latest when the connection is lost. */
  readonly ended: Promise<{ readonly code?: number; readonly signal?: string }>;
  /** Ends the channel; a server that kills on hang-up kills the process. */
  kill(): void;
}

export type OpenSsh = (target: SshTarget, options?: SshOptions) => Promise<SshClient>;
