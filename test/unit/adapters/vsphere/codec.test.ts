import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { SoapReader } from '../../../../adapters/vsphere/vim25/decode.ts';
import { encodeElement } from '../../../../adapters/vsphere/vim25/encode.ts';
import type { RetrieveResult } from '../../../../adapters/vsphere/vim25/types.ts';
import { anything, ofType, writableTypes } from './arbitrary.ts';
import { answered } from './hostile-server.ts';

/** Through the value of a property, in pieces of `size` characters. */
const roundTrip = (value: unknown, size: number): unknown => {
  const objects = [{ obj: { type: 'VirtualMachine', value: 'vm-1' }, propSet: [{ name: 'p', val: value }] }];
  // As every parser but sax reads line ends that are not escaped.
  const text = answered('RetrievePropertiesEx', encodeElement('returnval', 'RetrieveResult', { objects })).replace(/\r\n?/g, '\n');
  const reader = new SoapReader('RetrievePropertiesEx');
  for (let at = 0; at < text.length; at += size) reader.push(text.slice(at, at + size));
  const decoded = reader.end();
  return 'result' in decoded ? (decoded.result as RetrieveResult).objects[0]?.propSet?.[0]?.val : decoded;
};
const pieces = fc.oneof(fc.constant(1_000_000), fc.integer({ min: 1, max: 50 }));

describe('what the codec writes', () => {
  it('it reads back equal, for values of every type that it can write', () => {
    for (const type of writableTypes()) {
      fc.assert(
        fc.property(ofType(type, 0, true), pieces, (value, size) => {
          expect(roundTrip(value, size), type).to.deep.equal(value);
        }),
        { numRuns: 10 },
      );
    }
  });

  it('it reads back equal, for whatever may stand where anything may', () => {
    fc.assert(
      fc.property(anything(0), pieces, (value, size) => {
        expect(roundTrip(value, size)).to.deep.equal(value);
      }),
      { numRuns: 2_000 },
    );
  });
});
