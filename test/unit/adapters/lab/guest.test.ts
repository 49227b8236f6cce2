import { expect } from 'chai';
import { describe, it } from 'mocha';
import { check } from '../../../../adapters/lab/checker.ts';
import type { GuestDisk } from '../../../../adapters/lab/database.ts';
import { bootGuest, type Guest, installGuest } from '../../../../adapters/lab/guest.ts';
import { Random } from '../../../../adapters/lab/random.ts';

class BufferDisk implements GuestDisk {
  data: Buffer;
  constructor(data: Buffer) {
    this.data = data;
  }
  get sizeBytes(): number {
    return this.data.length;
  }
  read(offset: number, into: Uint8Array): void {
    into.set(this.data.subarray(offset, offset + into.length));
  }
  write(offset: number, data: Uint8Array): void {
    this.data.set(data, offset);
  }
  copy(): BufferDisk {
    return new BufferDisk(Buffer.from(this.data));
  }
}

const KIB = 1024;
const IDENTITY = '00000000-0000-4000-8000-000000000001';

const install = (sizes: readonly number[]): BufferDisk[] => {
  const disks = sizes.map((size) => new BufferDisk(Buffer.alloc(size)));
  const parts = disks.map((disk) => Object.assign(disk, { contentBytes: 128 * KIB }));
  installGuest(parts, { identity: IDENTITY, hostname: 'test', addresses: ['10.0.0.1'] }, new Random(1));
  return disks;
};

const boot = (disks: readonly GuestDisk[]): Guest => {
  const result = bootGuest(disks, 'test');
  if ('failure' in result) throw new Error(result.failure);
  return result.guest;
};

const ONE = [256 * KIB];
const TWO = [512 * KIB, 512 * KIB];

describe('the database of a guest', () => {
  for (const sizes of [ONE, TWO]) {
    it(`on ${sizes.length} disk(s) is consistent after every single write, through many turns of its log`, () => {
      const disks = install(sizes);
      const guest = boot(disks);

      for (let write = 0; write < 700; write++) {
        guest.write(write);
        expect(check(disks).problems).to.deep.equal([]);
      }
      expect(guest.transactions).to.equal(350);
    });

    it(`on ${sizes.length} disk(s) goes on after a crash between any two writes, and loses no transaction`, () => {
      const disks = install(sizes);
      const guest = boot(disks);
      for (let write = 0; write < 60; write++) {
        guest.write(write);
        const crashed = disks.map((disk) => disk.copy());
        const again = boot(crashed);
        expect(again.transactions).to.equal(guest.transactions);
        for (let more = 0; more < 5; more++) again.write(more);
        expect(check(crashed).consistent).to.equal(true);
      }
    });
  }

  it('is found broken when any block that was written since is an old one', () => {
    const disks = install(ONE);
    const guest = boot(disks);
    for (let write = 0; write < 300; write++) guest.write(write);
    const before = disks[0]!.copy();
    for (let write = 0; write < 12; write++) guest.write(write);
    const after = disks[0]!;

    let written = 0;
    for (let at = 8 * KIB; at < after.sizeBytes; at += 512) {
      const stale = before.data.subarray(at, at + 512);
      if (stale.equals(after.data.subarray(at, at + 512))) continue;
      written++;
      const lossy = after.copy();
      lossy.data.set(stale, at);
      expect(check([lossy]).consistent, `sector at ${at}`).to.equal(false);
    }
    expect(written).to.be.greaterThan(40);
  });

  it('is found broken when its two disks are of different times, by one transaction even', () => {
    const disks = install(TWO);
    const guest = boot(disks);
    for (let write = 0; write < 100; write++) guest.write(write);
    const [log, pages] = disks.map((disk) => disk.copy());
    for (let write = 0; write < 4; write++) guest.write(write);

    expect(check([log!, disks[1]!]).problems[0]).to.match(/^R2/);
    expect(check([disks[0]!, pages!]).problems[0]).to.match(/^R3/);
    expect(check([disks[1]!, disks[0]!]).kind).not.to.equal('guest');
  });

  it('does not boot from a broken state, an empty disk or without its second disk, and says why', () => {
    const disks = install(TWO);
    const guest = boot(disks);
    for (let write = 0; write < 40; write++) guest.write(write);
    const broken = disks.map((disk) => disk.copy());
    broken[0]!.data.fill(0, 66 * KIB, 67 * KIB);

    expect(bootGuest(broken, 'x')).to.have.property('failure').that.matches(/R1/);
    expect(bootGuest([disks[0]!], 'x'))
      .to.have.property('failure')
      .that.matches(/missing/);
    expect(bootGuest([new BufferDisk(Buffer.alloc(256 * KIB))], 'x'))
      .to.have.property('failure')
      .that.matches(/empty/);
  });

  it('runs from disks in another order of the controller, as long as it boots from the first', () => {
    const disks = install([512 * KIB, 512 * KIB, 256 * KIB]);
    const guest = boot([disks[0]!, disks[2]!, disks[1]!]);
    for (let write = 0; write < 40; write++) guest.write(write);

    expect(check(disks).consistent).to.equal(true);
  });

  it('writes the same bytes for the same seed', () => {
    const run = () => {
      const disks = install(TWO);
      const guest = boot(disks);
      for (let write = 0; write < 100; write++) guest.write(write);
      return disks.map((disk) => disk.data);
    };
    const [first, second] = [run(), run()];

    expect(first.every((data, index) => data.equals(second[index]!))).to.equal(true);
  });
});
