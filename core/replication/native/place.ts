// The beginning of a native pair: both ends are looked at, the source is told where its replica is, the hosts copy, the job watches.
import {
  DrError,
  type Finding,
  type ItemId,
  isDrError,
  type NativeListener,
  type NativePeer,
  type NativeSeed,
} from '../../contract/index.ts';
import { setSync } from '../../domain/decide.ts';
import type { Item, Side } from '../../domain/item.ts';
import { stageOf } from '../../domain/native.ts';
import type { InitialCopy, NativePolicy } from '../../domain/policy.ts';
import { assertValid } from '../../domain/validity.ts';
import type { Flow } from '../../flow/flow.ts';
import type { EndpointSession } from '../../host/host.ts';
import { updateItem } from '../../state/items.ts';
import { getEndpoint, getGroup, getPolicy, listEndpoints, listMappings } from '../../state/records.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../core.ts';
import { mappedFirst } from '../networks.ts';
import type { Asked, Assessed, Doing, Placing } from '../replicator.ts';
import { lookAgain, observe, pairAt, statusOf } from './look.ts';
import { order } from './order.ts';

const APPEAR_WAIT_MS = 120_000;
const APPEAR_POLL_MS = 1_000;
const FIRST_POLL_MS = 5_000;
const MAX_POLL_MS = 60_000;

export const nativeOf = async (core: Core, policyName: string): Promise<NativePolicy> => {
  const policy = await getPolicy(core.store.db, policyName);
  if (policy.native) return policy.native;
  throw new DrError('CONFIG_INVALID', `policy ${policy.name} has no settings for native replication`, {
    context: { policy: policy.name, key: 'native' },
    hint: 'edit the policy: method native and its settings belong together',
  });
};

export const settingsOf = async (core: Core, item: Item): Promise<NativePolicy> =>
  nativeOf(core, (await getGroup(core.store.db, item.groupId)).policy);

/** What the end at `endpoint` is to its other end. */
export const peerAt = async (
  core: Core,
  endpoint: string,
  { initialCopy: _, ...settings }: NativePolicy,
  doing: Doing,
): Promise<NativePeer> => {
  const { address, port } = await (await pairAt(core, endpoint)).listener(callFor(core, doing.operationId, doing.signal));
  return { address, port, settings };
};

// ---- before anything changes ---------------------------------------------------------------------------------------------

const lacks = (endpoint: string): DrError =>
  new DrError('CAPABILITY_MISSING', `endpoint ${endpoint} has no nativePair: its hosts cannot replicate by themselves`, {
    context: { endpoint, kind: 'nativePair' },
    hint: 'choose a policy with the method journaled, or endpoints whose plugin has the facet nativePair',
  });

export const assess = async (core: Core, asked: Asked, signal: AbortSignal): Promise<Assessed> => {
  const { source, machine } = asked;
  if (!source.nativePair) throw lacks(source.endpointId);
  if (asked.seed)
    throw new DrError('USAGE', `a seed is not named under native replication`, {
      context: { machine: machine.id },
      hint: 'set initialCopy existing in the policy: the replica has the id of its machine',
    });
  const settings = await nativeOf(core, asked.policy);
  const target = await chooseTarget(core, asked);
  if (!target.nativePair) throw lacks(target.endpointId);
  const doing = { operationId: `assess/${machine.id}`, signal };
  const call = () => callFor(core, doing.operationId, signal);
  const listener = await target.nativePair.listener(call());
  const { initialCopy: _, ...rest } = settings;
  const peer = { address: listener.address, port: listener.port, settings: rest };
  const status = await statusOf(core, { site: '', endpoint: source.endpointId, machine: machine.id, name: machine.name }, doing);
  const findings = [
    ...listener.findings,
    ...refusals(listener, settings, target.endpointId),
    ...(status.role === 'none' ? [] : [inUse(machine.name, status.role)]),
    ...(await source.nativePair.checkPair(machine.id, peer, call())),
  ];
  return { target, findings };
};

const refusals = (listener: NativeListener, settings: NativePolicy, endpoint: string): Finding[] =>
  listener.authentication.includes(settings.authentication)
    ? []
    : [
        {
          code: 'native-authentication',
          level: 'blocks',
          message: `${endpoint} accepts ${listener.authentication.join(' or ') || 'no'} authentication, the policy asks for ${settings.authentication}`,
          hint: 'change the authentication in the policy, or let the replica host accept it',
        },
      ];

const inUse = (name: string, role: string): Finding => ({
  code: 'native-in-use',
  level: 'blocks',
  message: `${name} replicates already, as ${role} of a pair that somebody else has made`,
  hint: 'remove its replication in the manager of its host, then protect it here',
});

/** Of the same plugin: both ends must be of one kind. */
const chooseTarget = async (core: Core, { target, toSite, sourcePlugin, machine, source }: Asked): Promise<EndpointSession> => {
  const { db } = core.store;
  const ofKind = (await listEndpoints(db, toSite)).filter(({ plugin }) => plugin === sourcePlugin);
  const candidates = target
    ? [await getEndpoint(db, target)]
    : mappedFirst(ofKind, await listMappings(db), machine.spec, source.endpointId);
  let reason: DrError | undefined;
  for (const candidate of candidates) {
    try {
      const session = await openEndpoint(core, candidate.id);
      if (session.nativePair || target) return session;
    } catch (error) {
      if (!isDrError(error) || target) throw error;
      reason ??= error;
    }
  }
  throw (
    reason ??
    new DrError('CAPABILITY_MISSING', `no endpoint of plugin ${sourcePlugin} at site ${toSite} has nativePair`, {
      context: { site: toSite, plugin: sourcePlugin, kind: 'nativePair' },
      hint: 'add the replica host with endpoint add, or choose a policy with the method journaled',
    })
  );
};

// ---- the pair ------------------------------------------------------------------------------------------------------------

export const place = async (core: Core, flow: Flow, id: ItemId, { target }: Placing): Promise<void> => {
  await intend(core, flow, id, target);
  await pair(core, flow, id);
  await flow.step(`seed ${id}`, async (doing) => startCopy(core, await itemNow(core, id), doing));
};

/** Written down before the hosts are told: a replica that appears there from now on is ours, and unprotect finds it wherever protect has failed. */
const intend = (core: Core, flow: Flow, id: ItemId, endpoint: string): Promise<unknown> =>
  flow.step(
    `intend ${id}`,
    async (doing) => {
      const item = await itemNow(core, id);
      const replica: Side = { site: item.state.direction.to, endpoint, machine: item.source.machine, name: item.name };
      const there = await observe(core, replica, doing);
      if (there && there.role !== 'none')
        throw new DrError(
          'STATE_CONFLICT',
          `${item.name} is at ${endpoint} already, as ${there.role} of a pair that somebody else has made`,
          {
            context: { item: id, endpoint, machine: replica.machine, state: there.vendorState },
            hint: 'remove its replication in the manager of that host, then unprotect the machine and protect it again',
          },
        );
      return { replica, replicaAdopted: (await settingsOf(core, item)).initialCopy.by === 'existing' };
    },
    {
      commit: async (tx, { replica, replicaAdopted }) => {
        await commitChange(tx, core, flow, id, { change: (item) => ({ ...item, replica, traits: { ...item.traits, replicaAdopted } }) });
      },
    },
  );

const pair = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `pair ${id}`,
    async (doing) => {
      const { operationId, signal } = doing;
      const item = await itemNow(core, id);
      const replica = replicaOf(item);
      const source = await openEndpoint(core, item.source.endpoint);
      const target = await openEndpoint(core, replica.endpoint);
      const call = () => fencedCall(core, item, operationId, signal);
      const peer = await peerAt(core, replica.endpoint, await settingsOf(core, item), doing);
      const pairing = facetOf(source, 'nativePair');
      if ((await statusOf(core, item.source, doing)).role !== 'source') await pairing.enable(item.source.machine, peer, call());
      await awaitReplica(core, replica, doing);
      await markReplica(core, item, doing);
      return {
        name: (await target.inventory.getMachine(replica.machine, call())).name,
        networks: await networksOf(core, item.source, doing),
        plannedPossible: source.capabilities.power.includes('shutdown'),
      };
    },
    {
      commit: async (tx, { name, networks, plannedPossible }) => {
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            assertValid({
              ...item,
              replica: { ...replicaOf(item), name },
              traits: { ...item.traits, targetForks: true, plannedPossible, sourceStreams: false },
              native: { networks },
              nics: item.nics.map((nic) => ({ ...nic, replicaNic: nic.sourceNic })),
              state: { ...item.state, protection: 'InitialReplication', sync: { is: 'InitialSync' } },
            }),
          event: { kind: 'replica.placed', message: `the hosts replicate by themselves: replica ${name}` },
        });
      },
    },
  );

/** The epoch that only the replica carries: by it unprotect knows which of two machines of one id may be deleted. */
export const markReplica = async (core: Core, item: Item, { operationId, signal }: Doing): Promise<void> => {
  const { endpoint, machine } = replicaOf(item);
  const { fence } = await openEndpoint(core, endpoint);
  if (!fence) return;
  const call = () => fencedCall(core, item, operationId, signal);
  const held = await fence.read(machine, call());
  if (!held || held.item !== item.id || held.epoch < item.epoch.epoch) await fence.advance(machine, held, item.epoch, call());
};

/** The replica host registers the machine some moments after the source has been answered. */
const awaitReplica = async (core: Core, replica: Side, doing: Doing): Promise<void> => {
  const { clock } = core.runtime;
  const deadline = clock.now() + APPEAR_WAIT_MS;
  const pairing = await pairAt(core, replica.endpoint);
  for (;;) {
    const [status] = await Array.fromAsync(pairing.observe([replica.machine], callFor(core, doing.operationId, doing.signal)));
    if (status?.role === 'replica') return;
    if (clock.now() >= deadline) {
      throw new DrError('NOT_FOUND', `the replica of ${replica.name} has not appeared at ${replica.endpoint}`, {
        context: { endpoint: replica.endpoint, machine: replica.machine, kind: 'machine' },
        hint: 'check that the address which the replica host gives leads to that endpoint',
      });
    }
    await clock.sleep(APPEAR_POLL_MS, doing.signal);
  }
};

/** By NIC, for a time when the source cannot be asked. */
export const networksOf = async (core: Core, side: Side, doing: Doing) => {
  const session = await openEndpoint(core, side.endpoint);
  const { spec } = await session.inventory.getMachine(side.machine, callFor(core, doing.operationId, doing.signal));
  return Object.fromEntries(spec.nics.flatMap((nic) => (nic.network ? [[nic.id, nic.network]] : [])));
};

const seedOf = (copy: InitialCopy): NativeSeed => {
  if (copy.by === 'schedule') return { by: 'network', startAt: copy.startAt };
  return copy;
};

/** What the hosts wait for before they copy; nothing when they are at it, or done. */
export const startCopy = async (core: Core, item: Item, doing: Doing, how?: NativeSeed): Promise<null> => {
  const { vendorState } = await statusOf(core, item.source, doing);
  if (vendorState === 'WaitingForStartResynchronize') await order(core, item, 'source', { do: 'resync' }, doing);
  if (vendorState !== 'ReadyForInitialReplication') return null;
  const seed = how ?? seedOf((await settingsOf(core, item)).initialCopy);
  const call = fencedCall(core, item, doing.operationId, doing.signal);
  await (await pairAt(core, item.source.endpoint)).seed(item.source.machine, seed, call);
  return null;
};

// ---- the first copy --------------------------------------------------------------------------------------------------------

export const firstCopy = async (
  core: Core,
  flow: Flow,
  _groupId: string,
  ids: readonly ItemId[],
): Promise<{ readonly failed: readonly ItemId[] }> => {
  const outcomes = await Promise.all(ids.map((id) => awaitFirstPoint(core, flow, id)));
  return { failed: ids.filter((_, index) => !outcomes[index]?.copied) };
};

/** Days, perhaps: hosts that do not answer meanwhile are asked again. Only a pair that no longer exists ends it. */
export const awaitFirstPoint = (core: Core, flow: Flow, id: ItemId): Promise<{ readonly copied: boolean; readonly because?: string }> =>
  flow.step(
    `first point ${id}`,
    async (doing) => {
      for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_POLL_MS)) {
        const item = await itemNow(core, id);
        const source = await lookAgain(core, item, 'source', doing);
        const replica = await lookAgain(core, item, 'replica', doing);
        const stages = [source, replica].map((status) => status && stageOf({ role: status.role, state: status.vendorState }));
        if (stages.includes('none')) return { copied: false, because: 'the hosts no longer know of the replication' };
        if (stages.every((stage) => stage === 'replicating') && (replica?.replicatedAt ?? replica?.points[0]) !== undefined)
          return { copied: true };
        flow.progress({ text: `the hosts copy ${item.name}: ${source?.vendorState ?? 'the source host does not answer'}` });
        await core.runtime.clock.sleep(pauseMs, doing.signal);
      }
    },
    {
      interruptible: true,
      waitsFor: 'the first copy of the hosts',
      commit: async (tx, { copied, because }) => {
        if (!copied) await updateItem(tx, id, (item) => setSync(item, { is: 'Stalled', reason: because ?? 'the first copy has failed' }));
      },
    },
  );
