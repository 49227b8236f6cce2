// A self-signed certificate out of node:crypto alone: a user's machine need not have openssl.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export interface Certificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

const TAG = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  boolean: 0x01,
} as const;

/** Type, length, value, as DER wants them (X.690). */
const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const length = Buffer.from(body.length.toString(16).padStart(2 * Math.ceil(body.length.toString(16).length / 2), '0'), 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body]);
};

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(TAG.sequence, ...parts);
const explicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => der(0xa0 | number, ...parts);
const bits = (value: Uint8Array, unused = 0): Buffer => der(TAG.bits, Buffer.of(unused), value);

const oid = (text: string): Buffer => {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const base128 = (number: number): number[] => {
    const digits = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  };
  return der(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
};

/** Two digits of the year, as RFC 5280 demands until 2049. */
const time = (at: Date): Buffer =>
  der(
    TAG.utcTime,
    Buffer.from(
      at
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2),
    ),
  );

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const TRUE = der(TAG.boolean, Buffer.of(0xff));

const nameOf = (commonName: string): Buffer => sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8, Buffer.from(commonName)))));

const extension = (id: string, value: Uint8Array, critical = false): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), der(TAG.octets, value));

/** `localhost` and 127.0.0.1 (context tags 2 and 7 of GeneralName). */
const ALTERNATIVE_NAMES = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.of(127, 0, 0, 1)));

const EXTENSIONS = explicit(
  3,
  sequence(
    extension('2.5.29.19', sequence(TRUE), true),
    // digitalSignature and keyCertSign: it signs itself.
    extension('2.5.29.15', bits(Buffer.of(0x84), 2), true),
    extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1'))),
    extension('2.5.29.17', ALTERNATIVE_NAMES),
  ),
);

const DAY_MS = 24 * 60 * 60_000;

/** ECDSA on P-256, for ten years from the day before `now`. */
export const createCertificate = (commonName: string, now: Date): Certificate => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const serial = randomBytes(16);
  // A positive number whose first byte is not zero.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const name = nameOf(commonName);
  const toBeSigned = sequence(
    explicit(0, der(TAG.integer, Buffer.of(2))),
    der(TAG.integer, serial),
    ECDSA_WITH_SHA256,
    name,
    sequence(time(new Date(now.getTime() - DAY_MS)), time(new Date(now.getTime() + 3650 * DAY_MS))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    EXTENSIONS,
  );
  const whole = sequence(toBeSigned, ECDSA_WITH_SHA256, bits(sign('sha256', toBeSigned, privateKey)));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    certificatePem: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
};

/** SHA-256 of the certificate in hex: what a client pins. */
export const pinOf = ({ certificatePem }: Certificate): string => {
  const [, base64 = ''] = /-----BEGIN CERTIFICATE-----([^-]+)-----/.exec(certificatePem) ?? [];
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex');
};
