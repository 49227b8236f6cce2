// Faults as a vCenter words and encodes them, and which of them an error of the lab's rules becomes.
import { DrError, type ErrorCode } from '../../../core/contract/index.ts';
import type { MoRef } from '../../vsphere/port.ts';
import { ENVELOPE_CLOSE, ENVELOPE_OPEN, encodeElement } from '../../vsphere/vim25/encode.ts';
import { type Declared, enumValues, faultLine, isType, methodPrivilege, typeFields } from '../../vsphere/vim25/schema.ts';
import type { InjectedError } from '../model.ts';
import { VimFaultError } from './model.ts';

const TEXTS: Readonly<Record<string, string>> = {
  ApplicationQuiesceFault: 'An error occurred while quiescing the virtual machine. See the virtual machine event log for details.',
  ConcurrentAccess: 'Another task has modified the configuration of the virtual machine.',
  FileLocked: 'Unable to access file since it is locked',
  HostNotConnected: 'Unable to communicate with the remote host, since it is disconnected.',
  InvalidLogin: 'Cannot complete login due to an incorrect user name or password.',
  InvalidName: 'The name is not valid.',
  InvalidPowerState: 'The attempted operation cannot be performed in the current state.',
  InvalidState: 'The operation is not allowed in the current state.',
  NoDiskSpace: 'Insufficient disk space on the datastore.',
  NoPermission: 'Permission to perform this operation was denied.',
  NotAuthenticated: 'The session is not authenticated.',
  NotSupported: 'The operation is not supported on the object.',
  RequestCanceled: 'The task was canceled by a user.',
  ResourceInUse: 'The resource is in use.',
  TaskInProgress: 'Another task is already in progress.',
  Timedout: 'Operation timed out.',
  TooManySnapshotLevels: 'Snapshot hierarchy is too deep.',
  ToolsUnavailable: 'Cannot complete operation because VMware Tools is not running in this virtual machine.',
};

const textOf = (type: string, detail: Readonly<Record<string, unknown>>): string | undefined => {
  if (type === 'InvalidArgument') return `A specified parameter was not correct: ${String(detail['invalidProperty'] ?? '')}`;
  if (type === 'DuplicateName') return `The name '${String(detail['name'])}' already exists.`;
  if (type === 'FileNotFound') return `File ${String(detail['file'])} was not found`;
  // A server leaves the text of this one empty.
  if (type === 'InvalidProperty') return '';
  return TEXTS[type];
};

/** `detail` with what the schema demands and nobody has given, so that the answer is always a whole one. */
const complete = (type: string, detail: Readonly<Record<string, unknown>>, on: MoRef): object => {
  const known = faultLine(type).find(isType) ?? 'MethodFault';
  const value: Record<string, unknown> = { ...detail, $type: type };
  for (const [name, declared] of typeFields(known)!) {
    if (value[name] === undefined && !declared.optional && !declared.list) value[name] = blankOf(declared, on);
  }
  return value;
};

const blankOf = ({ type }: Declared, on: MoRef): unknown => {
  if (type === 'ManagedObjectReference') return on;
  const [first] = enumValues(type) ?? [];
  if (first !== undefined) return first;
  if (type === 'boolean') return false;
  return ['int', 'short', 'byte', 'long'].includes(type) ? 0 : '';
};

export const asVimFault = (error: unknown): VimFaultError => {
  if (error instanceof VimFaultError) return error;
  if (error instanceof DrError) return faultOf({ error: error.code, message: error.message }, 'the call', undefined);
  const reason = error instanceof Error ? error.message : String(error);
  return new VimFaultError('SystemError', `A general system error occurred: ${reason}`, { reason });
};

/** The whole answer, which goes with HTTP 500. */
export const faultEnvelope = (error: VimFaultError, on: MoRef): string => {
  const name = `${error.type}Fault`;
  const fault = encodeElement(name, 'anyType ', complete(error.type, error.detail, on)).replace(`<${name}`, `<${name} xmlns="urn:vim25"`);
  const text = encodeElement('faultstring', 'string', error.message);
  return `${ENVELOPE_OPEN}<soapenv:Fault><faultcode>ServerFaultCode</faultcode>${text}<detail>${fault}</detail></soapenv:Fault>${ENVELOPE_CLOSE}`;
};

/** As it stands in a task's error or in a missing property. */
export const localized = (error: VimFaultError, on: MoRef): { readonly fault: object; readonly localizedMessage: string } => ({
  fault: complete(error.type, error.detail, on),
  localizedMessage: error.message,
});

const FAULT_OF_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  AUTH_REJECTED: 'NotAuthenticated',
  PERMISSION_DENIED: 'NoPermission',
  NOT_FOUND: 'ManagedObjectNotFound',
  SNAPSHOT_GONE: 'ManagedObjectNotFound',
  TARGET_FULL: 'NoDiskSpace',
  FILE_LOCKED: 'FileLocked',
  STATE_CONFLICT: 'InvalidState',
  OPERATION_NOT_ALLOWED: 'InvalidState',
  CONSOLIDATION_NEEDED: 'InvalidState',
  FENCED: 'InvalidState',
  TASK_IN_PROGRESS: 'TaskInProgress',
  TIMED_OUT: 'Timedout',
  SHUTDOWN_REFUSED: 'ToolsUnavailable',
  SNAPSHOT_LIMIT_REACHED: 'TooManySnapshotLevels',
  QUIESCE_FAILED: 'ApplicationQuiesceFault',
  CONSISTENCY_UNAVAILABLE: 'ApplicationQuiesceFault',
  TRACKING_LOST: 'FileFault',
  DISK_CHANGED: 'FileFault',
  CAPABILITY_MISSING: 'NotSupported',
  CONFIG_INVALID: 'InvalidName',
  PROTOCOL_ERROR: 'InvalidRequest',
  USAGE: 'InvalidArgument',
  HOST_BUSY: 'HostNotConnected',
  ABORTED: 'RequestCanceled',
};

/** The fault that adapters/vsphere/faults.ts takes for this code again; SystemError where there is none. */
export const faultOf = (act: InjectedError, method: string, on: MoRef | undefined): VimFaultError => {
  const asked = 'vimFault' in act ? act.vimFault : FAULT_OF_CODE[act.error];
  const type = asked === 'NotAuthenticated' && method === 'Login' ? 'InvalidLogin' : (asked ?? 'SystemError');
  const reason = act.message ?? `${method} fails because a fault was asked for`;
  const detail = { ...detailOf(type, method, on, reason), ...('vimFault' in act ? act.detail : {}) };
  const text = act.message ?? textOf(type, detail) ?? (type === 'SystemError' ? `A general system error occurred: ${reason}` : reason);
  return new VimFaultError(type, text, detail);
};

const detailOf = (type: string, method: string, on: MoRef | undefined, reason: string): Readonly<Record<string, unknown>> => {
  if (type === 'NoPermission' || type === 'NotAuthenticated')
    return { ...(on ? { object: on } : {}), privilegeId: methodPrivilege(method) ?? 'System.View' };
  if (type === 'ManagedObjectNotFound' && on) return { obj: on };
  return type === 'SystemError' ? { reason } : {};
};

/** A fault with the text that a vCenter gives it. */
export const vimFault = (type: string, detail: Readonly<Record<string, unknown>> = {}): VimFaultError =>
  new VimFaultError(type, textOf(type, detail) ?? type, detail);
