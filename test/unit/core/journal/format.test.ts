import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { canonicalJson, encodeDocument, readDocument } from '../../../../core/journal/format.ts';
import { openJournal } from '../../../../core/journal/journal.ts';
import { MemoryDisk, MemoryFiles } from '../../../support/memory-files.ts';
import { KiB, sealRecord } from './lab.ts';

const PAGE = new URL('../../../../docs/design/journal.md', import.meta.url);

const hexdump = (content: Buffer): string => {
  const lines = Array.from({ length: Math.ceil(content.length / 16) }, (_, line) => {
    const row = content.subarray(line * 16, line * 16 + 16);
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0'));
    return `${(line * 16).toString(16).padStart(8, '0')}  ${hex.slice(0, 8).join(' ')}  ${hex.slice(8).join(' ')}`;
  });
  return lines.join('\n');
};

const exampleIn = (page: string, name: string): string =>
  new RegExp(`<!-- example:${name} -->\\n\`\`\`\\n([^\`]*)\`\`\``).exec(page)?.[1]?.trimEnd() ?? '';

describe('files of the journal', () => {
  it('are as docs/design/journal.md shows them', async () => {
    const disks = [{ key: 'a', sizeBytes: 64 * KiB }];
    const disk = new MemoryDisk({ sizeBytes: 64 * KiB });
    await disk.write(4096, Buffer.alloc(4096, 'B'));
    const files = new MemoryFiles();
    const journal = await openJournal({ files, directory: '/site/journal/item1', item: 'item1', groupState: () => 'undecided' });
    const writer = await journal.begin({ cycle: 'cy-1', point: 'pt-1', kind: 'first', disks });
    await writer.data('a', 4096, Buffer.alloc(512, 'A'));
    await writer.zero('a', 16384, 4096);
    await writer.seal(sealRecord(disks));

    await journal.apply(new Map([['a', disk]]));

    const page = await readFile(PAGE, 'utf8');
    const dump = (part: string) => files.peek(`/site/journal/item1/000000000001.${part}`)!;
    expect(hexdump(dump('idx'))).to.equal(exampleIn(page, 'idx'));
    expect(hexdump(dump('undo.idx'))).to.equal(exampleIn(page, 'undo'));
    expect(dump('applied').toString().trimEnd()).to.equal(exampleIn(page, 'applied'));
    expect(dump('undo').equals(Buffer.alloc(4096, 'B'))).to.equal(true);
  });

  it('are refused as documents when any one byte of them is wrong', async () => {
    const content = encodeDocument({ point: 'p1', seq: 1 });
    for (let at = 0; at < content.length; at++) {
      const files = new MemoryFiles();
      const file = await files.open('/doc', 'create');
      const wrong = Buffer.from(content);
      wrong[at]! ^= 0x10;
      await file.write(0, wrong);

      const code = await readDocument(files, '/doc').catch((error: { code: string }) => error.code);

      expect(code, `byte ${at}`).to.equal('JOURNAL_CORRUPT');
    }
  });

  it('have one canonical text for equal values', () => {
    expect(canonicalJson({ b: [1, { d: undefined, c: 'x' }], a: null })).to.equal('{"a":null,"b":[1,{"c":"x"}]}');
  });
});
