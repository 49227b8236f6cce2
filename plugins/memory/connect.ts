// What all shapes share: the way to the estate, inventory, power, networks and fence.
import type { EstatePort, OpenEstate, ProfileName } from '../../adapters/lab/port.ts';
import {
  type Call,
  type Capabilities,
  type ConfigField,
  DrError,
  type FenceStore,
  type HostContext,
  type Inventory,
  type InventoryChange,
  type Network,
  type Power,
  type Session,
} from '../../core/contract/index.ts';

export const CONFIG: readonly ConfigField[] = [
  { name: 'address', type: 'string', default: 'in-process', help: "socket of the lab, or 'in-process'" },
  { name: 'endpoint', type: 'string', required: true, help: 'name of the endpoint in the estate' },
  { name: 'username', type: 'string', help: 'account at the endpoint' },
  { name: 'password', type: 'secret', help: 'password of the account' },
];

export interface Config {
  readonly address?: string;
  readonly endpoint: string;
  readonly username?: string;
  readonly password?: string;
}

/** One connection to one endpoint: a shape adds its source and its target to it. */
export interface Link {
  readonly port: EstatePort;
  /** First part of the arguments of every call. */
  readonly at: { readonly endpoint: string; readonly owner: string };
  readonly capabilities: Capabilities;
}

/** What makes one shape of plugin: its promises, and the two facets in which shapes differ. */
export interface Shape {
  readonly displayName: string;
  /** The most that it can ever do; the endpoint says what holds here and now. */
  readonly capabilities: Partial<Capabilities>;
  readonly facets: (link: Link) => Pick<Session, 'source' | 'target'>;
}

export const connect = async (
  profile: ProfileName,
  openEstate: OpenEstate,
  config: Config,
  host: HostContext,
  call: Call,
  facets: Shape['facets'],
): Promise<Session> => {
  call.signal.throwIfAborted();
  const at = { endpoint: config.endpoint, owner: host.ownerId };
  const port = await openEstate(config.address ?? 'in-process');
  try {
    const info = await port.call('session.open', { ...at, username: config.username, password: config.password }, call);
    if (info.profile !== profile) {
      throw new DrError('CONFIG_INVALID', `endpoint ${config.endpoint} is ${info.profile}, not ${profile}`, {
        context: { endpoint: config.endpoint },
      });
    }
    const link = { port, at, capabilities: info.capabilities };
    return {
      capabilities: info.capabilities,
      inventory: inventory(link),
      power: power(link),
      ...(link.capabilities.testNetwork === 'none' ? {} : { network: network(link) }),
      fence: fence(link),
      ...facets(link),
      check: async (check) => {
        const now = await port.call('session.open', { ...at, username: config.username, password: config.password }, check);
        return [{ code: 'VERSION', level: 'info', message: now.version, hint: 'nothing to do' }, ...now.findings];
      },
      [Symbol.asyncDispose]: () => port[Symbol.asyncDispose](),
    };
  } catch (error) {
    await port[Symbol.asyncDispose]();
    throw error;
  }
};

/** The items of a paged list; stops before each item once the signal aborts. */
export async function* paged<T, Cursor>(
  call: Call,
  fetch: (cursor: Cursor | undefined) => Promise<{ readonly items: readonly T[]; readonly next?: Cursor | undefined }>,
): AsyncGenerator<T> {
  let cursor: Cursor | undefined;
  do {
    const page = await fetch(cursor);
    for (const item of page.items) {
      call.signal.throwIfAborted();
      yield item;
    }
    cursor = page.next;
  } while (cursor !== undefined);
  call.signal.throwIfAborted();
}

const inventory = ({ port, at }: Link): Inventory => ({
  listMachines: ({ labels }, call) =>
    paged(call, async (cursor: string | undefined) => {
      const { machines, next } = await port.call('inventory.machines', { ...at, labels, cursor }, call);
      return { items: machines, next };
    }),
  getMachine: async (machine, call) => (await port.call('inventory.machine', { ...at, machine }, call)).machine,
  listPlaces: (kind, call) =>
    paged(call, async (cursor: string | undefined) => {
      const { places, next } = await port.call('inventory.places', { ...at, kind, cursor }, call);
      return { items: places, next };
    }),
  checkProtectable: async (machine, as, call) => (await port.call('inventory.assess', { ...at, machine, as }, call)).findings,
  watch: async function* (cursor, call): AsyncGenerator<InventoryChange> {
    for (let last = cursor; ; ) {
      const change = await port.call('inventory.changes', { ...at, cursor: last, waitMs: 30_000 }, call);
      if (change.changed.length + change.gone.length > 0) yield change;
      last = change.cursor;
    }
  },
});

const power = ({ port, at }: Link): Power => ({
  set: async (machine, to, call) => {
    await port.call('power.set', { ...at, machine, to, timeoutMs: call.deadlineMs, fence: call.fence }, call);
  },
});

const network = ({ port, at }: Link): Network => ({
  connectNic: async (machine, nic, to, call) => {
    await port.call('network.connectNic', { ...at, machine, nic, to, fence: call.fence }, call);
  },
  createTestNetwork: async (like, call) =>
    (await port.call('network.createTest', { ...at, like, operationId: call.operationId }, call)).place,
  deleteTestNetwork: async (place, call) => {
    await port.call('network.deleteTest', { ...at, place }, call);
  },
  setGuestAddresses: async (machine, nics, call) => {
    const addresses = Object.fromEntries([...nics].map(([nic, { ipv4, ipv6 }]) => [nic, [ipv4, ipv6].filter((one) => one !== undefined)]));
    return (await port.call('network.setAddresses', { ...at, machine, addresses, fence: call.fence }, call)).findings;
  },
});

const fence = ({ port, at }: Link): FenceStore => ({
  read: async (machine, call) => (await port.call('fence.read', { ...at, machine }, call)).epoch,
  advance: async (machine, expected, next, call) => {
    await port.call('fence.advance', { ...at, machine, expected, next }, call);
  },
  isolate: async (machine, call) => {
    await port.call('fence.isolate', { ...at, machine, fence: call.fence }, call);
  },
});
