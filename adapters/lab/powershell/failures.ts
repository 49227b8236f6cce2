// ErrorRecords as hosts make them, and which of them an error of the lab's rules becomes. Sources: about_ErrorRecords, ErrorCategory, winerror.h,
// and the error ids of the Hyper-V module (Windows Server 2022).
import { DrError, type ErrorCode } from '../../../core/contract/index.ts';
import type { PsError } from '../../powershell/port.ts';
import type { InjectedError } from '../model.ts';

/** Win32 errors as HRESULTs. */
export const HRESULT = {
  fileNotFound: 0x80070002,
  pathNotFound: 0x80070003,
  accessDenied: 0x80070005,
  sharingViolation: 0x80070020,
  fileExists: 0x80070050,
  diskFull: 0x80070070,
  invalidName: 0x8007007b,
  invalidParameter: 0x80070057,
  rpcUnavailable: 0x800706ba,
  invalidTrackingId: 0xc03a0029,
  trackingDisabled: 0xc03a002a,
  missingTracking: 0xc03a0030,
  wbemNotFound: 0x80041002,
  nameNotResolved: 0x80072ee7,
  cannotConnect: 0x80072efd,
  secureFailure: 0x80072f8f,
  certificateNotFound: 0x80092004,
  exception: 0x80131500,
  systemException: 0x80131501,
  invalidOperation: 0x80131509,
} as const;

const TEXTS: Readonly<Record<number, string>> = {
  [HRESULT.fileNotFound]: 'The system cannot find the file specified.',
  [HRESULT.pathNotFound]: 'The system cannot find the path specified.',
  [HRESULT.accessDenied]: 'Access is denied.',
  [HRESULT.sharingViolation]: 'The process cannot access the file because it is being used by another process.',
  [HRESULT.fileExists]: 'The file exists.',
  [HRESULT.diskFull]: 'There is not enough space on the disk.',
  [HRESULT.invalidName]: 'The filename, directory name, or volume label syntax is incorrect.',
  [HRESULT.invalidParameter]: 'The parameter is incorrect.',
  [HRESULT.invalidTrackingId]: 'The change tracking identifier is not valid.',
  [HRESULT.trackingDisabled]: 'Change tracking is disabled for the virtual disk.',
  [HRESULT.missingTracking]: 'The requested change tracking information is missing.',
};

type Category =
  | 'NotSpecified'
  | 'InvalidArgument'
  | 'InvalidData'
  | 'InvalidOperation'
  | 'InvalidType'
  | 'ObjectNotFound'
  | 'PermissionDenied'
  | 'AuthenticationError'
  | 'ResourceUnavailable'
  | 'ResourceBusy'
  | 'ResourceExists'
  | 'OperationTimeout'
  | 'OperationStopped'
  | 'LimitsExceeded'
  | 'NotImplemented';

interface Failing {
  readonly category: Category;
  /** The part of the FullyQualifiedErrorId before the comma. */
  readonly id: string;
  readonly message: string;
  readonly type?: string;
  readonly hresult?: number;
  readonly innerHresult?: number;
  readonly target?: string;
  /** What ends the FullyQualifiedErrorId, where it is not the cmdlet; nothing, if empty. */
  readonly source?: string;
}

const VIRTUALIZATION = 'Microsoft.HyperV.PowerShell.VirtualizationException';

/** Thrown by a cmdlet: becomes an ErrorRecord. */
export class PsFailure extends Error {
  readonly failing: Failing;

  constructor(failing: Failing) {
    super(failing.message);
    this.name = 'PsFailure';
    this.failing = failing;
  }

  /** `source`: the name of the class that implements the cmdlet, which ends the FullyQualifiedErrorId. */
  asError(step: number, source: string): PsError {
    const { category, id, message, type = VIRTUALIZATION, hresult = HRESULT.exception, innerHresult = hresult, target = '' } = this.failing;
    const from = this.failing.source ?? source;
    const fqid = from === '' ? id : `${id},${from}`;
    return { step, category, fqid, message, type, hresult: hresult | 0, innerHresult: innerHresult | 0, target };
  }
}

/** The dispatcher itself will not: an InvalidOperationException of its own. */
export const refusal = (id: `Warmsite.${string}`, message: string): PsFailure =>
  new PsFailure({
    ...{ category: 'PermissionDenied', id, message, source: '' },
    ...{ type: 'System.InvalidOperationException', hresult: HRESULT.invalidOperation },
  });

/** What the file system or the management service says by a number. */
export const win32 = (hresult: number, what: string): PsFailure =>
  new PsFailure({
    category: hresult === HRESULT.accessDenied ? 'PermissionDenied' : 'InvalidOperation',
    id: hresult === HRESULT.accessDenied ? 'AccessDenied' : 'OperationFailed',
    message: `${what}. ${TEXTS[hresult] ?? ''} (0x${(hresult >>> 0).toString(16).toUpperCase()})`,
    innerHresult: hresult,
  });

/** Get-VM and its like about an id that the host does not know. */
export const unknownId = (what: string, id: string): PsFailure =>
  new PsFailure({
    category: 'InvalidArgument',
    id: 'InvalidParameter',
    message: `Hyper-V was unable to find a ${what} with id "${id}".`,
    target: id,
  });

/** The object of an earlier step is not there any more. */
export const gone = (what: string): PsFailure =>
  new PsFailure({
    category: 'ObjectNotFound',
    id: 'ObjectNotFound',
    message: `Hyper-V encountered an error: the ${what} does not exist any more.`,
  });

export const invalidState = (message: string): PsFailure => new PsFailure({ category: 'InvalidOperation', id: 'InvalidState', message });

export const invalidArgument = (message: string): PsFailure =>
  new PsFailure({ category: 'InvalidArgument', id: 'InvalidParameter', message });

const BY_CODE: Readonly<Partial<Record<ErrorCode, Omit<Failing, 'message'>>>> = {
  NOT_FOUND: { category: 'ObjectNotFound', id: 'ObjectNotFound' },
  PERMISSION_DENIED: { category: 'PermissionDenied', id: 'AccessDenied', innerHresult: HRESULT.accessDenied },
  AUTH_REJECTED: { category: 'AuthenticationError', id: 'LogonFailure' },
  FILE_LOCKED: { category: 'InvalidOperation', id: 'OperationFailed', innerHresult: HRESULT.sharingViolation },
  TARGET_FULL: { category: 'InvalidOperation', id: 'OperationFailed', innerHresult: HRESULT.diskFull },
  STATE_CONFLICT: { category: 'InvalidOperation', id: 'InvalidState' },
  HOST_BUSY: { category: 'ResourceUnavailable', id: 'OperationFailed', innerHresult: HRESULT.rpcUnavailable },
  TASK_IN_PROGRESS: { category: 'ResourceBusy', id: 'OperationFailed' },
  TIMED_OUT: { category: 'OperationTimeout', id: 'OperationFailed' },
  TRACKING_LOST: { category: 'NotSpecified', id: 'OperationFailed', innerHresult: HRESULT.missingTracking },
  SNAPSHOT_LIMIT_REACHED: { category: 'LimitsExceeded', id: 'OperationFailed' },
  CAPABILITY_MISSING: { category: 'NotImplemented', id: 'NotSupported' },
  PROTOCOL_ERROR: { category: 'InvalidArgument', id: 'NamedParameterNotFound' },
  ABORTED: { category: 'OperationStopped', id: 'OperationStopped' },
  INTERNAL: { category: 'NotSpecified', id: 'Unspecified' },
};

/** Codes for which a host has an answer of its own. */
export const CODES = Object.keys(BY_CODE) as readonly ErrorCode[];

/** The record that adapters/powershell/errors.ts takes for this code again; an unspecified one where no host would say so. */
export const failureOf = (code: ErrorCode, message: string): PsFailure =>
  new PsFailure({ ...(BY_CODE[code] ?? BY_CODE.INTERNAL!), message });

const ENDS_SESSION: readonly ErrorCode[] = ['CONNECTION_LOST', 'CONNECTION_REFUSED'];

/** Undefined for what is no answer of a host: the session ends, or the caller is told so. */
export const asPsFailure = (error: unknown): PsFailure | undefined => {
  if (error instanceof PsFailure) return error;
  if (!(error instanceof DrError)) return undefined;
  return ENDS_SESSION.includes(error.code) ? undefined : failureOf(error.code, error.message);
};

/** What a rule asks a step, or the job that it starts, to end with. */
export const injectedError = (act: InjectedError): Error => {
  const message = act.message ?? 'the cmdlet fails because a fault was asked for';
  if (!('error' in act)) return new PsFailure({ category: 'NotSpecified', id: 'Unspecified', message });
  return ENDS_SESSION.includes(act.error) ? new DrError(act.error, message) : failureOf(act.error, message);
};

const JOB_CODES: Readonly<Record<number, number>> = {
  [HRESULT.accessDenied]: 32_769,
  [HRESULT.sharingViolation]: 32_774,
  [HRESULT.diskFull]: 32_768,
  [HRESULT.fileNotFound]: 32_779,
  [HRESULT.pathNotFound]: 32_779,
  [HRESULT.rpcUnavailable]: 32_777,
};

const JOB_CODES_BY_CATEGORY: Readonly<Partial<Record<Category, number>>> = {
  PermissionDenied: 32_769,
  NotImplemented: 32_770,
  OperationTimeout: 32_772,
  InvalidArgument: 32_773,
  ResourceBusy: 32_774,
  InvalidOperation: 32_775,
  ObjectNotFound: 32_779,
};

/** ErrorCode of a job that ends with the failure (return values of Msvm_VirtualSystemManagementService): 32768 is "failed". */
export const jobCodeOf = ({ failing: { category, innerHresult = 0 } }: PsFailure): number =>
  JOB_CODES[innerHresult] ?? JOB_CODES_BY_CATEGORY[category] ?? 32_768;
