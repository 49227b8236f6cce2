import type { SFTPWrapper } from 'ssh2';
import { DrError, type DrErrorOptions, type ErrorCode } from '../../core/contract/errors.ts';
import type { Connection } from './connection.ts';
import { type SshFailure, sessionRefused } from './errors.ts';
import { unlessAborted } from './limit.ts';

/** SSH_FX_* of draft-ietf-secsh-filexfer-02, 7. */
export const STATUS = { endOfFile: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, unsupported: 8 } as const;

type Done<T> = (error: Error | null | undefined, result: T) => void;

type Start<T> = (raw: SFTPWrapper, done: Done<T>) => void;

/** One SFTP session on a channel of its own. Its calls reject with what the server says; or with the reason for which the work or the session ended. */
export class Sftp implements Disposable {
  readonly #raw: SFTPWrapper;
  readonly #work: AbortSignal;
  readonly #closed = new AbortController();
  readonly #lost: AbortSignal;

  private constructor(raw: SFTPWrapper, { lost, where }: Connection, work: AbortSignal) {
    this.#raw = raw;
    this.#work = work;
    this.#lost = lost;
    // Without a listener an error of this session would end the connection.
    raw.on('error', (error: Error) => this.#closed.abort(endedEarly(where, error.message)));
    raw.once('close', () => this.#closed.abort(endedEarly(where, 'the server closed it')));
  }

  static async open(connection: Connection, signal: AbortSignal): Promise<Sftp> {
    const opened = new Promise<Sftp>((done, fail) => {
      connection.client.sftp((error, raw) => {
        if (error) return fail(openError(connection.where, error as SshFailure));
        const sftp = new Sftp(raw, connection, signal);
        if (signal.aborted) sftp[Symbol.dispose]();
        else done(sftp);
      });
    });
    return await unlessAborted(opened, signal, connection.lost);
  }

  /** `what` is done at `path`: for the error. Nothing is sent any more once the work was aborted. */
  async call<T>(what: string, path: string, start: Start<T>): Promise<T> {
    this.#work.throwIfAborted();
    return await this.#send(what, path, start, this.#work);
  }

  /** For what must be tried even after the work was aborted, and may fail. */
  async lastCall(ms: number, start: Start<void>): Promise<void> {
    await this.#send('cleaning up', '', start, AbortSignal.timeout(ms)).catch(() => undefined);
  }

  [Symbol.dispose](): void {
    this.#raw.end();
  }

  async #send<T>(what: string, path: string, start: Start<T>, signal: AbortSignal): Promise<T> {
    this.#lost.throwIfAborted();
    this.#closed.signal.throwIfAborted();
    const answer = new Promise<T>((done, fail) => {
      try {
        start(this.#raw, (error, result) => (error ? fail(statusError(what, path, error as SshFailure)) : done(result)));
      } catch (error) {
        // ssh2 throws for an extension that the server has not announced.
        fail(statusError(what, path, Object.assign(error as SshFailure, { code: STATUS.unsupported })));
      }
    });
    return await unlessAborted(answer, signal, this.#closed.signal, this.#lost);
  }
}

const endedEarly = (where: string, why: string): DrError =>
  new DrError('CONNECTION_LOST', `the SFTP session at ${where} has ended: ${why}`);

export const isStatus = (error: unknown, status: number): boolean => error instanceof DrError && error.context.vendorCode === status;

const CODES: Readonly<Record<number, ErrorCode>> = {
  [STATUS.noSuchFile]: 'NOT_FOUND',
  [STATUS.permissionDenied]: 'PERMISSION_DENIED',
  [STATUS.failure]: 'STATE_CONFLICT',
  [STATUS.unsupported]: 'CAPABILITY_MISSING',
};

const HINTS: Readonly<Record<number, string>> = {
  [STATUS.permissionDenied]: 'give the account of the endpoint the right to this path',
  [STATUS.failure]: 'look at the path and its file system on the host',
};

const statusError = (what: string, path: string, error: SshFailure): DrError => {
  const { code: status } = error;
  const options: DrErrorOptions = { cause: error, context: { path, ...(typeof status === 'number' && { vendorCode: status }) } };
  const message = `${what} failed at ${path} (${error.message})`;
  if (typeof status !== 'number') return new DrError('CONNECTION_LOST', message, options);
  const hint = HINTS[status];
  return new DrError(CODES[status] ?? 'PROTOCOL_ERROR', message, { ...options, ...(hint !== undefined && { hint }) });
};

/** A channel that is not opened has a reason; else the subsystem is refused, or what stands for it ends or speaks another language. */
const openError = (where: string, error: SshFailure): DrError => {
  if (error.reason !== undefined) return sessionRefused(where, error);
  return new DrError('CAPABILITY_MISSING', `${where} has no working SFTP (${error.message})`, {
    hint: 'enable the sftp subsystem in the configuration of the SSH server',
    cause: error,
  });
};
