// The client: against a real session over files, and against agents that lie, stall or go.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { greetAgent } from '../../../../adapters/agent/client.ts';
import type { Agent } from '../../../../adapters/agent/port.ts';
import { allOf, codeOf, equal, errorOf, Folder, LocalAgent, MiB, random, until } from './agents.ts';
import { fakeAgent, GatedDevice, HELLO, type Heard, OPENED, type Peer } from './fakes.ts';

const greet = (wire: ReturnType<typeof fakeAgent>['wire'], deadlineMs = 5000): Promise<Agent> =>
  greetAgent({ name: 'there', input: wire, output: wire }, { deadlineMs });

/** An agent that says hello and opens any device, then answers as the test says. */
const openFake = async (answer: (heard: Heard, peer: Peer) => object | undefined): Promise<Agent> => {
  const { wire } = fakeAgent((heard, peer) => {
    if (heard.header['hello'] !== undefined) return HELLO;
    if (heard.header['method'] === 'open') return { id: heard.header['id'], result: OPENED };
    return answer(heard, peer);
  });
  return greet(wire);
};

describe('the client of an agent', () => {
  it('has many requests under way, and keeps them apart', async () => {
    using folder = new Folder();
    const content = random(8 * MiB);
    const path = folder.file('disk', content);
    await using session = await LocalAgent.over(folder).session();
    await using device = await session.agent.openDevice(path, { forWriting: false });
    const pieces = Array.from({ length: 100 }, (_, index) => ({
      offset: 512 * ((index * 7919) % 8000),
      into: new Uint8Array(512 * (1 + ((index * 131) % 3000))),
    }));

    await Promise.all(pieces.map(({ offset, into }) => device.read(offset, into)));

    expect(pieces.every(({ offset, into }) => equal(into, content.subarray(offset, offset + into.length)))).to.equal(true);
  });

  it('asks for 16 at once and no more, and takes back what is aborted before its turn', async () => {
    const device = new GatedDevice();
    await using session = await LocalAgent.of(device).session();
    await using remote = await session.agent.openDevice('/dev/x', { forWriting: false });
    const stop = new AbortController();

    const reads = Array.from({ length: 40 }, (_, index) => remote.read(index * 512, new Uint8Array(512)));
    const dropped = codeOf(remote.read(4096, new Uint8Array(512), { signal: stop.signal }));
    await until(() => device.reads === 16);
    stop.abort(new Error('enough'));
    expect(await dropped).to.equal('Error: enough');
    device.letPass();
    await Promise.all(reads);

    expect(device.reads).to.equal(40);
  });

  it('refuses what is outside, not in whole sectors, not for writing or closed, without asking', async () => {
    const device = new GatedDevice(MiB, true);
    await using session = await LocalAgent.of(device).session();
    const remote = await session.agent.openDevice('/dev/x', { forWriting: false });

    for (const [offset, length] of [
      [MiB, 512],
      [512, MiB],
      [100, 512],
      [0, 100],
      [-512, 512],
      [Number.NaN, 512],
    ] as const) {
      expect(await codeOf(remote.read(offset, new Uint8Array(length)))).to.equal('INTERNAL');
    }
    expect(await codeOf(remote.write(0, new Uint8Array(512)))).to.equal('INTERNAL');
    expect(await codeOf(remote.writeZeroes(0, 512))).to.equal('INTERNAL');
    expect(await codeOf(allOf(remote.digests(100, 0)))).to.equal('INTERNAL');
    expect(await codeOf(allOf(remote.digests(0, 0)))).to.equal('INTERNAL');
    expect(await codeOf(allOf(remote.digests(512, 2 * MiB)))).to.equal('INTERNAL');
    await remote[Symbol.asyncDispose]();
    await remote[Symbol.asyncDispose]();
    expect(await codeOf(remote.read(0, new Uint8Array(512)))).to.equal('INTERNAL');
    expect(device.calls).to.deep.equal([]);
    expect(device.closed).to.equal(1);
  });

  it('cancels at the agent what its caller gives up', async () => {
    const device = new GatedDevice();
    await using session = await LocalAgent.of(device).session();
    await using remote = await session.agent.openDevice('/dev/x', { forWriting: true });
    const stop = new AbortController();
    const write = codeOf(remote.write(0, random(512), { signal: stop.signal }));
    await until(() => device.calls.length === 1);

    stop.abort(new Error('enough'));

    expect(await write).to.equal('Error: enough');
    await until(() => device.calls.includes('write 0 aborted'));
    device.letPass();
  });

  it('sends the bytes of a write as they were, though its caller was told and has changed them', async () => {
    const heard: Uint8Array[] = [];
    const agent = await openFake(({ header, tail }) => {
      if (header['method'] === 'write') heard.push(tail);
      return undefined;
    });
    const device = await agent.openDevice('/dev/x', { forWriting: true });
    const stop = new AbortController();
    const data = Buffer.alloc(MiB, 1);

    const write = codeOf(device.write(0, data, { signal: stop.signal }));
    await Promise.resolve();
    stop.abort(new Error('enough'));
    await write;
    data.fill(2);
    await until(() => heard.length === 1);

    expect(heard[0]!.every((byte) => byte === 1)).to.equal(true);
  });

  it('lets no aborted write land on a later one, nor after the device is closed', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(MiB));
    const local = LocalAgent.over(folder);
    for (let round = 0; round < 20; round++) {
      await using session = await local.session();
      const device = await session.agent.openDevice(path, { forWriting: true });
      const stop = new AbortController();
      const early = codeOf(device.write(0, new Uint8Array(MiB).fill(1), { signal: stop.signal }));
      if (round % 2) await new Promise((resolve) => setImmediate(resolve));
      stop.abort(new Error('enough'));
      await early;
      await device.write(0, new Uint8Array(MiB).fill(2));
      await device[Symbol.asyncDispose]();

      expect(readFileSync(path).every((byte) => byte === 2)).to.equal(true);
    }
  });

  it('closes a device that the agent had opened before it heard that nobody waits', async () => {
    const heard: unknown[] = [];
    const { wire, peer } = fakeAgent(({ header }) => {
      heard.push(header['method']);
      if (header['hello'] !== undefined) return HELLO;
      return header['method'] === 'close' ? { id: header['id'], result: {} } : undefined;
    });
    const agent = await greet(wire);

    const code = await codeOf(agent.openDevice('/dev/x', { forWriting: true, deadlineMs: 20 }));
    peer.say({ id: 1, result: OPENED });
    await until(() => heard.includes('close'));

    expect(code).to.equal('TIMED_OUT');
    wire.destroy();
  });

  it('closes a device that was opened too late for its caller', async () => {
    const device = new GatedDevice();
    const opening = Promise.withResolvers<GatedDevice>();
    await using session = await new LocalAgent(() => opening.promise).session();

    const code = await codeOf(session.agent.openDevice('/dev/x', { forWriting: true, deadlineMs: 20 }));
    opening.resolve(device);
    await until(() => device.closed === 1);

    expect(code).to.equal('TIMED_OUT');
  });
});

describe('the client of what is no agent', () => {
  const says = (what: string | object | undefined): ReturnType<typeof fakeAgent>['wire'] => {
    const { wire, peer } = fakeAgent(() => undefined);
    if (typeof what === 'string') peer.wire.write(Buffer.from(what, 'latin1'));
    else if (what) peer.say(what);
    return wire;
  };
  const others: readonly { readonly what: string; readonly said: string | object | undefined; readonly code: string }[] = [
    { what: 'speaks HTTP', said: 'HTTP/1.1 400 Bad Request\r\n\r\n', code: 'PROTOCOL_ERROR' },
    { what: 'prints the greeting of a shell', said: 'Last login: Thu Nov 26 on pts/0\r\n', code: 'PROTOCOL_ERROR' },
    { what: 'begins a frame without end', said: '\xff\x0f\x00\x00\x00\x00\x00\x00{', code: 'TIMED_OUT' },
    { what: 'says nothing', said: undefined, code: 'TIMED_OUT' },
    { what: 'says hello as another', said: { ...HELLO, hello: 'warmsite-lab' }, code: 'PROTOCOL_ERROR' },
    { what: 'names no platform', said: { ...HELLO, platform: 'beos' }, code: 'PROTOCOL_ERROR' },
    { what: 'names no protocol', said: { ...HELLO, protocol: '1' }, code: 'PROTOCOL_ERROR' },
    { what: 'refuses it', said: { error: { code: 'AUTH_REJECTED', message: 'no' } }, code: 'AUTH_REJECTED' },
  ];
  for (const { what, said, code } of others) {
    it(`gives ${code} for one that ${what}, within the deadline`, async () => {
      const wire = says(said);

      expect(await codeOf(greet(wire, 300))).to.equal(code);
      expect(wire.destroyed).to.equal(true);
    });
  }

  it('says so when the other end hangs up before a word', async () => {
    const { wire, peer } = fakeAgent(() => undefined);
    peer.wire.end();

    const error = await errorOf(greet(wire));

    expect(error).to.include({ code: 'CONNECTION_LOST' });
    expect(error).to.have.property('hint').that.includes('Node 24');
  });

  it('asks a newer agent for the protocol that it knows', async () => {
    const { wire } = fakeAgent(() => ({ ...HELLO, protocol: 7 }));
    await using agent = await greet(wire);

    expect(agent.info).to.deep.equal({ protocol: 1, version: '9.9', platform: 'linux', hostname: 'there' });
    wire.destroy();
  });
});

describe('the client of an agent that lies', () => {
  const id = ({ header }: Heard): unknown => header['id'];
  const lies: readonly { readonly what: string; readonly answer: (heard: Heard, peer: Peer) => object | undefined }[] = [
    { what: 'answers a read with too little', answer: (heard, peer) => void peer.say({ id: id(heard), result: {} }, new Uint8Array(100)) },
    { what: 'answers a read with too much', answer: (heard, peer) => void peer.say({ id: id(heard), result: {} }, new Uint8Array(1024)) },
    { what: 'answers what was not asked', answer: () => ({ id: 77, result: {} }) },
    {
      what: 'answers twice',
      answer: (heard, peer) => {
        for (const tail of [new Uint8Array(512), new Uint8Array(512)]) peer.say({ id: id(heard), result: {} }, tail);
        return undefined;
      },
    },
    { what: 'answers with no object', answer: (heard) => ({ id: id(heard), result: 5 }) },
    { what: 'answers with an error that is none', answer: (heard) => ({ id: id(heard), error: 'no' }) },
    { what: 'announces 4 GiB', answer: (_, peer) => void peer.wire.write(Buffer.from('02000000ffffffff7b7d', 'hex')) },
  ];
  for (const { what, answer } of lies) {
    it(`trusts nothing more of one that ${what}`, async () => {
      const agent = await openFake(answer);
      const device = await agent.openDevice('/dev/x', { forWriting: false });

      await errorOf(device.read(0, new Uint8Array(512)));
      await until(() => agent.lost.aborted);

      expect(agent.lost.reason).to.include({ code: 'PROTOCOL_ERROR' });
      expect(await codeOf(device.read(0, new Uint8Array(512)))).to.equal('PROTOCOL_ERROR');
    });
  }

  for (const wrong of [
    { sizeBytes: -1 },
    { sizeBytes: 1.5 },
    { sizeBytes: '4096' },
    { logicalSectorBytes: 0 },
    { logicalSectorBytes: 1000 },
    { logicalSectorBytes: 2 ** 40 },
    { maxRequestBytes: 0 },
    { maxRequestBytes: 700 },
    { maxInFlight: 0 },
    { device: null },
  ]) {
    it(`takes no device with ${JSON.stringify(wrong)}`, async () => {
      const { wire } = fakeAgent((heard) =>
        heard.header['hello'] === undefined ? { id: id(heard), result: { ...OPENED, ...wrong } } : HELLO,
      );
      const agent = await greet(wire);

      expect(await codeOf(agent.openDevice('/dev/x', { forWriting: false }))).to.equal('PROTOCOL_ERROR');
      expect(agent.lost.aborted).to.equal(true);
    });
  }

  it('is held to the bounds of this side where it names larger ones', async () => {
    const { wire } = fakeAgent((heard) =>
      heard.header['hello'] === undefined
        ? { id: id(heard), result: { ...OPENED, maxRequestBytes: 2 ** 40, maxInFlight: 2 ** 40 } }
        : HELLO,
    );
    const agent = await greet(wire);

    expect(await agent.openDevice('/dev/x', { forWriting: false })).to.include({ maxRequestBytes: MiB, maxInFlight: 16 });
    wire.destroy();
  });

  it('gives the caller its errors, and goes on', async () => {
    const agent = await openFake((heard) => ({
      id: id(heard),
      error: { code: 'TARGET_FULL', message: 'no room', context: { offset: 0 } },
    }));
    const device = await agent.openDevice('/dev/x', { forWriting: true });

    expect(await errorOf(device.write(0, new Uint8Array(512)))).to.include({ code: 'TARGET_FULL', message: 'no room' });
    expect(agent.lost.aborted).to.equal(false);
  });
});

describe('the client of an agent that goes', () => {
  it('counts one as lost that is silent, though the wire stands', async () => {
    const { wire } = fakeAgent((heard) => (heard.header['hello'] === undefined ? undefined : HELLO));
    const agent = await greetAgent({ name: 'there', input: wire, output: wire }, {}, { silenceMs: 50, pingMs: 10 });

    const code = await codeOf(agent.openDevice('/dev/x', { forWriting: false }));

    expect(code).to.equal('CONNECTION_LOST');
    expect(agent.lost.reason).to.have.property('message').that.includes('silent');
  });

  it('is told by the end of its process too, where the channel stays open', async () => {
    const { wire } = fakeAgent((heard) => (heard.header['hello'] === undefined ? undefined : HELLO));
    const ended = Promise.withResolvers<void>();
    const agent = await greetAgent({ name: 'there', input: wire, output: wire, ended: ended.promise }, {});
    const opening = codeOf(agent.openDevice('/dev/x', { forWriting: false }));

    ended.resolve();

    expect(await opening).to.equal('CONNECTION_LOST');
    expect(agent.lost.aborted).to.equal(true);
  });

  it('is told at once of everything that it closes itself', async () => {
    const device = new GatedDevice();
    const session = await LocalAgent.of(device).session();
    const remote = await session.agent.openDevice('/dev/x', { forWriting: true });
    const flush = codeOf(remote.flush());
    await until(() => device.calls.length === 1);

    await session.agent[Symbol.asyncDispose]();

    expect(await flush).to.equal('CONNECTION_LOST');
    expect(device.closed).to.equal(1);
    expect(await codeOf(session.agent.openDevice('/dev/x', { forWriting: true }))).to.equal('CONNECTION_LOST');
  });
});
