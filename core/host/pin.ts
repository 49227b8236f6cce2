// The fingerprint by which an endpoint is known: of its certificate or of its host key.
import { type ConfigField, type ErrorCode, isDrError, type Manifest } from '../contract/index.ts';

const HEX = /^[0-9a-f]{2}(:?[0-9a-f]{2}){31}$/i;
/** As OpenSSH writes the fingerprint of a host key. */
const OPENSSH = /^SHA256:([0-9a-z+/]{43})=?$/i;

/** SHA-256 in lower-case hex, of any form in which people and programs write it; undefined when it is none. */
export const normalPin = (text: string): string | undefined => {
  const written = text.trim();
  if (HEX.test(written)) return written.replaceAll(':', '').toLowerCase();
  const base64 = OPENSSH.exec(written)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex');
};

/** As the tools of its kind show it, for a person to compare: bytes with colons for a certificate, base64 for a host key. */
export const pinText = (pin: string, code: ErrorCode = 'CERTIFICATE_UNTRUSTED'): string =>
  code === 'HOST_KEY_MISMATCH'
    ? `SHA256:${Buffer.from(pin, 'hex').toString('base64').replace(/=+$/, '')}`
    : (pin.toUpperCase().match(/../g)?.join(':') ?? '');

export const findPinField = (manifest: Manifest): ConfigField | undefined => manifest.config.find((field) => field.type === 'pin');

/** What the endpoint showed when a session was refused because of who it is; undefined for any other failure, and when nothing could be seen. */
export const seenIdentity = (error: unknown): string | undefined =>
  isDrError(error, 'CERTIFICATE_UNTRUSTED', 'HOST_KEY_MISMATCH') ? normalPin(String(error.context.actual ?? '')) : undefined;
