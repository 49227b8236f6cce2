// Certificates for servers of tests: node:crypto signs but does not make them.
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** SHA-256 in hex. */
  readonly pin: string;
  /** SHA-1 in hex, with colons. */
  readonly thumbprint: string;
}

interface CertificateOptions {
  /** Who signs it; itself where nobody does. */
  readonly signer?: Certificate;
  /** A host name, beside 127.0.0.1 unless `name` alone is wanted. */
  readonly name?: string;
  readonly notAfter?: Date;
}

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (...bytes: readonly number[]): Buffer => der(0x06, Buffer.from(bytes));
const time = (date: Date): Buffer => der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));

const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const named = (name: string): Buffer => sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)))));
const extension = (id: number, value: Uint8Array): Buffer => sequence(oid(0x55, 0x1d, id), der(0x04, value));
const basicConstraints = extension(0x13, sequence(der(0x01, Buffer.from([0xff]))));

const pem = (label: string, bytes: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END ${label}-----\n`;

const subjectOf = ({ cert }: Certificate): string => new X509Certificate(cert).subject.replace('CN=', '');

/** Made out to 127.0.0.1 unless another name is given; one that nobody has signed is an authority. */
export const makeCertificate = ({ signer, name, notAfter = new Date(Date.now() + 86_400_000) }: CertificateOptions = {}): Certificate => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = `test ${randomBytes(4).toString('hex')}`;
  const alternative = name === undefined ? der(0x87, Buffer.from([127, 0, 0, 1])) : der(0x82, Buffer.from(name));
  const extensions = [extension(0x11, sequence(alternative)), ...(signer ? [] : [basicConstraints])];
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_SHA256,
    named(signer ? subjectOf(signer) : subject),
    sequence(time(new Date(notAfter.getTime() - 7 * 86_400_000)), time(notAfter)),
    named(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signingKey: KeyObject = signer ? createPrivateKey(signer.key) : privateKey;
  const raw = sequence(body, ECDSA_SHA256, der(0x03, Buffer.from([0]), sign('sha256', body, signingKey)));
  const digest = (algorithm: string): string => createHash(algorithm).update(raw).digest('hex');
  return {
    cert: pem('CERTIFICATE', raw),
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    pin: digest('sha256'),
    thumbprint: digest('sha1').toUpperCase().match(/../g)!.join(':'),
  };
};
