import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openNbd } from '../../../../adapters/nbd/client.ts';
import { startNbdkit } from '../../../../adapters/nbd/nbdkit.ts';
import type { NbdkitProcess, StartNbdkit } from '../../../../adapters/nbd/port.ts';
import type { Baseline, DiskId, DiskReader, Extent, Machine, Session, Snapshot } from '../../../../core/contract/index.ts';
import { makeVddkStandin, type StandinDisk, VDDK_STANDIN } from '../../../support/nbdkit-vddk-standin.ts';
import { Folder, needTools } from '../../adapters/nbd/servers.ts';
import { callOf, disk, errorOf, Ground, MIB, PASSWORD, snapshotSource } from './ground.ts';

const THUMBPRINT = 'B2:31:BD:DE:9F:DB:9D:E0:78:EF:30:42:8A:41:B0:28:92:93:C8:DD';

/** The plugin with an nbdkit that serves what the simulated vCenter has, as a host would by VDDK. */
class Site implements AsyncDisposable {
  readonly folder = new Folder();
  readonly started: NbdkitProcess[] = [];
  readonly #disks: StandinDisk[] = [];
  ground!: Ground;
  session!: Session;
  machine!: Machine;

  static async create({ password = PASSWORD } = {}): Promise<Site> {
    const site = new Site();
    const start: StartNbdkit = async (spec, options) => {
      const process = await startNbdkit(spec, options);
      site.started.push(process);
      return process;
    };
    site.#serve(password);
    site.ground = await Ground.create({
      machines: [{ name: 'web', disks: [disk(), disk(2 * MIB)], writesPerSecond: 0 }],
      config: { vddk: site.folder.file('vddk'), nbdkit: site.#noting() },
      nbd: { startNbdkit: start, openNbd },
      scratchDir: site.folder.file('scratch'),
      thumbprintSha1: THUMBPRINT,
    });
    site.session = await site.ground.connect();
    site.machine = await site.ground.machine(site.session, 'web');
    return site;
  }

  #serve(password = PASSWORD): void {
    makeVddkStandin(this.folder.file('vddk'), { password, thumbprint: THUMBPRINT, disks: this.#disks });
  }

  /** Notes what it is given, and is the stand-in then. */
  #noting(): string {
    const path = this.folder.file('nbdkit');
    writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$@" > '${this.folder.file('argv')}'\nexec '${VDDK_STANDIN}' "$@"\n`, { mode: 0o755 });
    return path;
  }

  /** A snapshot, and its disks at the host under their names. */
  async snapshot(since: ReadonlyMap<DiskId, Baseline> = new Map()): Promise<Snapshot> {
    const source = snapshotSource(this.session);
    const snapshot = await source.createSnapshot([this.machine.id], { consistency: 'crash', orElse: 'crash', since }, callOf());
    const [record] = this.ground.record(this.machine.id).snapshots;
    for (const { disk: id } of snapshot.disks) {
      const raw = this.folder.fresh('raw');
      await this.ground.estate.control.call('lab.exportDisk', {
        of: { snapshot: snapshot.id, machine: this.machine.id },
        disk: id,
        path: raw,
      });
      const device = record!.config.devices.find(({ backing }) => (backing as { uuid?: string } | undefined)?.uuid === id);
      this.#disks.push({ path: (device!.backing as { fileName: string }).fileName, snapshotMoref: snapshot.id, raw });
    }
    this.#serve();
    return snapshot;
  }

  open(snapshot: Snapshot, index = 0): Promise<DiskReader> {
    return snapshotSource(this.session).openReader(snapshot.id, this.machine.spec.disks[index]!.id, callOf());
  }

  async content(index: number): Promise<Uint8Array> {
    const { id, sizeBytes } = this.machine.spec.disks[index]!;
    return this.ground.read(this.machine.id, id, 0, sizeBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ground[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

const readInto = async (reader: DiskReader, copy: Uint8Array, extents: readonly Extent[]): Promise<void> => {
  for (const { offset, length } of extents) {
    for (let at = offset; at < offset + length; at += reader.maxRequestBytes) {
      const end = Math.min(offset + length, at + reader.maxRequestBytes);
      await reader.read(at, copy.subarray(at, end), callOf());
    }
  }
};

describe('disks by NBD from nbdkit with VDDK', function () {
  this.timeout(20_000);
  before(function () {
    needTools(this, 'nbdkit');
  });

  it('are read as they were at the snapshot, cycle after cycle, byte for byte', async () => {
    await using site = await Site.create();
    const { ground, session, machine } = site;
    const source = snapshotSource(session);
    await source.enableTracking(machine.id, callOf());
    const copies = machine.spec.disks.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
    let since = new Map<DiskId, Baseline>();
    for (let cycle = 0; cycle < 3; cycle++) {
      const expected = [await site.content(0), await site.content(1)];
      const snapshot = await site.snapshot(since);
      await ground.write(machine.id, machine.spec.disks[0]!.id, cycle * 65_536, Buffer.alloc(4096, cycle + 1));
      await ground.write(machine.id, machine.spec.disks[1]!.id, MIB + cycle * 512, Buffer.alloc(512, cycle + 1));
      for (const [index, { id, sizeBytes }] of machine.spec.disks.entries()) {
        const extents =
          cycle === 0 ? [{ offset: 0, length: sizeBytes }] : await Array.fromAsync(source.changedExtents(snapshot.id, id, 0, callOf()));
        if (cycle > 0) expect(extents.reduce((sum, { length }) => sum + length, 0)).to.be.within(1, sizeBytes / 2);
        await using reader = await site.open(snapshot, index);
        await readInto(reader, copies[index]!, extents);
        expect(Buffer.compare(copies[index]!, expected[index]!), `disk ${index} in cycle ${cycle}`).to.equal(0);
      }
      since = new Map(snapshot.disks.map((row) => [row.disk, row.baseline!]));
      await source.releaseSnapshot(snapshot.id, 'sealed', callOf());
    }
    expect(site.started).to.have.length(6);
    for (const { ended } of site.started) await ended;
  });

  it('are the way that is told for an endpoint with VDDK, with its limits', async () => {
    await using site = await Site.create();

    const [path] = (await site.session.inventory.checkProtectable(site.machine.id, 'source', callOf())).filter(
      ({ code }) => code === 'DATA_PATH',
    );

    expect(path!.message).to.match(/^disks are read by NBD .*48 requests.*\(the best way that the endpoint has\)$/);
  });

  it('are refused with the reason where the host takes another password, which is nowhere to be seen', async () => {
    await using site = await Site.create();
    const snapshot = await site.snapshot();
    makeVddkStandin(site.folder.file('vddk'), { password: 'another', thumbprint: THUMBPRINT, disks: [] });

    const error = await errorOf(site.open(snapshot));

    expect(error.code).to.equal('AUTH_REJECTED');
    expect(JSON.stringify([error.message, error.hint, error.context, String(error.cause)])).not.to.include(PASSWORD);
    for (const { ended } of site.started) await ended;
  });

  it('never show the password to other users of this machine', async () => {
    await using site = await Site.create();
    await using reader = await site.open(await site.snapshot());
    const [{ pid }] = site.started as [NbdkitProcess];

    const seen = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1'));
    const given = readFileSync(site.folder.file('argv'), 'utf8');

    expect(given).to.include(site.machine.id).and.to.include('vddk');
    expect([...seen, given].join('\n')).not.to.include(PASSWORD);
    await reader.read(0, new Uint8Array(512), callOf());
  });

  it('whose nbdkit dies in the middle of a read are lost so that they are opened again, and what is read then is right', async () => {
    await using site = await Site.create();
    const snapshot = await site.snapshot();
    const expected = await site.content(0);
    const reader = await site.open(snapshot);
    const [{ pid, ended }] = site.started as [NbdkitProcess];
    const into = new Uint8Array(MIB);
    process.kill(pid, 'SIGSTOP');
    const reading = errorOf(reader.read(0, into, callOf()));
    process.kill(pid, 'SIGKILL');

    const error = await reading;

    expect(error.code).to.equal('CONNECTION_LOST');
    expect(error.retry).to.equal('reconnect');
    await ended;
    await reader[Symbol.asyncDispose]();
    await using again = await site.open(snapshot);
    await again.read(0, into, callOf());
    expect(Buffer.compare(into, expected)).to.equal(0);
    await snapshotSource(site.session).releaseSnapshot(snapshot.id, 'abandoned', callOf());
    expect(await site.ground.leftovers()).to.deep.equal([]);
  });

  it('are let go before the snapshot is removed, and with the session', async () => {
    await using site = await Site.create();
    const snapshot = await site.snapshot();
    await site.open(snapshot, 0);
    await site.open(snapshot, 1);

    await snapshotSource(site.session).releaseSnapshot(snapshot.id, 'abandoned', callOf());

    for (const { ended } of site.started) expect((await ended).signal).to.equal(null);
    const next = await site.snapshot();
    await site.open(next);
    await site.session[Symbol.asyncDispose]();
    await site.started[2]!.ended;
  });

  it('that the host has smaller than the inventory says are not read as if they were whole', async () => {
    await using site = await Site.create();
    const snapshot = await site.snapshot();
    const [first] = site.machine.spec.disks;
    const small = site.folder.file('small');
    writeFileSync(small, new Uint8Array(MIB / 2));
    const device = site.ground
      .record(site.machine.id)
      .snapshots[0]!.config.devices.find(({ backing }) => (backing as { uuid?: string } | undefined)?.uuid === first!.id);
    const path = (device!.backing as { fileName: string }).fileName;
    makeVddkStandin(site.folder.file('vddk'), {
      password: PASSWORD,
      thumbprint: THUMBPRINT,
      disks: [{ path, snapshotMoref: snapshot.id, raw: small }],
    });

    expect((await errorOf(site.open(snapshot))).code).to.equal('DISK_CHANGED');
    for (const { ended } of site.started) await ended;
  });
});
