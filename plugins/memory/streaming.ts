// A streaming source without snapshots, on servers that can be adopted as targets.
import type { PassInfo } from '../../adapters/lab/port.ts';
import type { Baseline, Call, CaptureRequest, DiskId, MachineId, Pass, PassDisk, StreamingSource } from '../../core/contract/index.ts';
import { adoptingTarget } from './adopt-only.ts';
import { type Link, paged, type Shape } from './connect.ts';
import { openReader } from './disks.ts';

/** Passes go on while they get smaller, so that the frozen one is short. */
const MOST_PASSES = 4;
const SMALL_ENOUGH_BYTES = 1 << 20;

export const physical: Shape = {
  displayName: 'Simulated physical servers',
  capabilities: {
    tracking: 'native',
    consistency: ['crash', 'application'],
    atomicity: 'machine',
    power: ['on', 'off', 'shutdown'],
    finalFreeze: true,
  },
  facets: (link) => ({ source: streamingSource(link), target: adoptingTarget(link) }),
};

type Since = Readonly<Record<string, Baseline>>;

/** A server without snapshots: passes over the running machine, then a short frozen one. */
const streamingSource = (link: Link): StreamingSource => {
  const { port, at } = link;
  return {
    kind: 'streaming',
    enableTracking: async (machine, call) => (await port.call('source.enableTracking', { ...at, machine }, call)).findings,
    disableTracking: async (machine, call) => {
      await port.call('source.disableTracking', { ...at, machine }, call);
    },
    capture: (machine, want, call) => capture(link, machine, want, call),
    keepBaselines: async (machine, keep, call) => {
      await port.call('source.keepBaselines', { ...at, machine, keep: Object.fromEntries(keep) }, call);
    },
  };
};

async function* capture(link: Link, machine: MachineId, want: CaptureRequest, call: Call): AsyncGenerator<Pass> {
  const { port, at } = link;
  let since: Since | undefined = want.since.size > 0 ? Object.fromEntries(want.since) : undefined;
  for (let passes = 0; passes < MOST_PASSES; passes++) {
    const pass = await port.call('stream.beginPass', { ...at, machine, since }, call);
    if (passes > 0 && pass.disks.every((disk) => disk.changedBytes <= SMALL_ENOUGH_BYTES)) break;
    yield await describe(link, machine, pass, since, undefined, call);
    call.signal.throwIfAborted();
    since = baselinesOf(pass);
  }
  yield* finalPass(link, machine, want, since, call);
}

async function* finalPass(
  link: Link,
  machine: MachineId,
  want: CaptureRequest,
  since: Since | undefined,
  call: Call,
): AsyncGenerator<Pass> {
  const { port, at } = link;
  const { consistency, maxFreezeMs, afterFinal } = want;
  const { freeze } = await port.call('stream.freeze', { ...at, machine, consistency, maxFreezeMs, operationId: call.operationId }, call);
  let ended = false;
  try {
    const pass = await port.call('stream.beginPass', { ...at, machine, since }, call);
    yield await describe(link, machine, pass, since, freeze, call);
    await port.call('stream.endFreeze', { ...at, machine, freeze, outcome: afterFinal === 'thaw' ? 'thaw' : 'hold' }, call);
    ended = true;
  } finally {
    // The caller's signal may be what ended us: the server must thaw all the same, and may have done so by itself.
    if (!ended) await port.call('stream.endFreeze', { ...at, machine, freeze, outcome: 'thaw' }).catch(() => undefined);
  }
}

const baselinesOf = (pass: PassInfo): Since => Object.fromEntries(pass.disks.map((disk) => [disk.disk, disk.baseline]));

const describe = async (
  link: Link,
  machine: MachineId,
  pass: PassInfo,
  since: Since | undefined,
  freeze: string | undefined,
  call: Call,
): Promise<Pass> => ({
  final: freeze !== undefined,
  spec: pass.spec,
  disks: await Promise.all(
    pass.disks.map(
      async ({ disk, baseline }): Promise<PassDisk> => ({
        disk,
        baseline,
        extents: (from) => extents(link, machine, { disk, since: since?.[disk], upTo: baseline, freeze }, from, call),
        reader: await openReader(link, { machine, disk, freeze }, call),
      }),
    ),
  ),
});

interface PassOf {
  readonly disk: DiskId;
  readonly since: Baseline | undefined;
  readonly upTo: Baseline;
  readonly freeze: string | undefined;
}

const extents = ({ port, at }: Link, machine: MachineId, of: PassOf, from: number, call: Call) =>
  paged(call, async (cursor: number | undefined) => {
    const page = await port.call('stream.passExtents', { ...at, ...of, machine, from: cursor ?? from }, call);
    return { items: page.extents, next: page.next };
  });
