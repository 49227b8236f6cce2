// OpenSSH's known_hosts, as sshd(8) describes it under SSH_KNOWN_HOSTS FILE FORMAT.
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface KnownKeys {
  readonly trusted: readonly HostKey[];
  readonly revoked: readonly HostKey[];
}

export interface HostKey {
  /** Such as `ssh-ed25519` or `ssh-rsa`. */
  readonly type: string;
  /** As it goes over the wire. */
  readonly blob: Uint8Array;
}

/** `name` as in SshAddress. Lines that cannot be read are skipped, as OpenSSH does; so are authorities, whose certificates ssh2 does not know. */
export const keysOf = (knownHosts: string, name: string): KnownKeys => {
  const trusted: HostKey[] = [];
  const revoked: HostKey[] = [];
  for (const line of knownHosts.split('\n')) {
    const words = line.trim().split(/[ \t]+/);
    const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
    const [hosts = '', type = '', base64 = ''] = words;
    if (hosts.startsWith('#') || base64 === '' || !isNamed(hosts, name)) continue;
    const key = { type, blob: Buffer.from(base64, 'base64') };
    if (marker === undefined) trusted.push(key);
    if (marker === '@revoked') revoked.push(key);
  }
  return { trusted, revoked };
};

const isNamed = (hosts: string, name: string): boolean => {
  if (hosts.startsWith('|')) return isHashOf(hosts, name);
  const patterns = hosts.toLowerCase().split(',');
  const denied = patterns.some((pattern) => pattern.startsWith('!') && matches(pattern.slice(1), name));
  return !denied && patterns.some((pattern) => matches(pattern, name));
};

const matches = (pattern: string, name: string): boolean => {
  const source = pattern
    .replace(/\*+/g, '*')
    .replace(/[.+^${}()|[\]\\/-]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(name);
};

/** `|1|salt|HMAC-SHA1(salt, name)`, what `HashKnownHosts yes` writes. */
const isHashOf = (hosts: string, name: string): boolean => {
  const [, version, salt = '', hash = ''] = hosts.split('|');
  if (version !== '1') return false;
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
};
