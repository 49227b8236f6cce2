// How fast an agent is, in MiB/s.
import { open } from 'node:fs/promises';
import type { Agent } from '../../../../adapters/agent/port.ts';
import { MiB, random } from './agents.ts';

const timed = async (bytes: number, work: () => Promise<void>): Promise<number> => {
  const began = performance.now();
  await work();
  return Math.round(bytes / MiB / ((performance.now() - began) / 1000));
};

/** Read by nobody but this process. */
export const measurePlain = (path: string, size: number): Promise<number> =>
  timed(size, async () => {
    await using file = await open(path, 'r');
    const buffer = new Uint8Array(MiB);
    for (let at = 0; at < size; at += MiB) await file.read(buffer, 0, MiB, at);
  });

/** Of each, over the whole device. */
export const measure = async (agent: Agent, path: string, size: number): Promise<Record<'read' | 'write' | 'digests', number>> => {
  await using device = await agent.openDevice(path, { forWriting: true });
  const buffers = Array.from({ length: 16 }, (_, index) => random(MiB, index + 1));
  const inTurns = (what: (offset: number, buffer: Uint8Array) => Promise<void>): Promise<number> =>
    timed(size, async () => {
      let next = 0;
      const lane = async (buffer: Uint8Array): Promise<void> => {
        while (next < size) {
          const offset = next;
          next += MiB;
          await what(offset, buffer);
        }
      };
      await Promise.all(buffers.map(lane));
    });
  const read = await inTurns((offset, buffer) => device.read(offset, buffer));
  const write = await inTurns((offset, buffer) => device.write(offset, buffer));
  const digests = await timed(size, async () => {
    let blocks = 0;
    for await (const { sha256 } of device.digests(MiB, 0)) blocks += sha256.length / 32;
    if (blocks !== size / MiB) throw new Error(`${blocks} digests of ${size / MiB} blocks`);
  });
  return { read, write, digests };
};
