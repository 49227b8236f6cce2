// Order and patience, over a file whose calls end when the test says so.
import type { FileHandle } from 'node:fs/promises';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { OpenDevice } from '../../../../adapters/block/device.ts';

const MiB = 1 << 20;

class SlowFile {
  readonly begun: string[] = [];
  readonly #ends: ((error?: Error) => void)[] = [];

  /** Ends the oldest call that has not ended. */
  end(error?: Error): void {
    this.#ends.shift()!(error);
  }

  read(_: Uint8Array, __: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return this.#call(`read ${position}`, { bytesRead: length });
  }

  write(data: Uint8Array, at: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    // In two parts, as a kernel may.
    const bytesWritten = Math.min(length, 768 * 1024);
    return this.#call(`write ${position} of ${data[at]}`, { bytesWritten });
  }

  close(): Promise<void> {
    this.begun.push('close');
    return Promise.resolve();
  }

  #call<T>(what: string, result: T): Promise<T> {
    this.begun.push(what);
    return new Promise((resolve, reject) => this.#ends.push((error) => (error ? reject(error) : resolve(result))));
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const open = (): { file: SlowFile; device: OpenDevice } => {
  const file = new SlowFile();
  const geometry = { path: '/dev/sdx', sizeBytes: 16 * MiB, logicalSectorBytes: 512 };
  return { file, device: new OpenDevice(file as unknown as FileHandle, geometry, true) };
};

const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: Error) => error.message,
  );

describe('an open block device', () => {
  it('lets no aborted write land on top of a later one', async () => {
    const { file, device } = open();
    const controller = new AbortController();

    const first = reasonOf(device.write(0, new Uint8Array(512).fill(1), { signal: controller.signal }));
    await settled();
    controller.abort(new Error('enough'));
    expect(await first).to.equal('enough');
    const second = device.write(0, new Uint8Array(512).fill(2));
    await settled();
    expect(file.begun).to.deep.equal(['write 0 of 1']);
    file.end();
    await settled();
    file.end();
    await second;

    expect(file.begun).to.deep.equal(['write 0 of 1', 'write 0 of 2']);
  });

  it('closes only when the kernel has done what it was asked for', async () => {
    const { file, device } = open();
    const controller = new AbortController();
    const write = reasonOf(device.write(0, new Uint8Array(512).fill(1), { signal: controller.signal }));
    await settled();
    controller.abort(new Error('enough'));
    await write;

    const closing = device[Symbol.asyncDispose]();
    await settled();
    expect(file.begun).to.deep.equal(['write 0 of 1']);
    file.end();
    await closing;

    expect(file.begun).to.deep.equal(['write 0 of 1', 'close']);
  });

  it('goes on after a part, and says what failed where', async () => {
    const { file, device } = open();

    const writing = device.write(MiB, new Uint8Array(MiB).fill(7)).catch((error: unknown) => error);
    await settled();
    file.end();
    await settled();
    expect(file.begun).to.deep.equal([`write ${MiB} of 7`, `write ${MiB + 768 * 1024} of 7`]);
    file.end(Object.assign(new Error('i/o error'), { code: 'EIO' }));

    expect(await writing).to.include({ code: 'CONNECTION_LOST', message: 'write on /dev/sdx failed with EIO' });
  });

  it('has no more calls with the kernel than it says, and drops one that is aborted before its turn', async () => {
    const { file, device } = open();
    const controller = new AbortController();
    const reads = Array.from({ length: device.maxInFlight }, (_, index) => device.read(index * 512, new Uint8Array(512)));
    const dropped = reasonOf(device.read(4096, new Uint8Array(512), { signal: controller.signal }));
    const last = device.read(8192, new Uint8Array(512));
    await settled();
    expect(file.begun).to.deep.equal(['read 0', 'read 512', 'read 1024', 'read 1536']);

    controller.abort(new Error('enough'));
    expect(await dropped).to.equal('enough');
    file.end();
    await settled();

    expect(file.begun.slice(4)).to.deep.equal(['read 8192']);
    for (let calls = 0; calls < 4; calls++) file.end();
    await Promise.all([...reads, last]);
  });
});
