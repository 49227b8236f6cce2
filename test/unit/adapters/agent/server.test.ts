// What the agent does to clients that are none, lie, are greedy, or have gone.

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { encodeFrame } from '../../../../adapters/agent/frames.ts';
import { METHODS } from '../../../../adapters/agent/wire.ts';
import { codeOf, errorOf, Folder, LocalAgent, MiB, random, until } from './agents.ts';
import { GatedDevice, type Heard, Peer } from './fakes.ts';

const GREETING = { hello: 'warmsite-agent', protocol: 1, version: '0' };

const agentOf = (...devices: readonly GatedDevice[]): LocalAgent => {
  let next = 0;
  return new LocalAgent(() => Promise.resolve(devices[next++ % devices.length]!));
};

/** A client that has said hello and has a device open, and sends what it likes. */
const rogue = async (agent: LocalAgent): Promise<Peer & { readonly served: Promise<unknown> }> => {
  const { wire, served } = agent.connect();
  const peer = Object.assign(new Peer(wire), { served });
  peer.say(GREETING);
  peer.say({ id: 1, method: 'open', path: '/dev/x', forWriting: true });
  await until(() => peer.heard.length === 2);
  return peer;
};

const answerTo = async (peer: Peer, id: number): Promise<Heard> => {
  const find = (): Heard | undefined => peer.heard.find(({ header }) => header['id'] === id);
  await until(() => find() !== undefined);
  return find()!;
};

const errorCode = ({ header }: Heard): unknown => (header['error'] as { code?: string } | undefined)?.code;

describe('an agent against what is no client', () => {
  const strangers: readonly { readonly what: string; readonly says: string | object }[] = [
    { what: 'speaks HTTP', says: 'GET / HTTP/1.1\r\n\r\n' },
    { what: 'speaks SSH', says: 'SSH-2.0-OpenSSH_9.6\r\n' },
    { what: 'announces a hello without end', says: '\xff\xff\x00\x00\x00\x00\x00\x00{' },
    { what: 'announces data in its hello', says: '\x02\x00\x00\x00\x01\x00\x00\x00{}' },
    { what: 'says hello as somebody else', says: { hello: 'warmsite-lab', protocol: 1 } },
    { what: 'names no protocol', says: { hello: 'warmsite-agent' } },
    { what: 'names protocol 0', says: { hello: 'warmsite-agent', protocol: 0 } },
    { what: 'says an array', says: [1] },
    { what: 'asks before it has said hello', says: { id: 1, method: 'open', path: '/dev/x', forWriting: true } },
  ];
  for (const { what, says } of strangers) {
    it(`ends with one that ${what}, and tells it nothing`, async () => {
      const { wire, served } = agentOf(new GatedDevice()).connect();
      const peer = new Peer(wire);

      if (typeof says === 'string') wire.write(Buffer.from(says, 'latin1'));
      else peer.say(says);

      expect(await served).to.include({ code: 'PROTOCOL_ERROR' });
      expect(peer.heard).to.deep.equal([]);
    });
  }

  it('gives up one that says nothing', async () => {
    const { served } = new LocalAgent(() => Promise.reject(new Error('not asked')), { helloMs: 20 }).connect();

    expect(await served).to.include({ code: 'TIMED_OUT' });
  });

  it('speaks the lower protocol of the two', async () => {
    const { wire } = agentOf(new GatedDevice()).connect();
    const peer = new Peer(wire);

    peer.say({ ...GREETING, protocol: 900 });
    await until(() => peer.heard.length === 1);

    expect(peer.heard[0]!.header).to.include({ hello: 'warmsite-agent', protocol: 1, version: '1.2.3', hostname: 'here' });
    wire.destroy();
  });
});

describe('an agent against a client that breaks the rules', () => {
  it('answers what asks for too much, and serves on', async () => {
    const device = new GatedDevice(64 * MiB, true);
    const peer = await rogue(agentOf(device));
    const greedy: readonly object[] = [
      { method: 'read', device: 1, offset: 0, length: MiB + 512 },
      { method: 'read', device: 1, offset: -512, length: 512 },
      { method: 'read', device: 1, offset: 0.5, length: 512 },
      { method: 'read', device: 1, offset: 0, length: 2 ** 53 },
      { method: 'writeZeroes', device: 1, offset: 0, length: 2 * MiB },
      { method: 'read', device: 2, offset: 0, length: 512 },
      { method: 'read', device: '__proto__', offset: 0, length: 512 },
      { method: 'open', path: 7, forWriting: true },
      { method: 'open', path: '/dev/x', forWriting: 'yes' },
      { method: 'digests', device: 1, offset: 0, blockBytes: 0, count: 1 },
      { method: 'digests', device: 1, offset: 0, blockBytes: 100, count: 1 },
      { method: 'digests', device: 1, offset: 0, blockBytes: 32 * MiB, count: 1 },
      { method: 'digests', device: 1, offset: 0, blockBytes: MiB, count: 17 },
      { method: 'digests', device: 1, offset: 0, blockBytes: 512, count: 5000 },
      { method: 'digests', device: 1, offset: 63 * MiB, blockBytes: MiB, count: 2 },
      { method: 'digests', device: 1, offset: 0, blockBytes: 512, count: 2 ** 40 },
    ];

    for (const [index, request] of greedy.entries()) peer.say({ id: index + 10, ...request });
    const codes = await Promise.all(greedy.map(async (_, index) => errorCode(await answerTo(peer, index + 10))));
    expect(device.calls).to.deep.equal([]);
    peer.say({ id: 99, method: 'read', device: 1, offset: 0, length: 512 });

    expect(new Set(codes)).to.deep.equal(new Set(['PROTOCOL_ERROR']));
    expect((await answerTo(peer, 99)).tail.length).to.equal(512);
    peer.wire.destroy();
  });

  it('has 16 requests of a device under way, and answers the 17th with an error', async () => {
    const device = new GatedDevice();
    const peer = await rogue(agentOf(device));

    for (let id = 10; id < 27; id++) peer.say({ id, method: 'read', device: 1, offset: 0, length: 512 });

    expect(errorCode(await answerTo(peer, 26))).to.equal('PROTOCOL_ERROR');
    expect(device.reads).to.equal(16);
    device.letPass();
    expect((await answerTo(peer, 25)).tail.length).to.equal(512);
    peer.wire.destroy();
  });

  it('opens 64 devices for a session, and no more until one is closed', async () => {
    const devices = Array.from({ length: 64 }, () => new GatedDevice());
    const peer = await rogue(agentOf(...devices));
    for (let id = 2; id <= 65; id++) peer.say({ id, method: 'open', path: '/dev/x', forWriting: true });

    expect(errorCode(await answerTo(peer, 65))).to.equal('HOST_BUSY');
    expect(errorCode(await answerTo(peer, 64))).to.equal(undefined);
    peer.say({ id: 70, method: 'close', device: 1 });
    await answerTo(peer, 70);
    peer.say({ id: 71, method: 'open', path: '/dev/x', forWriting: true });
    expect(errorCode(await answerTo(peer, 71))).to.equal(undefined);

    peer.wire.destroy();
    await peer.served;
    expect(devices.map(({ closed }) => closed)).to.deep.equal([2, ...Array<number>(63).fill(1)]);
  });

  const fatal: readonly { readonly what: string; readonly says: readonly object[] }[] = [
    { what: 'a request without a number', says: [{ method: 'flush', device: 1 }] },
    { what: 'a method that there is not', says: [{ id: 5, method: 'toString', device: 1 }] },
    { what: 'a number that is under way', says: Array(2).fill({ id: 5, method: 'read', device: 1, offset: 0, length: 512 }) },
    { what: 'a header that is no object', says: [[]] },
    { what: 'a header of 64 KiB', says: [{ id: 5, method: 'open', path: '/'.repeat(64 << 10), forWriting: false }] },
  ];
  for (const { what, says } of fatal) {
    it(`ends at ${what}, and closes the devices`, async () => {
      const device = new GatedDevice();
      const peer = await rogue(agentOf(device));

      for (const header of says) peer.say(header);

      expect(await peer.served).to.include({ code: 'PROTOCOL_ERROR' });
      expect(device.closed).to.equal(1);
    });
  }

  it('survives any headers at all: an answer for each, or the end, and every device closed', async () => {
    const value = fc.oneof(
      fc.integer({ min: -2, max: 20 }),
      fc.double(),
      fc.string(),
      fc.constant(null),
      fc.constant(512),
      fc.constant(true),
    );
    const header = fc.record(
      {
        id: value,
        method: fc.oneof(fc.constantFrom(...METHODS), value),
        device: value,
        offset: value,
        length: value,
        blockBytes: value,
        count: value,
        path: value,
        forWriting: value,
        cancel: value,
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(header, { maxLength: 12 }), async (headers) => {
        const devices: GatedDevice[] = [];
        const agent = new LocalAgent(() => {
          devices.push(new GatedDevice(MiB, true));
          return Promise.resolve(devices.at(-1)!);
        });
        const peer = await rogue(agent);
        for (const said of headers) peer.say(said, new Uint8Array(512));
        peer.wire.end();

        const error = await peer.served;

        expect(error === undefined || (error as { code?: string }).code === 'PROTOCOL_ERROR').to.equal(true);
        expect(devices.every(({ closed }) => closed === 1)).to.equal(true);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps little for a client that does not take its answers', async () => {
    const device = new GatedDevice(1024 * MiB, true);
    const { wire, served } = agentOf(device).connect();
    const peer = new Peer(wire);
    peer.say(GREETING);
    peer.say({ id: 1, method: 'open', path: '/dev/x', forWriting: false });
    await until(() => peer.heard.length === 2);

    wire.pause();
    for (let id = 10; id < 100; id++) {
      peer.say({ id, method: 'read', device: 1, offset: 0, length: MiB });
      // One at a time, so that the bound of 16 under way is not what stops it.
      await new Promise((resolve) => setImmediate(resolve));
    }

    expect(device.reads).to.be.greaterThan(3).and.lessThan(24);
    wire.resume();
    await until(() => peer.heard.length === 92);
    wire.destroy();
    await served;
  });
});

describe('an agent whose client has gone', () => {
  it('aborts what is under way, waits for it, and closes the devices', async () => {
    const device = new GatedDevice();
    const peer = await rogue(agentOf(device));
    peer.say({ id: 2, method: 'write', device: 1, offset: 0 }, random(512));
    await until(() => device.calls.length === 1);

    peer.wire.destroy();
    await peer.served;

    expect(device.calls).to.deep.equal(['write 0', 'write 0 aborted']);
    expect(device.closed).to.equal(1);
  });

  it('closes a device that was being opened', async () => {
    const device = new GatedDevice();
    const opening = Promise.withResolvers<GatedDevice>();
    const { wire, served } = new LocalAgent(() => opening.promise).connect();
    const peer = new Peer(wire);
    peer.say(GREETING);
    peer.say({ id: 1, method: 'open', path: '/dev/x', forWriting: true });
    await until(() => peer.heard.length === 1);

    wire.destroy();
    let isOver = false;
    void served.then(() => {
      isOver = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).to.equal(false);
    opening.resolve(device);
    await served;

    expect(device.closed).to.equal(1);
  });

  it('finds out by its silence when nothing else tells', async () => {
    const device = new GatedDevice();
    const { wire, served } = new LocalAgent(() => Promise.resolve(device), { silenceMs: 50 }).connect();
    const peer = new Peer(wire);
    peer.say(GREETING);
    peer.say({ id: 1, method: 'open', path: '/dev/x', forWriting: true });

    expect(await served).to.include({ code: 'CONNECTION_LOST' });
    expect(device.closed).to.equal(1);
  });

  it('keeps one that only pings', async () => {
    await using session = await new LocalAgent(() => Promise.resolve(new GatedDevice()), { silenceMs: 400 }).session({}, { pingMs: 10 });
    const began = performance.now();

    await until(() => performance.now() - began > 1000);

    expect(session.agent.lost.aborted).to.equal(false);
  });

  it('keeps one whose line is so slow that a single request takes its time', async () => {
    const { wire, served } = new LocalAgent(() => Promise.resolve(new GatedDevice()), { silenceMs: 400 }).connect();
    const peer = new Peer(wire);
    peer.say(GREETING);
    const [frame] = encodeFrame({ id: 1, method: 'open', path: '/dev/x', forWriting: false }) as [Uint8Array];
    const began = performance.now();

    for (let at = 0; at < frame.length; at++) {
      wire.write(frame.subarray(at, at + 1));
      await until(() => performance.now() - began > at * 12);
    }
    await until(() => peer.heard.length === 2);

    expect(performance.now() - began).to.be.greaterThan(600);
    wire.destroy();
    expect(await served).to.equal(undefined);
  });

  it('ends with its signal', async () => {
    const stop = new AbortController();
    const device = new GatedDevice();
    const session = await new LocalAgent(() => Promise.resolve(device), { signal: stop.signal }).session();
    const remote = await session.agent.openDevice('/dev/x', { forWriting: true });
    const reading = codeOf(remote.read(0, new Uint8Array(512)));
    await until(() => device.reads === 1);

    stop.abort();

    expect(await session.served).to.equal(undefined);
    expect(await reading).to.equal('CONNECTION_LOST');
    expect(device.closed).to.equal(1);
  });

  it('leaves a disk at rest for the next session', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(MiB));
    const agent = LocalAgent.over(folder);
    const first = await agent.session();
    const device = await first.agent.openDevice(path, { forWriting: true });
    const writes = Array.from({ length: 8 }, () => errorOf(device.write(0, random(MiB, 2))));
    first.wire.destroy();
    await first.served;

    await using second = await agent.session();
    await using again = await second.agent.openDevice(path, { forWriting: true });
    await again.write(0, new Uint8Array(MiB));
    await Promise.all(writes);
    const into = random(MiB, 9);
    await again.read(0, into);

    expect(into.every((byte) => byte === 0)).to.equal(true);
  });
});
