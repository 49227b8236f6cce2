// An ErrorRecord becomes a DrError by what is the same in every language: HRESULT, then FullyQualifiedErrorId, then category. Sources: about_ErrorRecords and
// ErrorCategory (PowerShell 5.1 and 7), winerror.h, and the Hyper-V module's own error ids.
import { DrError, type ErrorCode } from '../../core/contract/index.ts';
import type { PsError, Step } from './port.ts';

/** HRESULTs as the number that .NET shows: signed, 32 bits. */
const signed = (hresult: number): number => hresult | 0;

const BY_HRESULT: ReadonlyMap<number, ErrorCode> = new Map(
  (
    [
      [0x80070002, 'NOT_FOUND'], // ERROR_FILE_NOT_FOUND
      [0x80070003, 'NOT_FOUND'], // ERROR_PATH_NOT_FOUND
      [0x80041002, 'NOT_FOUND'], // WBEM_E_NOT_FOUND
      [0x80070005, 'PERMISSION_DENIED'], // ERROR_ACCESS_DENIED
      [0x80041003, 'PERMISSION_DENIED'], // WBEM_E_ACCESS_DENIED
      [0x80070020, 'FILE_LOCKED'], // ERROR_SHARING_VIOLATION
      [0x80070021, 'FILE_LOCKED'], // ERROR_LOCK_VIOLATION
      [0x80070070, 'TARGET_FULL'], // ERROR_DISK_FULL
      [0x80070027, 'TARGET_FULL'], // ERROR_HANDLE_DISK_FULL
      [0x80070050, 'STATE_CONFLICT'], // ERROR_FILE_EXISTS
      [0x800706ba, 'HOST_BUSY'], // RPC_S_SERVER_UNAVAILABLE: the management service is starting or stopped
      [0x800706be, 'HOST_BUSY'], // RPC_S_CALL_FAILED
      [0xc03a0029, 'TRACKING_LOST'], // ERROR_VHD_INVALID_CHANGE_TRACKING_ID
      [0xc03a002a, 'TRACKING_LOST'], // ERROR_VHD_CHANGE_TRACKING_DISABLED
      [0xc03a0030, 'TRACKING_LOST'], // ERROR_VHD_MISSING_CHANGE_TRACKING_INFORMATION
    ] as const
  ).map(([hresult, code]) => [signed(hresult), code]),
);

/** The part of a FullyQualifiedErrorId before the comma. */
const BY_ID: Readonly<Record<string, ErrorCode>> = {
  ObjectNotFound: 'NOT_FOUND',
  InvalidState: 'STATE_CONFLICT',
  AccessDenied: 'PERMISSION_DENIED',
  AuthorizationException: 'PERMISSION_DENIED',
  LogonFailure: 'AUTH_REJECTED',
  // What a host says whose module is another one than ours was written for.
  CommandNotFoundException: 'PROTOCOL_ERROR',
  NamedParameterNotFound: 'PROTOCOL_ERROR',
  AmbiguousParameterSet: 'PROTOCOL_ERROR',
  ParameterArgumentTransformationError: 'PROTOCOL_ERROR',
  CannotConvertArgumentNoMessage: 'PROTOCOL_ERROR',
  'Warmsite.NothingFound': 'NOT_FOUND',
  'Warmsite.NotAllowed': 'PROTOCOL_ERROR',
  'Warmsite.NoProperty': 'PROTOCOL_ERROR',
};

const BY_CATEGORY: Readonly<Record<string, ErrorCode>> = {
  ObjectNotFound: 'NOT_FOUND',
  PermissionDenied: 'PERMISSION_DENIED',
  SecurityError: 'PERMISSION_DENIED',
  AuthenticationError: 'AUTH_REJECTED',
  // New-PSSession about a host to which no session can be opened.
  OpenError: 'CONNECTION_REFUSED',
  ResourceUnavailable: 'HOST_BUSY',
  ConnectionError: 'HOST_BUSY',
  ResourceBusy: 'TASK_IN_PROGRESS',
  OperationTimeout: 'TIMED_OUT',
  ResourceExists: 'STATE_CONFLICT',
  InvalidOperation: 'STATE_CONFLICT',
  OperationStopped: 'ABORTED',
  LimitsExceeded: 'SNAPSHOT_LIMIT_REACHED',
  NotImplemented: 'CAPABILITY_MISSING',
};

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  PROTOCOL_ERROR: 'install the management tools of this role on the host, and the dispatcher of this release (docs/plugins/hyperv.md)',
  HOST_BUSY: 'see that the service vmms runs on the host, then try again',
};

/** Get-VM and its like answer an id that they do not know with InvalidParameter (Hyper-V module, all versions). */
const isUnknownId = ({ fqid, category }: PsError, cmdlet: string | undefined): boolean =>
  fqid.startsWith('InvalidParameter,') && category === 'InvalidArgument' && cmdlet?.startsWith('Get-') === true;

export const errorCodeOf = (error: PsError, cmdlet?: string): ErrorCode => {
  const [id = ''] = error.fqid.split(',', 1);
  return (
    BY_HRESULT.get(error.innerHresult) ??
    BY_HRESULT.get(error.hresult) ??
    (isUnknownId(error, cmdlet) ? 'NOT_FOUND' : undefined) ??
    BY_ID[id] ??
    BY_CATEGORY[error.category] ??
    'INTERNAL'
  );
};

/** The message is the host's, for people to read; `context` says what it was decided by. */
export const toDrError = (error: PsError, { host, steps }: { readonly host: string; readonly steps: readonly Step[] }): DrError => {
  const cmdlet = steps[error.step]?.cmdlet;
  const code = errorCodeOf(error, cmdlet);
  const hint = HINTS[code];
  return new DrError(code, `${cmdlet ?? 'the request'} failed on ${host}: ${error.message.trim().replace(/[.。]+$/, '')}`, {
    ...(hint === undefined ? {} : { hint }),
    context: { method: cmdlet ?? 'request', name: host, vendorCode: `${error.category}: ${error.fqid}` },
    cause: error,
  });
};
