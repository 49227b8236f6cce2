import { expect } from 'chai';
import { describe, it } from 'mocha';
import { readReply } from '../../../../adapters/powershell/values.ts';

const read = (row: object) => {
  const reply = { ok: true, steps: [{ rows: [row], count: 1, warnings: [], errors: [] }] };
  return readReply(Buffer.from(JSON.stringify(reply)).toString('base64')).steps[0]?.rows[0];
};

describe('values of a reply', () => {
  const cases: readonly (readonly [string, unknown, unknown])[] = [
    ['text', 'a "b"', 'a "b"'],
    ['nothing', null, null],
    ['a small whole number', { $int: '42' }, 42],
    ['a whole number beyond 2^53', { $int: '9007199254740993' }, 9007199254740993n],
    ['an enumeration', { $enum: 'Running', value: '2' }, { name: 'Running', value: 2 }],
    ['a date', { $date: '2026-01-02T03:04:05.0000000Z' }, '2026-01-02T03:04:05.000Z'],
    ['a span of time', { $ms: 1500 }, 1500],
    ['a list', [{ $int: '1' }, null, 'x'], [1, null, 'x']],
    ['a dictionary, whatever its keys are called', { $map: { $int: '5', a: { $int: '6' } } }, { $int: '5', a: 6 }],
  ];
  for (const [what, sent, expected] of cases) {
    it(`are read: ${what}`, () => {
      expect(read({ Value: sent })).to.deep.equal({ Value: expected });
    });
  }

  it('are refused when the reply is none', () => {
    for (const text of ['', 'null', '[]', '{"ok":true}', '{"ok":false}', '{"ok":1,"steps":[]}'])
      expect(() => readReply(Buffer.from(text).toString('base64')), text).to.throw(/reply of the host/);
  });
});
