import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { WireAnswer, WireRequest } from '../../../../adapters/vsphere/port.ts';
import type { DiskReader, Machine, Session } from '../../../../core/contract/index.ts';
import { callOf, disk, errorOf, Ground, MIB, snapshotSource } from './ground.ts';

const COLD = [{ name: 'cold', disks: [disk()], power: 'off' as const, writesPerSecond: 0 }];
type OnWire = (request: WireRequest) => WireAnswer | undefined;

interface Reading extends AsyncDisposable {
  readonly ground: Ground;
  readonly session: Session;
  readonly machine: Machine;
  readonly reader: DiskReader;
}

const reading = async (onWire?: OnWire): Promise<Reading> => {
  const ground = await Ground.create({ machines: COLD, config: { dataPath: 'https' }, ...(onWire ? { onWire } : {}) });
  const session = await ground.connect();
  const machine = await ground.machine(session, 'cold');
  const source = snapshotSource(session);
  const snapshot = await source.createSnapshot([machine.id], { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());
  const reader = await source.openReader(snapshot.id, machine.spec.disks[0]!.id, callOf());
  return { ground, session, machine, reader, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
};

const given = (status: number, headers: Record<string, string>, bytes: number, onReturn?: () => void): WireAnswer => {
  let at = 0;
  const body: AsyncIterableIterator<Uint8Array> = {
    next: async () => {
      const length = Math.min(4096, bytes - at);
      at += length;
      return length > 0 ? { done: false, value: new Uint8Array(length).fill(7) } : { done: true, value: undefined };
    },
    return: async () => {
      onReturn?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => body,
  };
  return { status, headers, setCookies: [], body };
};
const isFile = ({ url }: WireRequest): boolean => url.startsWith('/folder/');

describe('disks by HTTPS', () => {
  it('of a machine that is off are read byte for byte, in ranges', async () => {
    await using made = await reading();
    const { ground, machine, reader } = made;
    const content = await ground.read(machine.id, machine.spec.disks[0]!.id, 0, MIB);

    const into = new Uint8Array(MIB);
    for (let at = 0; at < MIB; at += 65_536) await reader.read(at, into.subarray(at, at + 65_536), callOf());

    expect(Buffer.compare(into, content)).to.equal(0);
  });

  it('of a machine that runs are refused, with the ways that can', async () => {
    await using ground = await Ground.create({ config: { dataPath: 'https' } });
    const session = await ground.connect();
    const { id, spec } = await ground.machine(session, 'web');
    const source = snapshotSource(session);
    const snapshot = await source.createSnapshot([id], { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());

    const error = await errorOf(source.openReader(snapshot.id, spec.disks[0]!.id, callOf()));

    expect(error.code).to.equal('FILE_LOCKED');
    expect(error.hint).to.match(/HotAdd.*NBD/);
  });

  it('are not taken from a server that ignores the range, whose answer is given up', async () => {
    let givenUp = 0;
    await using made = await reading((request) => (isFile(request) ? given(200, {}, MIB, () => givenUp++) : undefined));

    const into = new Uint8Array(4096);
    const error = await errorOf(made.reader.read(65_536, into, callOf()));

    expect(error.code).to.equal('PROTOCOL_ERROR');
    expect(error.message).to.include('HTTP 200');
    expect(into.every((byte) => byte === 0)).to.equal(true);
    expect(givenUp).to.equal(1);
  });

  for (const [what, answer, code] of [
    ['another range', given(206, { 'content-range': 'bytes 0-4095/1048576' }, 4096), 'PROTOCOL_ERROR'],
    ['fewer bytes', given(206, { 'content-range': 'bytes 65536-69631/1048576' }, 100), 'CONNECTION_LOST'],
    ['more bytes', given(206, { 'content-range': 'bytes 65536-69631/1048576' }, 8192), 'PROTOCOL_ERROR'],
    ['404', given(404, {}, 0), 'SNAPSHOT_GONE'],
    ['403', given(403, {}, 0), 'PERMISSION_DENIED'],
    ['500', given(500, {}, 0), 'FILE_LOCKED'],
  ] as const) {
    it(`are ${code} with an answer of ${what}`, async () => {
      await using made = await reading((request) => (isFile(request) ? answer : undefined));

      expect((await errorOf(made.reader.read(65_536, new Uint8Array(4096), callOf()))).code).to.equal(code);
    });
  }

  it('that lie on a snapshot of somebody else are refused with the reason: this way reads whole files only', async () => {
    await using ground = await Ground.create({ machines: COLD, config: { dataPath: 'https' } });
    const session = await ground.connect();
    const { id, spec } = await ground.machine(session, 'cold');
    const vim = await ground.vim();
    await vim.task('CreateSnapshot_Task', { type: 'VirtualMachine', value: id }, { name: 'mine', memory: false, quiesce: false });
    const source = snapshotSource(session);
    const snapshot = await source.createSnapshot([id], { consistency: 'crash', orElse: 'crash', since: new Map() }, callOf());

    const error = await errorOf(source.openReader(snapshot.id, spec.disks[0]!.id, callOf()));

    expect(error.code).to.equal('CAPABILITY_MISSING');
    expect(error.message).to.include('snapshot of somebody else');
  });

  it('are asked for below the whole path of their datacenter, as vCenter writes it', async () => {
    const urls: string[] = [];
    await using made = await reading((request) => {
      if (isFile(request)) urls.push(request.url);
      return undefined;
    });
    await made.reader.read(0, new Uint8Array(512), callOf());

    const query = new URL(urls[0]!, 'https://x').searchParams;
    expect(query.get('dcPath')).to.equal('Datacenter');
    expect(query.get('dsName')).to.equal('store');
  });

  it('are not asked for out of bounds or between sectors', async () => {
    await using made = await reading();
    for (const [offset, length] of [
      [MIB, 512],
      [-512, 512],
      [100, 512],
      [0, 100],
    ] as const)
      expect((await errorOf(made.reader.read(offset, new Uint8Array(length), callOf()))).code).to.equal('CONTRACT_VIOLATED');
  });
});
