// One error class, one table. docs/reference/errors.md is generated from this table.

/**
 * What the engine does next.
 * `never`: a defect or a refusal; stop. `operator`: stop and show the hint. `backoff`: try again later. `reconnect`: open a new session, then try again.
 * `resync`: replication goes on with a comparison. `policy`: the replication policy decides. `restart-cycle`: abandon this cycle and begin a new one.
 */
export type RetryClass = 'never' | 'operator' | 'backoff' | 'reconnect' | 'resync' | 'policy' | 'restart-cycle';

/** Exit codes of the command line. An unknown code must be treated as a failure. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  partial: 3,
  notFound: 4,
  stateForbids: 5,
  notAllowed: 6,
  unreachable: 7,
  checkFailed: 8,
  waitingForApproval: 9,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface ErrorRow {
  readonly retry: RetryClass;
  readonly exit: ExitCode;
  /** Default next step, one imperative sentence; whoever throws may give a better one. */
  readonly hint: string;
}

const row = (retry: RetryClass, exit: ExitCode, hint: string): ErrorRow => ({ retry, exit, hint });

export const ERRORS = {
  // Configuration
  CONFIG_INVALID: row('operator', EXIT.usage, 'correct the named key in the file and run the command again'),
  USAGE: row('operator', EXIT.usage, 'run the command with --help to see what it takes'),
  SECRET_MISSING: row('operator', EXIT.usage, 'provide the secret under the name that the reference gives'),
  PLAN_INVALID: row('operator', EXIT.usage, 'correct the plan and run plan validate'),
  MAPPING_MISSING: row('operator', EXIT.usage, 'add the mapping with map network set or map storage set'),
  // Contract
  CONTRACT_VERSION_UNSUPPORTED: row('never', EXIT.failed, 'install a release of the plugin for this contract version'),
  CONTRACT_VIOLATED: row('never', EXIT.failed, 'report this to the author of the plugin with the log of the job'),
  CAPABILITY_MISSING: row('never', EXIT.stateForbids, 'choose an operation that this endpoint supports'),
  PROTOCOL_ERROR: row('reconnect', EXIT.failed, 'check that the endpoint runs a supported version'),
  ENGINE_NEWER: row('operator', EXIT.usage, 'use the release of warmsite that last wrote this home, or a newer one'),
  // Access
  AUTH_REJECTED: row('operator', EXIT.notAllowed, 'check the credential that the endpoint refers to'),
  PERMISSION_DENIED: row('operator', EXIT.notAllowed, 'grant the missing right to the account of the endpoint'),
  CERTIFICATE_UNTRUSTED: row('operator', EXIT.notAllowed, 'compare the fingerprint and accept it with endpoint trust'),
  HOST_KEY_MISMATCH: row('operator', EXIT.notAllowed, 'compare the host key and accept it with endpoint trust'),
  // Reach
  CONNECTION_REFUSED: row('reconnect', EXIT.unreachable, 'check that the endpoint is up and reachable from here'),
  CONNECTION_LOST: row('reconnect', EXIT.unreachable, 'check the network to the endpoint'),
  HOST_BUSY: row('backoff', EXIT.unreachable, 'wait, or lower the load of the endpoint'),
  TASK_IN_PROGRESS: row('backoff', EXIT.unreachable, 'wait until the other task of this machine has ended'),
  FILE_LOCKED: row('backoff', EXIT.unreachable, 'find the process or host that holds the file and release it'),
  STORE_BUSY: row('backoff', EXIT.unreachable, 'try again in a moment'),
  TIMED_OUT: row('backoff', EXIT.unreachable, 'check whether the endpoint is overloaded, then try again'),
  // State
  NOT_FOUND: row('operator', EXIT.notFound, 'list what there is and check the name'),
  STATE_CONFLICT: row('operator', EXIT.stateForbids, 'look at the current state and decide again'),
  OPERATION_NOT_ALLOWED: row('operator', EXIT.stateForbids, 'run status to see which operations are allowed now'),
  ALREADY_PROTECTED: row('operator', EXIT.stateForbids, 'unprotect the machine first, or choose another one'),
  FENCED: row('operator', EXIT.stateForbids, 'another holder has a newer epoch: find out who runs this machine before anything else'),
  LOCKED_BY: row('operator', EXIT.stateForbids, 'wait for the holder to end, or ask it to do the work'),
  SHUTDOWN_REFUSED: row('operator', EXIT.stateForbids, 'shut the guest down by hand, then retry'),
  MACHINE_MOVED: row('reconnect', EXIT.failed, 'try again: the machine is looked up at its new host'),
  SNAPSHOT_GONE: row('restart-cycle', EXIT.failed, 'nothing to do: the next cycle takes a new snapshot'),
  CONFIRMATION_NEEDED: row('operator', EXIT.usage, 'repeat the command with --confirm and the name it asks for'),
  CHECK_FAILED: row('operator', EXIT.checkFailed, 'look at the findings and correct the first one'),
  // Data
  TRACKING_LOST: row('resync', EXIT.failed, 'nothing to do: the next cycle compares and sends the differences'),
  DISK_CHANGED: row('resync', EXIT.failed, 'nothing to do: the next cycle compares and sends the differences'),
  DIGEST_MISMATCH: row('resync', EXIT.checkFailed, 'run sync resync for the machine'),
  CONSISTENCY_UNAVAILABLE: row('policy', EXIT.failed, 'allow crash consistency in the policy, or repair the quiescing in the guest'),
  QUIESCE_FAILED: row('policy', EXIT.failed, 'repair the quiescing in the guest, or allow crash consistency in the policy'),
  JOURNAL_CORRUPT: row('operator', EXIT.checkFailed, 'run point verify, then choose an undamaged point or run sync resync'),
  BOOT_FAILED: row('operator', EXIT.checkFailed, 'look at the console of the machine, or choose another recovery point'),
  // Capacity
  TARGET_FULL: row('operator', EXIT.failed, 'free space on the target storage or map the disk to another one'),
  JOURNAL_FULL: row('operator', EXIT.failed, 'free space for the journal or shorten the retention in the policy'),
  SOURCE_FULL: row('operator', EXIT.failed, 'free space at the source; the next cycle goes on from the same baseline'),
  SNAPSHOT_LIMIT_REACHED: row('operator', EXIT.failed, 'remove snapshots of the machine that nobody needs'),
  CONSOLIDATION_NEEDED: row('operator', EXIT.failed, 'consolidate the disks of the machine, then retry'),
  // Other
  ABORTED: row('never', EXIT.interrupted, 'run job list to see how to go on'),
  INTERNAL: row('never', EXIT.failed, 'run the command again with --debug and report the output'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** The only keys that an error's context may carry: none of them can hold a secret. */
export const CONTEXT_KEYS = [
  'endpoint',
  'plugin',
  'method',
  'machine',
  'disk',
  'snapshot',
  'fork',
  'place',
  'site',
  'item',
  'group',
  'point',
  'plan',
  'policy',
  'job',
  'step',
  'cycle',
  'kind',
  'name',
  'path',
  'line',
  'column',
  'key',
  'code',
  'state',
  'operation',
  'offset',
  'length',
  'sizeBytes',
  'needBytes',
  'freeBytes',
  'epoch',
  'holder',
  'expected',
  'actual',
  'version',
  'retryAfterMs',
  'deadlineMs',
  'operationId',
  'pid',
  'vendorCode',
] as const;
export type ContextKey = (typeof CONTEXT_KEYS)[number];
export type ErrorContext = Partial<Record<ContextKey, string | number | boolean>>;

export interface DrErrorOptions {
  readonly hint?: string;
  readonly context?: ErrorContext;
  readonly cause?: unknown;
}

/** `message`: lower case, no full stop, what failed and on what. `hint`: the operator's next step. */
export class DrError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, message: string, options: DrErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DrError';
    this.code = code;
    this.hint = options.hint ?? ERRORS[code].hint;
    this.context = options.context ?? {};
  }

  get retry(): RetryClass {
    return ERRORS[this.code].retry;
  }

  get exitCode(): ExitCode {
    return ERRORS[this.code].exit;
  }
}

export const isDrError = (error: unknown, ...codes: readonly ErrorCode[]): error is DrError =>
  error instanceof DrError && (codes.length === 0 || codes.includes(error.code));

/** The error as it crosses a process border or goes into a job's record. A cause is kept as text only. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly context: ErrorContext;
}

export const toErrorRecord = (error: unknown): ErrorRecord => {
  const known = asDrError(error);
  return { code: known.code, message: known.message, hint: known.hint, context: known.context };
};

export const fromErrorRecord = (record: ErrorRecord): DrError =>
  new DrError(record.code in ERRORS ? record.code : 'INTERNAL', record.message, { hint: record.hint, context: record.context });

/** An unknown error becomes INTERNAL with the original as its cause. */
export const asDrError = (error: unknown): DrError => {
  if (error instanceof DrError) return error;
  if (error instanceof Error) return new DrError('INTERNAL', error.message || error.name, { cause: error });
  return new DrError('INTERNAL', String(error));
};
