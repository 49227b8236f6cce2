import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DrError } from '../contract/index.ts';
import { Secret } from './secret.ts';

/**
 * Where a secret is found; a configuration holds this and never the value.
 * `exec`: a program and its arguments, started without a shell. `credential`: a file that the service manager put into $CREDENTIALS_DIRECTORY.
 */
export type SecretReference =
  | { readonly env: string }
  | { readonly file: string }
  | { readonly exec: readonly [string, ...string[]] }
  | { readonly credential: string };

export type ResolveSecret = (reference: SecretReference) => Promise<Secret>;

const EXEC_TIMEOUT_MS = 10_000;
const GROUP_OR_WORLD = 0o077;

/** The reference for people. Of `exec` only the program: an argument may be confidential. */
export const describeReference = (reference: SecretReference): string => {
  if ('env' in reference) return `environment variable ${reference.env}`;
  if ('file' in reference) return `file ${reference.file}`;
  if ('exec' in reference) return `output of ${reference.exec[0]}`;
  return `credential ${reference.credential}`;
};

/** Undefined when the value is not exactly one reference, for example the secret itself. */
export const parseSecretReference = (value: unknown): SecretReference | undefined => {
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value);
  const [kind, where] = entries[0] ?? [];
  if (entries.length !== 1 || kind === undefined) return undefined;
  if (kind === 'exec') {
    const usable = Array.isArray(where) && where.length > 0 && where.every((part) => typeof part === 'string' && part !== '');
    return usable ? { exec: where as unknown as readonly [string, ...string[]] } : undefined;
  }
  if (typeof where !== 'string' || where === '') return undefined;
  if (kind === 'env') return { env: where };
  if (kind === 'file') return { file: where };
  return kind === 'credential' ? { credential: where } : undefined;
};

const missing = (reference: SecretReference, reason: string, hint?: string): DrError =>
  new DrError('SECRET_MISSING', `no secret in ${describeReference(reference)}: ${reason}`, hint === undefined ? {} : { hint });

const reasonOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'it cannot be read';

const readSecretFile = async (reference: SecretReference, path: string, priv: boolean): Promise<string> => {
  try {
    if (priv && process.platform !== 'win32' && ((await stat(path)).mode & GROUP_OR_WORLD) !== 0) {
      throw missing(reference, 'others than its owner may open it', `run chmod 600 ${path}`);
    }
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    throw error instanceof DrError ? error : missing(reference, reasonOf(error));
  }
};

/** What the program printed stays out of the error: on a failure it may well be half a secret. */
const runForSecret = (reference: SecretReference, [program, ...args]: readonly [string, ...string[]], timeoutMs: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL', windowsHide: true }, (error, stdout) => {
      if (error === null) return resolve(stdout.trim());
      const reason = error.killed === true ? `it did not end within ${timeoutMs / 1000} s` : `it ended with ${String(error.code)}`;
      reject(missing(reference, reason));
    });
    child.stdin?.end();
  });

const readCredential = (reference: SecretReference, name: string, directory: string | undefined): Promise<string> => {
  if (directory === undefined)
    throw missing(reference, 'CREDENTIALS_DIRECTORY is not set', 'start the program as a service with this credential');
  if (/[/\\]|^\.\.?$/.test(name)) throw missing(reference, 'a credential is named without a path');
  // The service manager guards this folder by access lists, which the mode bits show as group rights.
  return readSecretFile(reference, join(directory, name), false);
};

export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execTimeoutMs?: number;
}

/** The resolver of the product. It reads anew each time, so that a secret that was changed holds from the next session on. */
export const createSecretResolver =
  (sources: SecretSources): ResolveSecret =>
  async (reference) => {
    const read = async (): Promise<string> => {
      if ('env' in reference) return sources.env[reference.env] ?? '';
      if ('file' in reference) return readSecretFile(reference, reference.file, true);
      if ('exec' in reference) return runForSecret(reference, reference.exec, sources.execTimeoutMs ?? EXEC_TIMEOUT_MS);
      return readCredential(reference, reference.credential, sources.env['CREDENTIALS_DIRECTORY']);
    };
    const value = await read();
    if (value === '') throw missing(reference, 'env' in reference ? 'it is not set' : 'it is empty');
    return new Secret(value);
  };
