import { isIP, isIPv6 } from 'node:net';
import { DrError } from '../../core/contract/errors.ts';

const DEFAULT_PORT = 22;

export interface SshAddress {
  readonly host: string;
  readonly port: number;
  /** As in known_hosts: lower case, `[host]:port` where the port is not 22. */
  readonly name: string;
}

/** Of RFC 1123, and the underscore that Windows allows; a dot at the end is dropped by nobody. */
const NAME = /^[a-z0-9_](?:[a-z0-9_-]{0,62}\.)*[a-z0-9_-]{0,63}$/i;
const MAX_NAME = 253;

/** `name`, `name:port`, `[IPv6]` or `[IPv6]:port`. */
export const parseAddress = (text: string): SshAddress => {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = (bracketed ?? plain ?? '').toLowerCase();
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  const isHost = bracketed === undefined ? isIP(host) === 4 || (host.length <= MAX_NAME && NAME.test(host)) : isIPv6(host);
  if (!isHost || port < 1 || port > 65_535) throw badAddress(text);
  return { host, port, name: port === DEFAULT_PORT ? host : `[${host}]:${port}` };
};

const badAddress = (text: string): DrError =>
  new DrError('CONFIG_INVALID', `not an address of an SSH server: ${JSON.stringify(text)}`, {
    hint: 'write name, name:port or [IPv6 address]:port',
    context: { key: 'address' },
  });
