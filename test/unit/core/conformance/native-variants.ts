// Hosts that replicate by themselves, good and broken: one promise at a time.
import type { Subject } from '../../../../core/conformance/index.ts';
import type { MachineId, NativePair, NativeStatus, Session } from '../../../../core/contract/index.ts';
import { Hosts } from '../../../support/native-pair/hosts.ts';
import { createNativePlugin } from '../../../support/native-pair/plugin.ts';
import { type Rewrites, rewrite } from './variant.ts';

export interface NativeSubject {
  readonly subject: Subject;
  readonly hosts: Hosts;
}

const unused = async (): Promise<never> => {
  throw new Error('hosts that replicate by themselves have no disks here');
};

/** Two fresh hosts whose time is the kit's to move. */
export const nativeSubject = (): NativeSubject => {
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const hosts = new Hosts(() => nowMs, ['one', 'two']);
  hosts.add('one', 'scratch');
  const plugin = createNativePlugin(hosts, async (_name, effect) => effect());
  const subject: Subject = {
    plugin,
    config: { host: 'one' },
    pair: { config: { host: 'two' }, machine: 'vm-scratch' as MachineId },
    lab: {
      write: unused,
      read: unused,
      rename: unused,
      refuseShutdown: unused,
      addDisk: unused,
      removeDisk: unused,
      cutConnections: unused,
      resetTracking: unused,
      cutPower: unused,
      advance: async (ms) => {
        nowMs += ms;
      },
      leftovers: async () => [...hosts.host('two').machines.keys()],
    },
    scale: { caseTimeoutMs: 5_000 },
  };
  return { subject, hosts };
};

export interface NativeVariant {
  readonly name: string;
  readonly caughtBy: readonly string[];
  breaks(good: NativeSubject): Subject;
}

const broken = (
  name: string,
  caughtBy: readonly string[],
  rewrites: (hosts: Hosts, host: unknown) => Rewrites<NativePair>,
): NativeVariant => ({
  name,
  caughtBy,
  breaks: ({ subject, hosts }) => ({
    ...subject,
    plugin: {
      ...subject.plugin,
      connect: async (...args): Promise<Session> => {
        const session = await subject.plugin.connect(...args);
        return { ...session, nativePair: rewrite(session.nativePair!, rewrites(hosts, args[0]['host'])) };
      },
    },
  }),
});

/** Gives each status as the change makes it; undefined leaves it out. */
const seenAs = (change: (status: NativeStatus) => NativeStatus | undefined): Rewrites<NativePair> => ({
  observe: (good) =>
    async function* (ids, call) {
      for await (const status of good(ids, call)) {
        const changed = change(status);
        if (changed) yield changed;
      }
    },
});

const without = <K extends keyof NativeStatus>(status: NativeStatus, key: K): NativeStatus => {
  const { [key]: _gone, ...rest } = status;
  return rest as NativeStatus;
};

export const NATIVE_VARIANTS: readonly NativeVariant[] = [
  broken('leaves out machines that do not replicate', ['NAT-001'], () => seenAs((status) => (status.role === 'none' ? undefined : status))),
  broken('refuses to enable twice', ['NAT-002'], (hosts) => ({
    enable: (good) => async (id, to, call) => {
      if (hosts.machine('one', id).role !== 'none') throw new Error('Replication is already enabled');
      return good(id, to, call);
    },
  })),
  broken('does not tell what the replica holds', ['NAT-003'], () => seenAs((status) => without(status, 'replicatedAt'))),
  broken('does not name the test machine', ['NAT-004'], () => seenAs((status) => without(status, 'testMachine'))),
  broken('takes only the replica back', ['NAT-005'], () => ({
    act: (good) => async (id, step, call) => {
      const status = await good(id, step.do === 'cancel' ? { do: 'cancel' } : step, call).catch(() => undefined);
      if (step.do === 'cancel' && status?.role === 'source') return { ...status, vendorState: 'Replicating' };
      return status ?? good(id, step, call);
    },
    observe: (good) =>
      async function* (ids, call) {
        for await (const status of good(ids, call))
          yield status.role === 'source' && status.vendorState === 'Replicating' && status.allowed.includes('prepare')
            ? { ...status, vendorState: 'PreparedForFailover' }
            : status;
      },
  })),
  broken('answers to commit and does nothing', ['NAT-006'], () => ({
    act: (good) => async (id, step, call) =>
      step.do === 'commit' ? { ...(await good(id, { do: 'cancel' }, call)), points: [] } : good(id, step, call),
  })),
  broken('turns only its own end round', ['NAT-007'], (_hosts, host) =>
    seenAs((status) => (host === 'one' && status.role === 'replica' ? { ...status, role: 'none' } : status)),
  ),
  broken('passes on that nothing was enabled', ['NAT-008'], (hosts) => ({
    remove: (good) => async (id, call) => {
      if (['one', 'two'].every((host) => hosts.host(host).machines.get(id)?.role !== 'source'))
        throw new Error('Replication is not enabled');
      return good(id, call);
    },
  })),
  broken('takes a refusal for an answer', ['NAT-009'], () => ({
    act: (good) => async (id, step, call) => {
      try {
        return await good(id, step, call);
      } catch {
        return good(id, { do: 'pause' }, call);
      }
    },
  })),
  broken('remembers the state', ['NAT-010'], () => {
    const known = new Map<string, NativeStatus>();
    return {
      observe: (good) =>
        async function* (ids, call) {
          for await (const status of good(ids, call)) {
            if (status.vendorState === 'Replicating') known.set(status.machine, status);
            yield known.get(status.machine) ?? status;
          }
        },
    };
  }),
];
