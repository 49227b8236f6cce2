import { createEstate } from '../adapters/lab/in-process.ts';
import type { EstateSpec } from '../adapters/lab/port.ts';
import type { Call, DiskReader, Extent, MachineId } from '../core/contract/index.ts';
import { createCall } from '../core/host/call.ts';
import { createHost } from '../core/host/host.ts';
import { Registry } from '../core/host/registry.ts';
import { newSystemId, systemClock } from '../core/ports/runtime.ts';
import { pump } from '../core/replication/pump.ts';
import { createMemoryPlugin } from '../plugins/memory/index.ts';
import { DISK, openScratchJournal, writeCycle } from './journal-apply.ts';
import { type Benchmark, figure, median, megabytesPerSecond, temporaryFolder, timedMs } from './measure.ts';

const MIB = 2 ** 20;

const estateWith = (contentBytes: number): EstateSpec => ({
  sites: [
    {
      name: 'site-a',
      endpoints: [
        {
          name: 'vcenter-a',
          profile: 'vmware',
          networks: ['production'],
          storage: [{ name: 'store', capacityBytes: contentBytes * 4 }],
          machines: [{ name: 'source', power: 'off', disks: [{ sizeBytes: contentBytes + 16 * MIB, contentBytes }] }],
        },
      ],
    },
  ],
});

const readAll = async (reader: DiskReader, extents: readonly Extent[], call: Call): Promise<void> => {
  const block = Buffer.alloc(Math.min(MIB, reader.maxRequestBytes));
  for (const { offset, length } of extents)
    for (let at = offset; at < offset + length; at += block.length)
      await reader.read(at, block.subarray(0, Math.min(block.length, offset + length - at)), call);
};

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export const pumpThroughput: Benchmark = {
  name: 'pump',
  about: 'a snapshot in the lab through pump and journal into a redo, against bare reads of the same ranges one after the other',
  run: async ({ quick }) => {
    const rounds = quick ? 1 : 5;
    await using lab = createEstate({ spec: estateWith(quick ? 2 * MIB : 256 * MIB), clock: 'manual' });
    const runtime = { clock: systemClock, newId: newSystemId, log: silent };
    await using host = createHost({
      registry: new Registry([createMemoryPlugin('vmware', async () => lab.open())]),
      runtime,
      resolveSecret: () => Promise.reject(new Error('the lab has no secrets')),
      ownerId: 'bench',
      scratchDir: '/nonexistent',
    });
    const session = await host.open({ id: 'vcenter-a', plugin: 'memory-vmware', config: { endpoint: 'vcenter-a' } });
    const { source } = session;
    if (source?.kind !== 'snapshot') throw new Error('the endpoint takes no snapshots');
    const call = createCall(runtime);
    const { machines } = await lab.control.call('lab.find', { name: 'source' });
    const machine = machines[0]?.machine as MachineId;
    await source.enableTracking(machine, call);
    const snapshot = await source.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since: new Map() }, call);
    const [disk] = snapshot.disks;
    if (!disk) throw new Error('the machine has no disk');
    const extents: Extent[] = [];
    for await (const extent of source.allocatedExtents(snapshot.id, disk.disk, 0, call)) extents.push(extent);
    const bytes = extents.reduce((sum, { length }) => sum + length, 0);

    await using reader = await source.openReader(snapshot.id, disk.disk, call);
    const rawMs = await median(rounds, () => timedMs(() => readAll(reader, extents, call)));

    const pumpMs = await median(rounds, async () => {
      using folder = temporaryFolder();
      const journal = await openScratchJournal(folder.path);
      return await timedMs(() =>
        writeCycle(journal, disk.sizeBytes, 'cycle', (writer) =>
          pump({
            extents: (from) => extents.filter(({ offset, length }) => offset + length > from),
            open: async () => {
              const opened = await source.openReader(snapshot.id, disk.disk, call);
              const { sizeBytes, alignmentBytes, maxRequestBytes, maxInFlight } = opened;
              return {
                sizeBytes,
                alignmentBytes,
                maxRequestBytes,
                maxInFlight,
                read: (offset, into) => opened.read(offset, into, call),
                [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
              };
            },
            sink: {
              data: (offset, data) => writer.data(DISK, offset, data),
              zero: (offset, length) => writer.zero(DISK, offset, length),
            },
            signal: call.signal,
          }),
        ),
      );
    });
    return [figure('pump', megabytesPerSecond(bytes, pumpMs), 'MB/s', megabytesPerSecond(bytes, rawMs))];
  },
};
