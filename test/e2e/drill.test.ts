import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DrillReport } from '../../cli/lab/drill-report.ts';

const IMAGE_BYTES = 24 * 2 ** 20;

/** An ext4 image where its tools are, else a raw one: the drill compares either byte for byte. */
const makeImage = (path: string): boolean => {
  writeFileSync(path, Buffer.alloc(1 << 20, 'content of a user'));
  truncateSync(path, IMAGE_BYTES);
  return spawnSync('mkfs.ext4', ['-q', '-F', path]).status === 0;
};
const digestOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

describe('the drill', () => {
  it('moves machines and a disk of the user there and back, loses a site, and finds every copy identical', async function () {
    this.timeout(480_000);
    const folder = mkdtempSync(join(tmpdir(), 'ws-drill-'));
    try {
      const image = join(folder, 'own.img');
      const isExt = makeImage(image);
      const before = digestOf(image);
      const work = join(folder, 'tmp');

      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [resolve('cli/bin.js'), 'lab', 'drill', '--machines', '3', '--disk', image, '--dir', work, '--json'],
        { encoding: 'utf8', env: { ...process.env, HOME: folder } },
      );

      expect(status, stderr).to.equal(0);
      const { data } = JSON.parse(stdout) as { data: DrillReport };
      expect(data.ok).to.equal(true);
      expect(data.verdict).to.match(/^4 of 4 replicas identical, 0 bytes lost in the planned failover, .* lost in the unplanned one$/);
      expect(data.comparisons).to.have.length(4 * 5);
      for (const sighting of data.comparisons) {
        expect(sighting, `${sighting.machine} in ${sighting.stage}`).to.include({ asRecorded: true, consistent: true });
        if (['planned failover', 'failback'].includes(sighting.stage)) expect(sighting.asSource).to.equal(true);
      }
      // At the older point the source had written more since: equal to the record, not to the source now.
      expect(data.comparisons.filter(({ stage, asSource }) => stage === 'test failover, older point' && !asSource)).not.to.be.empty;
      expect(data).to.include({ violations: 0 });
      expect(data.leftovers).to.deep.equal([]);
      expect(data.fenced).to.have.length(4);
      expect(data.ownDisk?.filter(({ ok }) => ok)).to.have.length(isExt ? 6 : 3);
      expect(digestOf(image)).to.equal(before);
      expect(Math.max(data.peakBytes.engine, data.peakBytes.lab)).to.be.below(500 * 2 ** 20);
      // Kept because it was asked for, but nothing of it runs any more.
      expect(readdirSync(join(work, 'lab'))).not.to.include('lab.pid');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
