import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { fromVcenter, toVcenter } from '../../../../plugins/vmware/names.ts';

/** Anything that a person or another hypervisor could call a machine, broken surrogates too. */
const anyName = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 120 }),
  fc.string({ unit: 'grapheme', maxLength: 120 }),
  fc
    .array(fc.constantFrom('%', '/', '\\', '%2f', 'é', '😀', '\ud83d', '\u0000', '\n', ' ', 'x'), { maxLength: 90 })
    .map((parts) => parts.join('')),
);
const plainName = anyName.filter(
  (name) => name.isWellFormed() && !/[\ufffe\uffff]/.test(name) && name.trim() !== '' && toVcenter(name).length < 80,
);

describe('names as vCenter keeps them', () => {
  it('come back as they were where they have room', () => {
    fc.assert(
      fc.property(plainName, (name) => fromVcenter(toVcenter(name)) === name),
      { numRuns: 2_000 },
    );
  });

  it('have at most 80 characters, with their suffix, and are never empty', () => {
    const suffix = fc.constantFrom('', ' (a1b2c3d4)', ' (vm-101)');
    fc.assert(
      fc.property(anyName, suffix, (name, tail) => {
        const made = toVcenter(name, tail);
        expect(made.length).to.be.within(1, 80);
        expect(made.endsWith(tail)).to.equal(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are cut between characters only: never in an escape, never in a surrogate pair', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const made = toVcenter(name);
        expect(made.isWellFormed()).to.equal(true);
        expect(made.replaceAll(/%(25|2f|5c|[01][0-9a-f])/g, '')).not.to.include('%');
      }),
      { numRuns: 2_000 },
    );
    expect(toVcenter(`${'x'.repeat(78)}/tail`)).to.equal('x'.repeat(78));
    expect(toVcenter(`${'x'.repeat(79)}😀`)).to.equal('x'.repeat(79));
  });

  it('hold nothing that a request could not carry', () => {
    expect(toVcenter('a\ufffeb\uffffc\ud800d')).to.equal('a\ufffdb\ufffdc\ufffdd');
    fc.assert(
      fc.property(anyName, (name) => [...toVcenter(name)].every((one) => one >= ' ' && one !== '\ufffe' && one !== '\uffff')),
      { numRuns: 2_000 },
    );
  });

  it('of a folder that holds an escaped sign twice over are told apart', () => {
    const names = ['a/b', 'a%2fb', 'a%252fb', 'a\\b', 'a%5cb'];

    expect(names.map((name) => fromVcenter(toVcenter(name)))).to.deep.equal(names);
    expect(new Set(names.map((name) => toVcenter(name))).size).to.equal(names.length);
  });

  it('of nothing but blanks become a name that a person can see', () => {
    expect(toVcenter('  ')).to.equal('machine');
    expect(toVcenter('', ' (2)')).to.equal('machine (2)');
  });
});
