// What a fault of the server means to the engine. A fault without a row of its own is taken as what it is a kind of.
import { DrError, type ErrorCode, type ErrorContext } from '../../core/contract/index.ts';
import type { VimFault } from './vim25/decode.ts';
import { faultLine } from './vim25/schema.ts';

interface Row {
  readonly code: ErrorCode;
  /** In place of the table's hint. */
  readonly hint?: string;
}

const row = (code: ErrorCode, hint?: string): Row => (hint === undefined ? { code } : { code, hint });

export const FAULTS: Readonly<Record<string, Row>> = {
  InvalidLogin: row('AUTH_REJECTED', 'check user name and password of the endpoint; an account of a domain is written user@domain'),
  NoPermission: row('PERMISSION_DENIED'),
  RestrictedVersion: row('PERMISSION_DENIED', 'use a licence that includes the vSphere API'),
  NotAuthenticated: row('AUTH_REJECTED', 'check whether somebody ends the sessions of this account'),
  PasswordExpired: row('AUTH_REJECTED', 'set a new password for the account'),
  ManagedObjectNotFound: row('NOT_FOUND'),
  NotFound: row('NOT_FOUND'),
  FileNotFound: row('NOT_FOUND', 'look whether somebody has removed or moved the file'),
  NoDiskSpace: row('TARGET_FULL'),
  FileLocked: row('FILE_LOCKED'),
  CannotAccessFile: row('FILE_LOCKED', 'look whether the datastore is there and which host holds the file'),
  FileAlreadyExists: row('STATE_CONFLICT'),
  AlreadyExists: row('STATE_CONFLICT'),
  DuplicateName: row('STATE_CONFLICT', 'rename the machine that has the name, or remove it'),
  ConcurrentAccess: row('STATE_CONFLICT', 'try again: somebody else has changed the machine at the same time'),
  InvalidState: row('STATE_CONFLICT'),
  InvalidPowerState: row('STATE_CONFLICT'),
  TaskInProgress: row('TASK_IN_PROGRESS'),
  ResourceInUse: row('STATE_CONFLICT'),
  Timedout: row('TIMED_OUT'),
  ToolsUnavailable: row('SHUTDOWN_REFUSED', 'start or install VMware Tools in the guest, or shut the guest down by hand'),
  TooManySnapshotLevels: row('SNAPSHOT_LIMIT_REACHED'),
  ApplicationQuiesceFault: row('QUIESCE_FAILED'),
  FilesystemQuiesceFault: row('QUIESCE_FAILED'),
  SnapshotFault: row('STATE_CONFLICT'),
  FileFault: row('STATE_CONFLICT', 'look at the datastore and at the tasks of the machine'),
  InsufficientResourcesFault: row('HOST_BUSY', 'free CPU or memory on the host, or map the machine to another one'),
  NotEnoughLicenses: row('HOST_BUSY', 'add a licence to the host'),
  HostNotConnected: row('HOST_BUSY', 'connect the host to its vCenter again'),
  HostNotReachable: row('HOST_BUSY', 'check the network between vCenter and the host'),
  RequestCanceled: row('STATE_CONFLICT', 'look who has cancelled the task, then try again'),
  NotSupported: row('CAPABILITY_MISSING'),
  MethodNotFound: row('CAPABILITY_MISSING', 'check the version of the server against docs/plugins/vmware.md'),
  InvalidCollectorVersion: row('STATE_CONFLICT'),
  InvalidName: row('CONFIG_INVALID', 'choose another name'),
  VmConfigFault: row('STATE_CONFLICT', 'look at the configuration of the machine'),
  CustomizationFault: row('STATE_CONFLICT', 'check that the guest can be customised: VMware Tools run, its kind is supported'),
  InvalidArgument: row('PROTOCOL_ERROR'),
  InvalidRequest: row('PROTOCOL_ERROR'),
  InvalidProperty: row('PROTOCOL_ERROR'),
  HostConfigFault: row('STATE_CONFLICT', 'look at the network and storage of the host'),
  SystemError: row('HOST_BUSY', 'look at the log of the server'),
  HostCommunication: row('HOST_BUSY', 'check the network between vCenter and the host'),
};

const OTHER = row('INTERNAL', 'look at the tasks and events of the machine in the vSphere client');

interface Sentence {
  readonly said: string;
  readonly context: ErrorContext;
}

const reference = (value: unknown): string | undefined => {
  const { type, value: id } = (value ?? {}) as { readonly type?: string; readonly value?: string };
  return type === undefined ? undefined : `${type} ${id}`;
};

/** What the fault itself names, for the faults whose names say too little. */
const sentenceOf = ({ $type, detail, faultstring }: VimFault): Sentence => {
  if ($type === 'NoPermission') {
    const privilege = privilegeOf(detail);
    return {
      said: `the account lacks the privilege ${privilege}${reference(detail['object']) ? ` on ${reference(detail['object'])}` : ''}`,
      context: { name: privilege },
    };
  }
  if ($type === 'ManagedObjectNotFound')
    return { said: `there is no ${reference(detail['obj']) ?? 'such object'} (any more)`, context: {} };
  if ($type === 'InvalidLogin') return { said: 'the server rejects the user name or password', context: {} };
  if ($type === 'InvalidPowerState')
    return { said: `the machine is ${String(detail['existingState'] ?? 'in another power state')}`, context: {} };
  const named = detail['file'] ?? detail['name'] ?? detail['invalidProperty'];
  const text = [$type, faultstring].filter((part) => part !== '').join(': ');
  if (typeof named === 'string' && named !== '') return { said: `${text} (${named})`, context: { name: named } };
  return { said: text, context: {} };
};

const privilegeOf = (detail: Readonly<Record<string, unknown>>): string => {
  const missing = detail['missingPrivileges'] as readonly { readonly privilegeIds?: readonly string[] | string }[] | object | undefined;
  const ids = (Array.isArray(missing) ? missing : missing ? [missing] : []).flatMap(({ privilegeIds = [] }) => privilegeIds);
  return String(detail['privilegeId'] ?? (ids.length > 0 ? ids.join(', ') : '(not named)'));
};

/** `doing`: what failed, on what. */
export const toError = (fault: VimFault, doing: string, context: ErrorContext = {}): DrError => {
  const { code, hint } =
    faultLine(fault.$type)
      .map((one) => FAULTS[one])
      .find((one) => one !== undefined) ?? OTHER;
  const { said, context: named } = sentenceOf(fault);
  const full =
    fault.$type === 'NoPermission'
      ? `grant ${named['name']} to the account of the endpoint; docs/plugins/vmware.md lists what it needs`
      : hint;
  return new DrError(code, `${doing}: ${said}`, {
    ...(full === undefined ? {} : { hint: full }),
    context: { ...context, ...named, vendorCode: fault.$type },
    cause: fault,
  });
};

/** The fault in a task's error, or in any LocalizedMethodFault. */
export const localizedFault = (value: unknown): VimFault => {
  const { fault, localizedMessage } = (value ?? {}) as { readonly fault?: { readonly $type?: string }; readonly localizedMessage?: string };
  return {
    $type: fault?.$type ?? 'MethodFault',
    faultstring: localizedMessage ?? '',
    detail: (fault ?? {}) as Readonly<Record<string, unknown>>,
  };
};

/** True when the error came as this fault, or as a kind of it. */
export const isFault = (error: unknown, ...types: readonly string[]): boolean => {
  const code = error instanceof DrError ? error.context.vendorCode : undefined;
  return typeof code === 'string' && faultLine(code).some((one) => types.includes(one));
};
