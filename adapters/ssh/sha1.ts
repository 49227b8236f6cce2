// ssh2 1.17 signs with an RSA key by SHA-1 (`ssh-rsa`) when the server does not name its algorithms, as OpenSSH before 7.2 does not. We never do.
import type { ParsedKey } from 'ssh2';

const SHA1 = 'sha1';

export const isSha1 = (hash: string | undefined): boolean => hash === SHA1;

export const sha1Refused = (): Error => new Error('the server takes RSA signatures by SHA-1 only, which are not safe');

/** ssh2 takes an Error that `sign` returns as "this key did not work" and goes on to the next method. */
export const withoutSha1 = (key: ParsedKey): ParsedKey => {
  const sign = key.sign.bind(key);
  key.sign = (data, hash) => (isSha1(hash) ? (sha1Refused() as unknown as Buffer) : sign(data, hash));
  return key;
};
