import { expect } from 'chai';
import { describe, it } from 'mocha';
import { isDrError } from '../../../../core/contract/index.ts';
import { openMarks } from '../../../../core/journal/marks.ts';
import { diskFull, Faults, ioError, MemoryFiles } from '../../../support/memory-files.ts';

const open = (files: MemoryFiles) => openMarks({ files, directory: '/site' });

describe('marks', () => {
  it('say after a power cut what was acknowledged before it', async () => {
    const files = new MemoryFiles();
    const marks = await open(files);
    await marks.pin('p1');
    await marks.pin('p2');
    await marks.unpin('p2');
    await marks.tag('p1', 'before the upgrade');
    await marks.markSuspect('p3', 'verification');
    await marks.markDamaged('p4', 'rot');
    await marks.decideGroup('g1', 'complete');

    const later = await open(files.crash(1));

    expect([later.isPinned('p1'), later.isPinned('p2')]).to.deep.equal([true, false]);
    expect(later.tagsOf('p1')).to.deep.equal(['before the upgrade']);
    expect([later.isSuspect('p3'), later.isDamaged('p4'), later.hasDoubts()]).to.deep.equal([true, true, true]);
    expect([later.groupState('g1'), later.groupState('g2')]).to.deep.equal(['complete', 'undecided']);
  });

  it('decide a group once', async () => {
    const marks = await open(new MemoryFiles());
    await marks.decideGroup('g1', 'abandoned');

    await marks.decideGroup('g1', 'abandoned');
    const second = await marks.decideGroup('g1', 'complete').catch((error: unknown) => error);

    expect(isDrError(second, 'STATE_CONFLICT')).to.equal(true);
    expect(marks.groupState('g1')).to.equal('abandoned');
  });

  it('drop a torn last line, and go on after it', async () => {
    const files = new MemoryFiles();
    await (await open(files)).pin('p1');
    files.corrupt('/site/marks', files.peek('/site/marks')!.length, Buffer.from('12345678 {"is":"pin","poi'));

    const marks = await open(files);
    await marks.pin('p2');

    const later = await open(files);
    expect([later.isPinned('p1'), later.isPinned('p2')]).to.deep.equal([true, true]);
  });

  it('do not take back what they said after a start: a line that was never synced is made durable first', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const files = new MemoryFiles();
      const written = await open(files);
      await written.pin('p1');
      const line = files.peek('/site/marks')!;
      // As a process that was killed before its sync leaves it.
      const file = await files.open('/site/marks', 'create');
      await file.write(0, line);

      const marks = await open(files);
      const later = await open(files.crash(seed));

      expect([marks.isPinned('p1'), later.isPinned('p1')]).to.deep.equal([true, true]);
    }
  });

  it('refuse a file whose middle is damaged', async () => {
    const files = new MemoryFiles();
    const marks = await open(files);
    await marks.pin('p1');
    await marks.pin('p2');
    files.corrupt('/site/marks', 12, Buffer.from('XX'));

    const error = await open(files).catch((reason: unknown) => reason);

    expect(isDrError(error, 'JOURNAL_CORRUPT')).to.equal(true);
  });

  for (const { title, error } of [
    { title: 'a full disk', error: diskFull },
    { title: 'an I/O error', error: ioError },
  ]) {
    it(`keep every acknowledged mark through ${title} in any call, and take the next`, async () => {
      for (let call = 1; ; call++) {
        const faults = new Faults();
        const files = new MemoryFiles(faults);
        const marks = await open(files);
        await marks.decideGroup('g1', 'complete');
        const before = faults.calls;
        faults.failAt = { call: before + call, error };

        const failed = await marks.decideGroup('g2', 'complete').then(
          () => false,
          () => true,
        );
        faults.failAt = undefined;
        await marks.decideGroup('g3', 'abandoned');

        const later = await open(files.crash(call));
        expect([later.groupState('g1'), later.groupState('g3')]).to.deep.equal(['complete', 'abandoned']);
        if (!failed) {
          expect(later.groupState('g2')).to.equal('complete');
          return;
        }
      }
    });
  }
});
