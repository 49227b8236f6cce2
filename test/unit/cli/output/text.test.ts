import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { bytesText, durationText, escapeUnsafe, shorten, timeText, visible, widthOf } from '../../../../cli/output/text.ts';

const text = fc.string({ unit: 'binary', maxLength: 60 });
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must never reach a terminal
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

describe('text for people', () => {
  it('never lets a control, direction or invisible character of a name through', () => {
    fc.assert(fc.property(text, (name) => !HARMFUL.test(visible(name))));
  });

  it('shows what it took away, so that two names that differ look different', () => {
    expect(visible('a\nb')).to.equal('a\\nb');
    expect(visible('\u001b[31mred')).to.equal('\\e[31mred');
    expect(visible('safe\u202egnp.exe')).to.equal('safe\\u{202e}gnp.exe');
  });

  it('leaves names of any script and emoji as they are', () => {
    for (const name of ['数据库', 'größe', 'сервер', '😀 web', "o'brien; --", '$(reboot)']) expect(visible(name)).to.equal(name);
  });

  it('keeps the value of JSON while it escapes what a terminal would act on', () => {
    fc.assert(
      fc.property(text, (name) => {
        const json = escapeUnsafe(JSON.stringify({ name }, undefined, 2));
        expect(JSON.parse(json)).to.deep.equal({ name });
        expect(HARMFUL.test(json.replaceAll('\n', ''))).to.equal(false);
      }),
    );
  });

  it('never shortens beyond the width, nor what fits', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 40 }), (name, width) => {
        const shown = shorten(visible(name), width);
        expect(widthOf(shown)).to.be.at.most(Math.max(width, 1));
        if (widthOf(visible(name)) <= width) expect(shown).to.equal(visible(name));
      }),
    );
  });

  it('counts wide characters as two columns', () => {
    expect(widthOf('abc')).to.equal(3);
    expect(widthOf('数据')).to.equal(4);
    expect(widthOf('😀')).to.equal(2);
  });

  for (const [bytes, shown] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [161 * 2 ** 20, '161 MiB'],
    [4.5 * 2 ** 30, '4.5 GiB'],
  ] as const) {
    it(`writes ${bytes} bytes as ${shown}`, () => {
      expect(bytesText(bytes)).to.equal(shown);
    });
  }

  for (const [ms, shown] of [
    [3, '3 ms'],
    [1_200, '1.2 s'],
    [119_000, '119 s'],
    [14 * 60_000, '14 min'],
    [3 * 3_600_000, '3 h'],
    [5 * 86_400_000, '5 d'],
  ] as const) {
    it(`writes ${ms} ms as ${shown}`, () => {
      expect(durationText(ms)).to.equal(shown);
    });
  }

  it('writes a time of today without its day, another one with it', () => {
    const now = new Date(2026, 4, 2, 18, 0, 0);

    expect(timeText(new Date(2026, 4, 2, 7, 3, 9).toISOString(), now.getTime())).to.equal('07:03:09');
    expect(timeText(new Date(2026, 4, 1, 7, 3, 9).toISOString(), now.getTime())).to.equal('2026-05-01 07:03');
  });
});
