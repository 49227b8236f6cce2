// Two implementations: real sessions (open.ts: a process here, SSH, or WinRM from a Windows host), and the lab's hosts in the same process (adapters/lab/powershell).
import type { Log } from '../../core/contract/index.ts';
import type { Cmdlet } from './allowed.ts';

/**
 * Objects that an earlier step of the same request gave, whole or one property of each; one object is passed as itself, several as a list.
 * A step with a parameter that is such a reference to nothing is not run, and finds nothing either; within a list or a Hashtable it is NOT_FOUND.
 */
export interface StepRef {
  readonly $step: number;
  /** Only those with this value of this property; text in any case is equal. */
  readonly $where?: { readonly property: string; readonly is: string };
  readonly $property?: string;
}

/** A value of a .NET type that JSON has not: what a CIM method's parameter is declared as, a date, a span of time. */
export interface Typed {
  readonly $type: 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'int64' | 'date' | 'milliseconds' | 'guid';
  readonly value: string | number;
}

/** A plain object is a Hashtable. */
export type Argument = null | string | number | boolean | StepRef | Typed | readonly Argument[] | { readonly [name: string]: Argument };

export interface Step {
  readonly cmdlet: Cmdlet;
  readonly params: Readonly<Record<string, Argument>>;
  /** The properties to bring back, `A.B` for one of a property's, or of each in a list; with a `?` at the end where older versions lack it. Nothing comes back unless asked for. */
  readonly select?: readonly string[];
  /** Errors about single objects do not end the request: they come back beside what was found. */
  readonly collect?: true;
}

/** What an enumeration's member is called, and its number: names are the same everywhere, numbers are not. */
export interface PsEnum {
  readonly name: string;
  readonly value: number;
}

/** Whole numbers beyond 2^53 are bigint; dates are ISO-8601 UTC; spans of time are milliseconds. */
export type PsValue = null | string | number | bigint | boolean | PsEnum | readonly PsValue[] | { readonly [name: string]: PsValue };
export type PsRow = Readonly<Record<string, PsValue>>;

export interface StepResult {
  readonly rows: readonly PsRow[];
  readonly count: number;
  readonly warnings: readonly string[];
  /** Of a step with `collect`. */
  readonly errors: readonly PsError[];
}

/** An ErrorRecord as data. What it says is in the host's language: nobody decides by `message`. */
export interface PsError {
  /** The step that failed; -1: the request itself. */
  readonly step: number;
  /** Name of the ErrorCategory. */
  readonly category: string;
  /** FullyQualifiedErrorId. */
  readonly fqid: string;
  readonly message: string;
  /** Full name of the exception's type. */
  readonly type: string;
  readonly hresult: number;
  /** Of the innermost exception. */
  readonly innerHresult: number;
  readonly target: string;
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** The whole request; 60 s unless told. TIMED_OUT kills the session, not what the host had begun: look at the state before trying again. */
  readonly deadlineMs?: number | undefined;
}

/** A few sessions at one host, started as they are needed. */
export interface PowerShell extends AsyncDisposable {
  readonly host: string;
  /**
   * Runs the steps in their order in one session. The first that fails rejects as a DrError by the table of errors.ts, with the PsError as its cause.
   * CONNECTION_LOST once the request was sent means: it may have taken effect, or not, or in part.
   */
  run(steps: readonly Step[], options?: RunOptions): Promise<readonly StepResult[]>;
}

export interface PowerShellTarget {
  /** Name or address of the host that runs the cmdlets. */
  readonly host: string;
  readonly transport: Transport;
}

export type Transport =
  /** A process on this machine, for this machine (`localhost`), or for a host of the lab, whose stand-in goes on to it. */
  | {
      readonly kind: 'local';
      readonly executable?: string | undefined;
      readonly username?: string | undefined;
      readonly password?: string | undefined;
    }
  /** OpenSSH on the Windows host. */
  | {
      readonly kind: 'ssh';
      readonly username: string;
      readonly password?: string | undefined;
      readonly keyFile?: string | undefined;
      readonly passphrase?: string | undefined;
      readonly agent?: boolean | undefined;
      /** SHA-256 of the host key in hex; of the endpoint's own address only. */
      readonly pin?: string | undefined;
      readonly knownHosts?: string | undefined;
      /** `user@host:port`, reached with the same keys. */
      readonly jump?: string | undefined;
      readonly executable?: string | undefined;
    }
  /** A process on this Windows machine that opens a session to the host by WinRM over HTTPS: Kerberos as the user who runs it, a certificate, or an account. */
  | {
      readonly kind: 'winrm';
      readonly executable?: string | undefined;
      readonly username?: string | undefined;
      readonly password?: string | undefined;
      readonly certificateThumbprint?: string | undefined;
      /** JEA endpoint. */
      readonly configurationName?: string | undefined;
    };

export interface OpenOptions extends RunOptions {
  /** Takes what a host says beside its replies. */
  readonly log?: Log | undefined;
}

/** Rejects with an Access or Reach error while no session can be had; the first one is there when it resolves. */
export type OpenPowerShell = (target: PowerShellTarget, options?: OpenOptions) => Promise<PowerShell>;
