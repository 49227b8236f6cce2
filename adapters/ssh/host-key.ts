// Is this the host that we mean? Answered before anything of ours is sent to it but our version and a key exchange.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DrError } from '../../core/contract/errors.ts';
import type { SshAddress } from './address.ts';
import { type HostKey, type KnownKeys, keysOf } from './known-hosts.ts';
import type { SshTarget } from './port.ts';

export interface HostCheck {
  /** Types of the keys by which the host is known. */
  readonly types: ReadonlySet<string>;
  /** Why the key is not taken; undefined when it is. */
  refuse(blob: Uint8Array): DrError | undefined;
}

export const fingerprintOf = (blob: Uint8Array): string => createHash('sha256').update(blob).digest('hex');

/** `where`: how the hop is called in errors. */
export const loadHostCheck = async (target: SshTarget, address: SshAddress, where: string): Promise<HostCheck> => {
  if (target.pin !== undefined) return pinned(normalPin(target.pin), where);
  const keys = target.knownHosts === undefined ? undefined : keysOf(await read(target.knownHosts), address.name);
  return listed(keys, target.knownHosts, where);
};

const pinned = (pin: string, where: string): HostCheck => ({
  types: new Set(),
  refuse: (blob) => {
    const actual = fingerprintOf(blob);
    if (actual === pin) return;
    return new DrError('HOST_KEY_MISMATCH', `${where} shows another host key than the pinned one`, { context: { actual, expected: pin } });
  },
});

const listed = (keys: KnownKeys | undefined, path: string | undefined, where: string): HostCheck => ({
  types: new Set(keys?.trusted.map(({ type }) => type)),
  refuse: (blob) => {
    const has = (list: readonly HostKey[] = []): boolean => list.some((key) => Buffer.compare(key.blob, blob) === 0);
    const context = { actual: fingerprintOf(blob), ...(path !== undefined && { path }) };
    const refusal = (message: string, hint?: string): DrError =>
      new DrError('HOST_KEY_MISMATCH', message, { context, ...(hint !== undefined && { hint }) });
    if (has(keys?.revoked)) {
      return refusal(`the host key of ${where} is revoked in ${path}`, 'find out why the key was revoked, and give the host a new one');
    }
    if (has(keys?.trusted)) return;
    if (keys?.trusted.length) return refusal(`${where} shows another host key than the ones in ${path}`);
    return refusal(`the host key of ${where} is not known${path === undefined ? '' : ` in ${path}`}`);
  },
});

const normalPin = (pin: string): string => {
  const normal = pin.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(normal)) return normal;
  throw new DrError('CONFIG_INVALID', `not a SHA-256 fingerprint of a host key: ${JSON.stringify(pin)}`, {
    hint: 'give 64 hex digits, with or without colons; endpoint trust shows them',
    context: { key: 'pin' },
  });
};

const read = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new DrError('CONFIG_INVALID', `the known hosts in ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, {
      cause: error,
      context: { key: 'knownHosts', path },
    });
  }
};
