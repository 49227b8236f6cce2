// What the target gives to log in with, looked at before anything is connected. ssh2's own errors about a key say nothing of the passphrase.
import { readFile } from 'node:fs/promises';
import type { ParsedKey } from 'ssh2';
import { DrError } from '../../core/contract/errors.ts';
import { type AgentKeys, openAgent } from './agent-keys.ts';
import type { SshTarget } from './port.ts';
import { withoutSha1 } from './sha1.ts';

export type Ssh2 = typeof import('ssh2');

export interface Credentials {
  readonly agent?: AgentKeys | undefined;
  readonly key?: ParsedKey | undefined;
  readonly password?: string | undefined;
}

export const loadCredentials = async (ssh2: Ssh2, target: SshTarget, where: string): Promise<Credentials> => {
  const { username, agent, keyFile, password } = target;
  if (username === '') throw new DrError('CONFIG_INVALID', `no user name for ${where}`, { context: { key: 'username' } });
  if (!agent && keyFile === undefined && password === undefined) {
    throw new DrError('CONFIG_INVALID', `nothing to log in to ${where} with`, { hint: 'give an agent, a key file or a password' });
  }
  return {
    key: keyFile === undefined ? undefined : await loadKey(ssh2, keyFile, target.passphrase),
    agent: agent ? openAgent(ssh2) : undefined,
    password,
  };
};

const loadKey = async (ssh2: Ssh2, path: string, passphrase: string | undefined): Promise<ParsedKey> => {
  const bad = (why: string, hint?: string, cause?: unknown): DrError =>
    new DrError('CONFIG_INVALID', `the private key in ${path} ${why}`, {
      context: { key: 'keyFile', path },
      ...(hint !== undefined && { hint }),
      ...(cause !== undefined && { cause }),
    });
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw bad(`cannot be read (${error.code})`, 'check the path and who may read the file', error);
  });
  const key = parse(ssh2, text, passphrase);
  if (key instanceof Error) {
    const isEncrypted = /encrypted|passphrase|integrity|decrypt/i.test(key.message);
    if (!isEncrypted) throw bad('is in no known form', 'give a private key in OpenSSH or PEM form');
    if (passphrase === undefined) throw bad('is encrypted', 'give its passphrase');
    throw bad('does not open with the passphrase', 'check the passphrase');
  }
  // An OpenSSH file may hold several by its format; ssh-keygen writes one, and says so in its parser.
  const [only] = Array.isArray(key) ? (key as ParsedKey[]) : [key];
  if (!only?.isPrivateKey()) throw bad('is a public one', 'give the file without .pub');
  return withoutSha1(only);
};

/** It returns its errors, but throws those of OpenSSL. */
const parse = (ssh2: Ssh2, text: Buffer, passphrase: string | undefined): ReturnType<Ssh2['utils']['parseKey']> => {
  try {
    return ssh2.utils.parseKey(text, passphrase);
  } catch (error) {
    return error as Error;
  }
};
