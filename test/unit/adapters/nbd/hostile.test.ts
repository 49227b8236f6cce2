// What no real server does on demand: wrong, late, short, scattered and endless answers.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { NbdExport } from '../../../../adapters/nbd/port.ts';
import {
  type Asked,
  chunk,
  dataChunk,
  FakeServer,
  GREETING,
  optionReply,
  type Peer,
  type Script,
  simpleReply,
  u16,
  u32,
  u64,
} from './fake-server.ts';
import { codeOf, errorOf, Folder, randomBytes, until } from './servers.ts';

const READ = 0;
const WRITE = 1;
const DISCONNECT = 2;

const withServer = async (script: Script, body: (server: FakeServer) => Promise<void>): Promise<void> => {
  using folder = new Folder();
  await using server = await FakeServer.start(folder, script);
  await body(server);
};

const DISK = randomBytes(1 << 20);

const content = (offset: number, length: number): Buffer => Buffer.from(DISK.subarray(offset, offset + length));

describe('NBD client against a server that is not one', () => {
  const handshakes: readonly { readonly what: string; readonly script: Script }[] = [
    { what: 'says something else', script: { greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') } },
    { what: 'speaks the handshake of before 2012', script: { greeting: Buffer.concat([GREETING.subarray(0, 16), u16(0)]) } },
    { what: 'answers another option', script: { options: { 8: optionReply(9, 1) } } },
    { what: 'answers an option with 4 GiB', script: { options: { 8: optionReply(8, 1, Buffer.alloc(0), 0xffffffff) } } },
    { what: 'answers an option for ever', script: { options: { 7: Buffer.concat(Array(70).fill(optionReply(7, 3, u16(9)))) } } },
    { what: 'names a context without a number', script: { options: { 10: optionReply(10, 4, u16(1)) } } },
    { what: 'does not say its size', script: { options: { 7: optionReply(7, 1) } } },
    { what: 'claims 2^63 bytes', script: { sizeBytes: 1n << 63n } },
    { what: 'wants requests of 0 bytes', script: { blockSizes: [0, 0, 0] } },
    { what: 'wants requests of 3 bytes', script: { blockSizes: [3, 3, 3000] } },
    { what: 'wants blocks larger than requests', script: { blockSizes: [4096, 4096, 512] } },
    { what: 'does not know the request for an export', script: { options: { 7: optionReply(7, 0x80000001) } } },
    { what: 'wants TLS', script: { options: { 7: optionReply(7, 0x80000005) } } },
  ];
  for (const { what, script } of handshakes) {
    it(`refuses one that ${what}`, () =>
      withServer(script, async (server) => {
        expect(await codeOf(server.open())).to.equal('PROTOCOL_ERROR');
      }));
  }

  it('says what the server said when it refuses the export', () =>
    withServer({ options: { 7: optionReply(7, 0x80000006, Buffer.from('VixDiskLib_Open: no\nsuch disk')) } }, async (server) => {
      expect(await errorOf(server.open())).to.include({
        code: 'NOT_FOUND',
        message: `the NBD server at ${server.path} refused export "": VixDiskLib_Open: no such disk`,
      });
    }));

  it('gives one up that is silent before the export is ready, or closes', async () => {
    await withServer({ greeting: Buffer.alloc(0) }, async (server) => {
      expect(await codeOf(server.open({ deadlineMs: 50 }))).to.equal('TIMED_OUT');
    });
    await withServer({ options: { 7: Buffer.alloc(0) } }, async (server) => {
      const opening = codeOf(server.open());
      await server[Symbol.asyncDispose]();
      expect(await opening).to.equal('CONNECTION_LOST');
    });
  });
});

describe('NBD client against wrong answers', () => {
  const hole = (handle: bigint, offset: number, bytes: number, done = true): Buffer =>
    chunk(handle, 2, Buffer.concat([u64(offset), u32(bytes)]), { done });
  const reads: readonly { readonly what: string; readonly structured?: boolean; answer(asked: Asked): Buffer }[] = [
    { what: 'something that is no answer', answer: () => Buffer.alloc(64, 0xee) },
    { what: 'an answer to another request', answer: ({ handle }) => simpleReply(handle + 1n, 5) },
    { what: 'an answer to another request, in parts', answer: ({ handle }) => chunk(handle - 1n, 0, Buffer.alloc(0)) },
    { what: 'a second answer', answer: ({ handle }) => Buffer.concat([simpleReply(handle, 5), simpleReply(handle, 5)]) },
    { what: 'a read in one piece where parts were agreed', answer: ({ handle }) => Buffer.concat([simpleReply(handle), content(0, 4096)]) },
    { what: 'parts where one piece was agreed', structured: false, answer: ({ handle }) => dataChunk(handle, 0, content(0, 4096)) },
    { what: 'data before the range', answer: ({ handle }) => dataChunk(handle, 0, content(0, 4096)) },
    { what: 'data behind the range', answer: ({ handle }) => dataChunk(handle, 4096 + 512, content(0, 4096)) },
    { what: 'data of no length', answer: ({ handle }) => dataChunk(handle, 4096, Buffer.alloc(0)) },
    { what: 'data of 4 GiB', answer: ({ handle }) => chunk(handle, 1, u64(4096), { bytes: 0xffffffff }) },
    { what: 'a hole of 4 GiB', answer: ({ handle }) => hole(handle, 4096, 0xffffffff) },
    { what: 'a hole of no length', answer: ({ handle }) => hole(handle, 4096, 0) },
    { what: 'less than all', answer: ({ handle }) => dataChunk(handle, 4096, content(0, 2048)) },
    { what: 'nothing, as success', answer: ({ handle }) => chunk(handle, 0, Buffer.alloc(0)) },
    { what: 'a part of an unknown type', answer: ({ handle }) => chunk(handle, 77, Buffer.alloc(0)) },
    { what: 'an error of 1 GiB', answer: ({ handle }) => chunk(handle, 0x8001, Buffer.alloc(8), { bytes: 1 << 30 }) },
    { what: 'an error without a number', answer: ({ handle }) => chunk(handle, 0x8001, Buffer.alloc(6)) },
    { what: 'extents', answer: ({ handle }) => chunk(handle, 5, Buffer.concat([u32(7), u32(4096), u32(0)])) },
    {
      what: 'one half twice',
      answer: ({ handle }) => Buffer.concat([dataChunk(handle, 4096, content(0, 2048), false), dataChunk(handle, 4096, content(0, 2048))]),
    },
    {
      what: 'overlapping parts',
      answer: ({ handle }) => Buffer.concat([hole(handle, 5120, 2048, false), dataChunk(handle, 4096, content(0, 2048))]),
    },
  ];
  for (const { what, structured = true, answer } of reads) {
    it(`closes on ${what}`, () =>
      withServer({ structured, onRequest: (asked, peer) => peer.send(answer(asked)) }, async (server) => {
        await using nbd = await server.open();

        const first = await codeOf(nbd.read(4096, new Uint8Array(4096)));
        expect(first).to.equal(what === 'a second answer' ? 'CONNECTION_LOST' : 'PROTOCOL_ERROR');
        expect(await codeOf(nbd.flush())).to.equal('PROTOCOL_ERROR');
      }));
  }

  const statuses: readonly { readonly what: string; answer(asked: Asked): Buffer }[] = [
    { what: 'extents of another kind', answer: ({ handle }) => chunk(handle, 5, Buffer.concat([u32(8), u32(4096), u32(0)])) },
    { what: 'an extent of no length', answer: ({ handle }) => chunk(handle, 5, Buffer.concat([u32(7), u32(0), u32(0)])) },
    { what: 'extents smaller than a block', answer: ({ handle }) => chunk(handle, 5, Buffer.concat([u32(7), u32(100), u32(0)])) },
    { what: 'no extents, as success', answer: ({ handle }) => chunk(handle, 0, Buffer.alloc(0)) },
    { what: 'one half of an extent', answer: ({ handle }) => chunk(handle, 5, Buffer.concat([u32(7), u32(4096)])) },
    { what: 'extents of 4 GiB', answer: ({ handle }) => chunk(handle, 5, u32(7), { bytes: 0xfffffffc }) },
    { what: 'a simple answer', answer: ({ handle }) => simpleReply(handle) },
  ];
  for (const { what, answer } of statuses) {
    it(`does not believe ${what}`, () =>
      withServer({ onRequest: (asked, peer) => peer.send(answer(asked)) }, async (server) => {
        await using nbd = await server.open();

        expect(await codeOf(Array.fromAsync(nbd.extents!(0)))).to.equal('PROTOCOL_ERROR');
      }));
  }

  it('fills what came and fails the rest when the connection is cut inside an answer', () =>
    withServer(
      { onRequest: ({ handle }, { socket }) => void socket.end(dataChunk(handle, 0, content(0, 4096)).subarray(0, 2000)) },
      async (server) => {
        await using nbd = await server.open();

        expect(await codeOf(nbd.read(0, new Uint8Array(4096)))).to.equal('CONNECTION_LOST');
      },
    ));

  it('gives up a server that owes an answer and is silent', () =>
    withServer({}, async (server) => {
      await using nbd = await server.open({ silenceMs: 50 });

      const error = await errorOf(nbd.read(0, new Uint8Array(4096)));

      expect(error).to.include({ code: 'CONNECTION_LOST', message: `the NBD server at ${server.path} has been silent for 50 ms` });
    }));
});

describe('NBD client and right answers in odd shapes', () => {
  const answered = async (nbd: NbdExport): Promise<void> => {
    const into = new Uint8Array(8192).fill(0xff);
    await nbd.read(4096, into);
    const expected = content(4096, 8192);
    expected.fill(0, 1024, 2048);
    expect(Buffer.compare(into, expected)).to.equal(0);
  };

  /** Descending parts with a hole in between, then an empty end. */
  const scattered = ({ handle, offset }: Asked): Buffer =>
    Buffer.concat([
      dataChunk(handle, offset + 2048, content(offset + 2048, 6144), false),
      chunk(handle, 2, Buffer.concat([u64(offset + 1024), u32(1024)]), { done: false }),
      dataChunk(handle, offset, content(offset, 1024), false),
      chunk(handle, 0, Buffer.alloc(0)),
    ]);

  it('puts scattered parts and holes where they belong', () =>
    withServer({ onRequest: (asked, peer) => peer.send(scattered(asked)) }, async (server) => {
      await using nbd = await server.open();

      await answered(nbd);
    }));

  it('takes an answer byte by byte', () =>
    withServer(
      {
        onRequest: (asked, { socket }) => {
          const bytes = scattered(asked);
          const send = (at: number): void => {
            const part = at < 100 || at > 7000 ? 1 : 97;
            if (at < bytes.length) socket.write(bytes.subarray(at, at + part), () => setImmediate(send, at + part));
          };
          send(0);
        },
      },
      async (server) => {
        await using nbd = await server.open();

        await answered(nbd);
      },
    ));

  it('has as many requests under way as it may, and takes their answers in any order', () => {
    const waiting: Asked[] = [];
    const onRequest = (asked: Asked, peer: Peer): void => {
      waiting.push(asked);
      if (waiting.length < 8) return;
      for (const { handle, offset, length } of waiting.splice(0).reverse()) peer.send(dataChunk(handle, offset, content(offset, length)));
    };
    return withServer({ onRequest }, async (server) => {
      await using nbd = await server.open({ maxInFlight: 8 });
      const reads = Array.from({ length: 16 }, (_, index) => ({ offset: index * 4096, into: new Uint8Array(4096) }));

      await Promise.all(reads.map(({ offset, into }) => nbd.read(offset, into)));

      expect(reads.every(({ offset, into }) => Buffer.compare(into, content(offset, 4096)) === 0)).to.equal(true);
    });
  });
});

/** What was sent before is with the server when another connection has got its answers. */
const everythingHasCome = (server: FakeServer): Promise<NbdExport> => server.open();

describe('NBD client and aborted requests', () => {
  it('lets no aborted write overtake a later one, and closes only when it is answered', () => {
    const owed: (() => void)[] = [];
    const onRequest = ({ command, handle }: Asked, peer: Peer): void => {
      if (command === WRITE) owed.push(() => peer.send(chunk(handle, 0, Buffer.alloc(0))));
    };
    return withServer({ onRequest }, async (server) => {
      const nbd = await server.open();
      const controller = new AbortController();
      const commands = () => server.requests.map(({ command, data }) => (command === WRITE ? data[0] : `command ${command}`));

      const aborted = codeOf(nbd.write(0, new Uint8Array(512).fill(1), { signal: controller.signal }));
      await until(() => owed.length === 1);
      controller.abort(new Error('enough'));
      expect(await aborted).to.equal('Error: enough');
      const later = codeOf(nbd.write(0, new Uint8Array(512).fill(2)));
      owed.shift()!();
      await until(() => owed.length === 1);
      owed.shift()!();
      expect(await later).to.equal('none');

      const again = new AbortController();
      const last = codeOf(nbd.write(0, new Uint8Array(512).fill(3), { signal: again.signal }));
      await until(() => owed.length === 1);
      again.abort(new Error('enough'));
      await last;
      const closing = nbd[Symbol.asyncDispose]();
      await using _ = await everythingHasCome(server);
      expect(commands()).to.deep.equal([1, 2, 3]);
      owed.shift()!();
      await closing;
      expect(commands()).to.deep.equal([1, 2, 3, `command ${DISCONNECT}`]);
    });
  });

  it('holds a later write back until an aborted one is answered', () => {
    const seen: number[] = [];
    let answerFirst = (): void => undefined;
    const onRequest = ({ command, handle, data, offset, length }: Asked, peer: Peer): void => {
      if (command === READ) peer.send(dataChunk(handle, offset, content(offset, length)));
      if (command !== WRITE) return;
      seen.push(data[0]!);
      const answer = () => peer.send(chunk(handle, 0, Buffer.alloc(0)));
      if (seen.length === 1) answerFirst = answer;
      else answer();
    };
    return withServer({ onRequest }, async (server) => {
      await using nbd = await server.open();
      const controller = new AbortController();
      const first = codeOf(nbd.write(0, new Uint8Array(512).fill(1), { signal: controller.signal }));
      await nbd.read(0, new Uint8Array(512));
      controller.abort();
      await first;

      const second = nbd.write(0, new Uint8Array(512).fill(2));
      await using _ = await everythingHasCome(server);
      expect(seen).to.deep.equal([1]);
      answerFirst();
      await second;

      expect(seen).to.deep.equal([1, 2]);
    });
  });

  it('keeps an aborted write that the server does not take for a second, then gives the connection up', () =>
    withServer({ sizeBytes: 1n << 30n, onRequest: (_, { socket }) => void socket.pause() }, async (server) => {
      await using nbd = await server.open();
      const controller = new AbortController();
      const other = codeOf(nbd.read(0, new Uint8Array(512)));
      const writing = codeOf(nbd.write(0, new Uint8Array(32 << 20), { signal: controller.signal }));
      await until(() => server.requests.length > 0);

      const begin = performance.now();
      controller.abort(new Error('enough'));

      expect(await writing).to.equal('Error: enough');
      expect(performance.now() - begin).to.be.within(0, 5000);
      expect(await other).to.equal('CONNECTION_LOST');
    }));

  it('throws the rest of an aborted answer away without touching the buffer', () => {
    let rest = (): void => undefined;
    const onRequest = ({ handle, offset, length }: Asked, peer: Peer): void => {
      const answer = dataChunk(handle, offset, content(offset, length));
      peer.send(offset > 0 ? answer : answer.subarray(0, 1000));
      if (offset === 0) rest = () => peer.send(answer.subarray(1000));
    };
    return withServer({ onRequest }, async (server) => {
      await using nbd = await server.open();
      const controller = new AbortController();
      const into = new Uint8Array(4096);
      const reading = codeOf(nbd.read(0, into, { signal: controller.signal }));
      await until(() => into.some((byte) => byte !== 0));

      controller.abort(new Error('enough'));
      expect(await reading).to.equal('Error: enough');
      into.fill(0);
      rest();
      const next = new Uint8Array(4096);
      await nbd.read(4096, next);

      expect(Buffer.compare(next, content(4096, 4096))).to.equal(0);
      expect(into.every((byte) => byte === 0)).to.equal(true);
    });
  });
});
