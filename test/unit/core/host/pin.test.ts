import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DrError, type ErrorCode } from '../../../../core/contract/index.ts';
import { normalPin, pinText, seenIdentity } from '../../../../core/host/pin.ts';

const PIN = `0f${'a1'.repeat(31)}`;
const WITH_COLONS = PIN.toUpperCase().match(/../g)?.join(':') ?? '';
const OPENSSH = `SHA256:${Buffer.from(PIN, 'hex').toString('base64').replace('=', '')}`;

describe('a pin', () => {
  for (const written of [PIN, PIN.toUpperCase(), WITH_COLONS, ` ${PIN}\n`, OPENSSH, `${OPENSSH}=`]) {
    it(`is the same however it is written: ${written.trim().slice(0, 12)}…`, () => {
      expect(normalPin(written)).to.equal(PIN);
    });
  }

  for (const written of [
    '',
    'yes',
    PIN.slice(2),
    `${PIN}00`,
    `${PIN.slice(1)}g`,
    '11:22',
    `:${PIN}`,
    `SHA1:${'a'.repeat(27)}`,
    OPENSSH.slice(0, -1),
  ]) {
    it(`is not ${JSON.stringify(written.slice(0, 16))}`, () => {
      expect(normalPin(written)).to.equal(undefined);
    });
  }

  it('is shown as the tools of its kind show it', () => {
    expect(pinText(PIN)).to.equal(WITH_COLONS);
    expect(pinText(PIN, 'HOST_KEY_MISMATCH')).to.equal(OPENSSH);
  });

  it('is seen in an error that says who the endpoint is, and in no other', () => {
    const refusal = (code: ErrorCode, actual?: string) => new DrError(code, 'no', { context: actual === undefined ? {} : { actual } });

    expect(seenIdentity(refusal('CERTIFICATE_UNTRUSTED', WITH_COLONS))).to.equal(PIN);
    expect(seenIdentity(refusal('HOST_KEY_MISMATCH', OPENSSH))).to.equal(PIN);
    expect(seenIdentity(refusal('CERTIFICATE_UNTRUSTED'))).to.equal(undefined);
    expect(seenIdentity(refusal('DIGEST_MISMATCH', PIN))).to.equal(undefined);
    expect(seenIdentity(new Error(PIN))).to.equal(undefined);
  });
});
