import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { subtract, totalBytes } from '../../../../core/domain/extents.ts';
import { Allocation, CHUNK_BYTES } from '../../../../core/journal/allocation.ts';
import { Faults, MemoryFiles } from '../../../support/memory-files.ts';

const MiB = 1024 * 1024;

const load = async (files: MemoryFiles): Promise<Allocation> => {
  const allocation = new Allocation(files, '/j');
  await allocation.load(await files.list('/j'));
  return allocation;
};
const fresh = async (faults = new Faults()): Promise<MemoryFiles> => {
  const files = new MemoryFiles(faults);
  await files.makeDirectory('/j');
  await files.syncDirectory('/');
  return files;
};

describe('allocation map', () => {
  it('takes all of a disk for allocated of which nothing is known, whatever is marked', async () => {
    const allocation = await load(await fresh());
    allocation.setSize('d', 10 * MiB);

    await allocation.mark('d', [{ offset: 0, length: 512 }]);

    expect(allocation.allocated('d')).to.deep.equal([{ offset: 0, length: 10 * MiB }]);
  });

  it('has nothing of a disk that was declared empty before its size was known', async () => {
    const allocation = await load(await fresh());
    await allocation.declareEmpty('d');
    expect(allocation.allocated('d')).to.deep.equal([]);
    allocation.setSize('d', 10 * MiB);
    expect(allocation.allocated('d')).to.deep.equal([]);

    await allocation.mark('d', [{ offset: 3 * MiB - 512, length: 1024 }]);

    expect(allocation.allocated('d')).to.deep.equal([{ offset: 2 * MiB, length: 2 * MiB }]);
  });

  it('takes what a disk has grown by for allocated', async () => {
    const allocation = await load(await fresh());
    await allocation.declareEmpty('d');
    allocation.setSize('d', 4 * MiB);
    await allocation.mark('d', [{ offset: 0, length: 1 }]);

    allocation.setSize('d', 6 * MiB);

    expect(allocation.allocated('d')).to.deep.equal([
      { offset: 0, length: MiB },
      { offset: 4 * MiB, length: 2 * MiB },
    ]);
  });

  it('takes all of a disk for allocated whose map is damaged', async () => {
    const files = await fresh();
    const allocation = await load(files);
    allocation.setSize('d', 8 * MiB);
    await allocation.declareEmpty('d');
    await allocation.mark('d', [{ offset: 0, length: 1 }]);
    files.corrupt('/j/alloc.d', 24, Buffer.from([0]));

    const later = await load(files);
    later.setSize('d', 8 * MiB);

    expect(later.allocated('d')).to.deep.equal([{ offset: 0, length: 8 * MiB }]);
  });

  it('holds every range that was marked before a power cut, and nothing is marked that is not near one', async () => {
    const range = fc.record({ offset: fc.nat(30 * MiB), length: fc.integer({ min: 1, max: 3 * MiB }) });
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(60), async (ranges, seed, crashAt) => {
        const faults = new Faults();
        const files = await fresh(faults);
        const allocation = await load(files);
        await allocation.declareEmpty('d');
        allocation.setSize('d', 33 * MiB);
        faults.crashAt = faults.calls + crashAt + 1;
        const marked: typeof ranges = [];
        for (const one of ranges) {
          await allocation.mark('d', [one]).then(
            () => marked.push(one),
            () => {},
          );
        }

        const later = await load(files.crash(seed));

        later.setSize('d', 33 * MiB);
        const held = later.allocated('d');
        for (const one of marked) expect(subtract([one], held)).to.deep.equal([]);
        expect(totalBytes(held)).to.be.at.most(totalBytes(ranges) + 2 * CHUNK_BYTES * ranges.length);
      }),
    );
  });
});
