import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { allOf, errorOf, Folder, LocalAgent, MiB, random, until } from './agents.ts';
import { GatedDevice } from './fakes.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('digests', () => {
  it('are those of the blocks, the last of which is short', async () => {
    using folder = new Folder();
    const content = random(40 * MiB + 1536);
    const path = folder.file('disk', content);
    await using session = await LocalAgent.over(folder).session();
    await using device = await session.agent.openDevice(path, { forWriting: false });

    for (const [blockBytes, from] of [
      [MiB, 0],
      [3 * MiB, 512],
      [16 * MiB, 0],
      [4096, 38 * MiB],
      [512, 40 * MiB],
      [MiB, content.length],
    ] as const) {
      const byHand: [number, string][] = [];
      for (let at = from; at < content.length; at += blockBytes) byHand.push([at, sha256(content.subarray(at, at + blockBytes))]);

      expect(await allOf(device.digests(blockBytes, from))).to.deep.equal(byHand);
    }
  });

  for (const how of ['its signal aborts', 'its consumer goes'] as const) {
    it(`stop the reading at the agent when ${how}`, async () => {
      const device = new GatedDevice(4096 * MiB);
      device.passBelow = 16 * MiB;
      await using session = await LocalAgent.of(device).session();
      await using remote = await session.agent.openDevice('/dev/x', { forWriting: false });
      const stop = new AbortController();
      const read = async (): Promise<void> => {
        let blocks = 0;
        for await (const _ of remote.digests(MiB, 0, { signal: stop.signal })) {
          if (++blocks < 16) continue;
          await until(() => device.calls.length === 2);
          if (how === 'its consumer goes') return;
          stop.abort(new Error('enough'));
        }
      };

      const error = (await errorOf(read())) as Error | undefined;
      await until(() => device.calls.length === 4);

      expect(error?.message).to.equal(how === 'its consumer goes' ? undefined : 'enough');
      expect(device.calls.toSorted()).to.deep.equal(
        [16, 32].flatMap((offset) => [`read ${offset * MiB}`, `read ${offset * MiB} aborted`]).toSorted(),
      );
      expect(device.reads).to.equal(18);
      device.letPass();
    });
  }

  it('are not read far ahead of a consumer that takes its time', async () => {
    const device = new GatedDevice(4096 * MiB, true);
    await using session = await LocalAgent.of(device).session();
    await using remote = await session.agent.openDevice('/dev/x', { forWriting: false });
    const digests = remote.digests(MiB, 0)[Symbol.asyncIterator]();

    await digests.next();
    for (let round = 0; round < 50; round++) await remote.flush();

    expect(device.reads).to.be.at.most(3 * 16);
    await digests.return?.();
  });
});
