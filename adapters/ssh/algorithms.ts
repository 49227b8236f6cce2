// What is offered, in our order of preference. Set in full, because the defaults of ssh2 1.17 hold SHA-1 and zlib, and may change under us.
import type { Algorithms, ServerHostKeyAlgorithm } from 'ssh2';

/**
 * No SHA-1 (collisions: CVE-2005-4900), and no group exchange, where the server chooses a group that may be too small. ssh2 adds strict key exchange
 * by itself; servers older than OpenSSH 9.6 do not know it.
 */
const kex: Algorithms['kex'] = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group18-sha512',
  'diffie-hellman-group14-sha256',
];

/**
 * No CBC (plaintext recovery: CVE-2008-5161), no arcfour. No chacha20-poly1305 either: without strict key exchange a man in the middle removes packets
 * unseen (CVE-2023-48795), and without ssh2's native add-on it is slow.
 */
const cipher: Algorithms['cipher'] = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes256-ctr', 'aes192-ctr', 'aes128-ctr'];

/** For the ciphers in counter mode; GCM brings its own. */
const hmac: Algorithms['hmac'] = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'];

/** `ssh-rsa` here would be a signature by SHA-1: an RSA key signs by `rsa-sha2`. */
const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

const keyTypeOf = (algorithm: ServerHostKeyAlgorithm): string => (algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm);

/**
 * A server with several keys shows the one for the first algorithm that both have. So the types of the keys that are known come first; the others stay,
 * because a host that has lost a known key shall be seen as changed, with the key it has now.
 */
export const algorithmsFor = (knownTypes: ReadonlySet<string>): Algorithms => {
  const known = HOST_KEY_ALGORITHMS.filter((algorithm) => knownTypes.has(keyTypeOf(algorithm)));
  const others = HOST_KEY_ALGORITHMS.filter((algorithm) => !known.includes(algorithm));
  return { kex, cipher, hmac, serverHostKey: [...known, ...others], compress: ['none'] };
};
