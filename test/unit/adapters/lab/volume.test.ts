import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { type BackingStore, BLOCK_BYTES, fileStore, memoryStore } from '../../../../adapters/lab/backing.ts';
import { Volume } from '../../../../adapters/lab/volume.ts';

const SIZE = 3 * BLOCK_BYTES + 4096;

const contentOf = (volume: Volume): Buffer => {
  const data = Buffer.alloc(volume.sizeBytes);
  volume.read(0, data);
  return data;
};

const withFiles = (run: (store: BackingStore, directory: string) => void): void => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-volume-'));
  try {
    run(fileStore(directory), directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const write = fc.record({
  offset: fc.nat({ max: SIZE / 512 - 1 }).map((sector) => sector * 512),
  sectors: fc.integer({ min: 1, max: 300 }),
  byte: fc.nat({ max: 3 }),
  zeroes: fc.boolean(),
});
const step = fc.oneof({ weight: 8, arbitrary: write }, { weight: 1, arbitrary: fc.constant('snapshot' as const) });

describe('a volume of the lab', () => {
  for (const [name, withStore] of [
    ['in memory', (run: (store: BackingStore) => void) => run(memoryStore())],
    ['in sparse files', withFiles],
  ] as const) {
    it(`${name} and its snapshots hold what a plain buffer would, whatever is written when`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
          withStore((store) => {
            const volume = Volume.create(store, 'v', SIZE);
            const model = Buffer.alloc(SIZE);
            const kept: { volume: Volume; model: Buffer }[] = [];
            for (const [index, one] of steps.entries()) {
              if (one === 'snapshot') {
                kept.push({ volume: volume.snapshot(store, `s${index}`), model: Buffer.from(model) });
                continue;
              }
              const length = Math.min(one.sectors * 512, SIZE - one.offset);
              model.fill(one.zeroes ? 0 : one.byte, one.offset, one.offset + length);
              if (one.zeroes) volume.writeZeroes(one.offset, length);
              else volume.write(one.offset, new Uint8Array(length).fill(one.byte));
            }

            const all = [{ volume, model }, ...kept];
            for (const pair of all) expect(contentOf(pair.volume).equals(pair.model)).to.equal(true);
            for (const pair of all) pair.volume.close();
          });
        }),
        { numRuns: name === 'in memory' ? 150 : 25 },
      );
    });
  }

  it('shows through an overlay, which changes nothing below until it is merged', () => {
    const store = memoryStore();
    const base = Volume.create(store, 'base', SIZE);
    base.write(0, new Uint8Array(2 * BLOCK_BYTES).fill(1));
    const overlay = Volume.create(store, 'overlay', SIZE, base);
    overlay.write(2 * BLOCK_BYTES, new Uint8Array(BLOCK_BYTES).fill(3));
    overlay.write(512, new Uint8Array(512).fill(2));
    overlay.writeZeroes(BLOCK_BYTES, BLOCK_BYTES);
    const before = contentOf(overlay);
    expect(before.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES).every((byte) => byte === 0)).to.equal(true);
    expect(
      contentOf(base)
        .subarray(512, 1024)
        .every((byte) => byte === 1),
    ).to.equal(true);
    const snapshot = overlay.snapshot(store, 'snapshot');

    overlay.mergeIntoParent();
    overlay.remove();
    base.write(0, new Uint8Array(512).fill(9));

    expect(contentOf(snapshot).equals(before)).to.equal(true);
    expect(
      contentOf(base)
        .subarray(512, 1024)
        .every((byte) => byte === 2),
    ).to.equal(true);
  });

  it('has one digest for equal content, whatever is allocated and whatever lies below', () => {
    const store = memoryStore();
    const plain = Volume.create(store, 'plain', SIZE);
    plain.write(BLOCK_BYTES, new Uint8Array(512).fill(5));
    const scribbled = Volume.create(store, 'scribbled', SIZE);
    scribbled.write(0, new Uint8Array(SIZE).fill(7));
    scribbled.write(0, new Uint8Array(SIZE));
    scribbled.write(BLOCK_BYTES, new Uint8Array(512).fill(5));
    const overlay = Volume.create(store, 'overlay', SIZE + BLOCK_BYTES, Volume.create(store, 'empty', SIZE));
    overlay.write(BLOCK_BYTES, new Uint8Array(512).fill(5));

    expect(scribbled.digest()).to.equal(plain.digest());
    expect(overlay.digest()).to.equal(plain.digest());
  });

  it('has another digest after any write, though digests are remembered', () => {
    const store = memoryStore();
    const volume = Volume.create(store, 'v', SIZE);
    volume.write(0, new Uint8Array(SIZE).fill(3));
    const overlay = Volume.create(store, 'o', SIZE, volume);
    const before = overlay.digest();

    volume.write(SIZE - 512, new Uint8Array(512).fill(4));
    const below = overlay.digest();
    overlay.write(0, new Uint8Array(512).fill(4));

    expect(new Set([before, below, overlay.digest()]).size).to.equal(3);
  });

  it('takes room on the disk for its data only', () =>
    withFiles((store, directory) => {
      const volume = Volume.create(store, 'big', 2 ** 30);
      volume.write(2 ** 29, new Uint8Array(4096).fill(1));
      volume.sync();
      volume.close();

      expect(statSync(join(directory, 'big.raw')).size).to.equal(2 ** 30);
      expect(statSync(join(directory, 'big.raw')).blocks * 512).to.be.at.most(4 * BLOCK_BYTES);
    }));

  it('is found again by another process, and by reading when its map is gone', () =>
    withFiles((store, directory) => {
      const volume = Volume.create(store, 'v', SIZE);
      volume.write(BLOCK_BYTES, new Uint8Array(1024).fill(6));
      const digest = volume.digest();
      volume.close();

      const noted = new Volume(store, 'v', SIZE);
      expect(noted.reopen()).to.equal(true);
      expect(noted.digest()).to.equal(digest);
      noted.close();
      rmSync(join(directory, 'v.map'));
      const scanned = new Volume(store, 'v', SIZE);
      expect(scanned.reopen()).to.equal(false);
      scanned.scan();
      expect(scanned.digest()).to.equal(digest);
      scanned.close();
    }));
});
