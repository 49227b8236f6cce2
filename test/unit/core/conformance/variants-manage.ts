// Manifest, session, inventory, power, network, fence, errors.
import { DrError, type Epoch, isDrError, type Machine, type Manifest, type Place, type Session } from '../../../../core/contract/index.ts';
import type { MemorySubject } from './memory-subject.ts';
import { broken, deaf, endOn, restream, sessions, type Variant } from './variant.ts';

const manifest = (name: string, caughtBy: string, change: (good: Manifest) => Manifest): Variant => ({
  name,
  profile: 'hyperv',
  caughtBy: [caughtBy],
  breaks: ({ subject }) => ({ ...subject, plugin: { ...subject.plugin, manifest: change(subject.plugin.manifest) } }),
});

const connects = (
  name: string,
  caughtBy: readonly string[],
  connect: (good: MemorySubject['subject']['plugin']['connect']) => MemorySubject['subject']['plugin']['connect'],
): Variant => ({
  name,
  profile: 'hyperv',
  caughtBy,
  breaks: ({ subject }) => ({ ...subject, plugin: { ...subject.plugin, connect: connect((...args) => subject.plugin.connect(...args)) } }),
});

const renamed = (machine: Machine, name: string): Machine => ({ ...machine, name });
const parsed = (name: string): string => name.split(/[\s;|"']/)[0] || 'unnamed';

const withoutHint = { code: 'X', level: 'info', message: 'something', hint: '' } as const;

export const manageVariants: readonly Variant[] = [
  manifest('an id with spaces and capitals', 'MAN-001', (good) => ({ ...good, id: 'My Plugin' })),
  manifest('a secret with a default', 'MAN-002', (good) => ({
    ...good,
    config: [...good.config, { name: 'token', type: 'secret', default: 'changeme', help: 'token' }],
  })),
  manifest('no snapshot allowed per machine', 'MAN-003', (good) => ({
    ...good,
    capabilities: { ...good.capabilities, maxSnapshotsPerMachine: 0 },
  })),
  manifest('a manifest that promises less than the session', 'SES-001', (good) => ({
    ...good,
    capabilities: { ...good.capabilities, atomicity: 'disk' },
  })),
  connects('connect is deaf to its signal', ['MAN-004'], (good) => (config, host, call) => good(config, host, deaf(call))),
  connects('an error of the runtime comes out of connect', ['MAN-005'], (good) => async (...args) => {
    try {
      return await good(...args);
    } catch (error) {
      throw isDrError(error, 'CONNECTION_REFUSED') ? new Error('connect ECONNREFUSED 192.0.2.1:443') : error;
    }
  }),
  connects('the password is in the error', ['ERR-002'], (good) => async (config, host, call) => {
    try {
      return await good(config, host, call);
    } catch (error) {
      if (isDrError(error, 'AUTH_REJECTED')) throw new DrError('AUTH_REJECTED', `login failed: ${JSON.stringify(config)}`);
      throw error;
    }
  }),
  connects('the configuration is logged', ['ERR-002'], (good) => (config, host, call) => {
    call.log.debug('connecting', { config });
    return good(config, host, call);
  }),
  {
    name: 'the pin is not looked at',
    profile: 'hyperv',
    caughtBy: ['SES-007'],
    breaks: ({ subject }) => ({
      ...subject,
      config: { ...subject.config, pin: '11'.repeat(32) },
      plugin: {
        ...subject.plugin,
        manifest: {
          ...subject.plugin.manifest,
          config: [...subject.plugin.manifest.config, { name: 'pin', type: 'pin', help: 'fingerprint' }],
        },
      },
    }),
  },
  {
    name: 'power verbs are promised without the facet',
    profile: 'hyperv',
    caughtBy: ['SES-002'],
    breaks: (good) =>
      sessions(good, (session) => {
        const { power: _, ...rest } = session;
        return rest;
      }),
  },
  {
    name: 'all sessions share one connection, and each closes it',
    profile: 'hyperv',
    caughtBy: ['SES-004'],
    breaks: (good) => {
      const open: Session[] = [];
      return sessions(good, (session) => {
        open.push(session);
        return {
          ...session,
          [Symbol.asyncDispose]: async () => {
            for (const one of open) await one[Symbol.asyncDispose]();
          },
        };
      });
    },
  },
  {
    name: 'a session stays open',
    profile: 'hyperv',
    caughtBy: ['SES-005'],
    breaks: (good) => sessions(good, (session) => ({ ...session, [Symbol.asyncDispose]: async () => undefined })),
  },
  broken('check has findings without a next step', ['SES-003'], () => ({ session: { check: () => async () => [withoutHint] } })),
  broken('reading calls are deaf to their signal', ['SES-006'], () => ({
    inventory: { getMachine: (good) => (id, call) => good(id, deaf(call)) },
  })),
  broken('an error of the SDK comes through', ['ERR-001', 'INV-004'], () => ({
    inventory: {
      getMachine: (good) => (id, call) =>
        good(id, call).catch((error: unknown) => {
          throw isDrError(error, 'NOT_FOUND') ? new TypeError("Cannot read properties of undefined (reading 'config')") : error;
        }),
    },
  })),
  broken('only the first page is listed', ['INV-001'], () => ({
    inventory: { listMachines: (good) => (query, call) => restream(good(query, call), (all) => all.slice(0, 2)) },
  })),
  broken('the last machine of a page is listed again', ['INV-001'], () => ({
    inventory: { listMachines: (good) => (query, call) => restream(good(query, call), (all) => [...all, ...all.slice(-1)]) },
  })),
  broken('ids of disks are made anew by each session', ['INV-002'], (_, number) => ({
    inventory: {
      listMachines: (good) => (query, call) =>
        restream(good(query, call), (all) =>
          all.map((machine) => ({
            ...machine,
            spec: { ...machine.spec, disks: machine.spec.disks.map((disk) => ({ ...disk, id: `${number}-${disk.id}` as typeof disk.id })) },
          })),
        ),
    },
  })),
  broken('a machine is got without its NICs', ['INV-003'], () => ({
    inventory: {
      getMachine: (good) => async (id, call) => {
        const machine = await good(id, call);
        return { ...machine, spec: { ...machine.spec, nics: [] } };
      },
    },
  })),
  broken('names are cut at separators', ['INV-005'], () => ({
    inventory: {
      getMachine: (good) => async (id, call) => {
        const machine = await good(id, call);
        return renamed(machine, parsed(machine.name));
      },
    },
  })),
  broken('a listing is deaf to its signal', ['INV-006'], () => ({
    inventory: { listMachines: (good) => (query, call) => good(query, deaf(call)) },
  })),
  broken('an aborted listing ends as if it were complete', ['INV-006'], () => ({
    inventory: {
      listMachines: (good) =>
        async function* (query, call) {
          for await (const machine of good(query, deaf(call))) {
            if (call.signal.aborted) return;
            yield machine;
          }
        },
    },
  })),
  broken('labels are ignored', ['INV-007'], () => ({ inventory: { listMachines: (good) => (_, call) => good({}, call) } })),
  broken('the kind of places is ignored', ['INV-008'], () => ({
    inventory: { listPlaces: (good) => (_, call) => good('network' as Place['kind'], call) },
  })),
  broken('the cursor is kept in the session', ['INV-009'], () => {
    let listing = false;
    return {
      inventory: {
        listMachines: (good) =>
          async function* (query, call) {
            if (listing) return;
            listing = true;
            try {
              yield* good(query, call);
            } finally {
              listing = false;
            }
          },
      },
    };
  }),
  broken('findings about a machine have no next step', ['INV-010'], () => ({
    inventory: {
      checkProtectable:
        (good) =>
        async (...args) => [...(await good(...args)), withoutHint],
    },
  })),

  broken('an aborted watch ends as if nothing more could change', ['INV-011'], () => ({
    inventory: { watch: (good) => (cursor, call) => endOn(good(cursor, call), () => call.signal.aborted) },
  })),
  broken('a watch begins anew whatever its cursor', ['INV-011'], () => ({
    inventory: { watch: (good) => (_, call) => good(undefined, call) },
  })),

  broken('power on is asked for and not done', ['PWR-001'], () => ({
    power: { set: (good) => async (id, to, call) => (to === 'on' ? undefined : good(id, to, call)) },
  })),
  broken('power off of a machine that is off is an error', ['PWR-002'], ({ inventory }) => ({
    power: {
      set: (good) => async (id, to, call) => {
        if (to === 'off' && (await inventory.getMachine(id, call)).power === 'off')
          throw new DrError('STATE_CONFLICT', `machine ${id} is off`);
        return good(id, to, call);
      },
    },
  })),
  broken('a shutdown is not waited for', ['PWR-003'], () => ({
    power: {
      set: (good) => async (id, to, call) => {
        const done = good(id, to, call);
        done.catch(() => undefined);
        return to === 'shutdown' ? undefined : done;
      },
    },
  })),
  broken('a shutdown that was refused turns into off', ['PWR-004'], () => ({
    power: {
      set: (good) => (id, to, call) =>
        good(id, to, call).catch((error: unknown) => {
          if (!isDrError(error, 'SHUTDOWN_REFUSED')) throw error;
          return good(id, 'off', call);
        }),
    },
  })),
  broken('power is deaf to its signal', ['PWR-005', 'PWR-007'], () => ({
    power: { set: (good) => (id, to, call) => good(id, to, deaf(call)) },
  })),
  broken('power of an unknown machine succeeds', ['PWR-006'], () => ({
    power: {
      set:
        (good) =>
        (...args) =>
          good(...args).catch((error: unknown) => {
            if (!isDrError(error, 'NOT_FOUND')) throw error;
          }),
    },
  })),

  broken('every call makes a test network', ['NET-001'], () => {
    let count = 0;
    return {
      network: {
        createTestNetwork: (good) => (like, call) => {
          count += 1;
          return good(like, { ...call, operationId: `${call.operationId}-${count}` });
        },
      },
    };
  }),
  broken('a test network is deleted once only', ['NET-002'], ({ inventory }) => ({
    network: {
      deleteTestNetwork: (good) => async (id, call) => {
        const networks = await Array.fromAsync(inventory.listPlaces('network', call));
        if (!networks.some((place) => place.id === id)) throw new DrError('NOT_FOUND', `no network ${id}`);
        return good(id, call);
      },
    },
  })),
  broken('a NIC is never disconnected', ['NET-003'], () => ({
    network: { connectNic: (good) => async (id, nic, to, call) => (to === 'disconnected' ? undefined : good(id, nic, to, call)) },
  })),
  broken('findings about addresses have no next step', ['NET-004'], () => ({
    network: { setGuestAddresses: () => async () => [withoutHint] },
  })),

  broken('the epoch is kept in the session', ['FNC-001'], () => {
    const held = new Map<string, Epoch>();
    return {
      fence: {
        read: () => async (id) => held.get(id),
        advance: () => async (id, _, next) => void held.set(id, next),
      },
    };
  }),
  broken('the expected epoch is not compared', ['FNC-002'], ({ fence }) => ({
    fence: { advance: (good) => async (id, _, next, call) => good(id, await fence!.read(id, call), next, call) },
  })),
  broken('a stale epoch is accepted', ['FNC-003'], () => ({
    disk: {
      write:
        (good) =>
        (offset, data, { fence: _, ...call }) =>
          good(offset, data, call),
    },
  })),
  broken('a machine is isolated by power alone', ['FNC-004'], ({ power }) => ({
    fence: { isolate: () => (id, call) => power!.set(id, 'off', call) },
  })),

  broken('a lost connection is an error that nobody tries again', ['FLT-001'], () => ({
    inventory: {
      getMachine: (good) => (id, call) =>
        good(id, call).catch((error: unknown) => {
          throw isDrError(error, 'CONNECTION_LOST') ? new DrError('PROTOCOL_ERROR', 'socket hang up') : error;
        }),
      listMachines: (good) =>
        async function* (query, call) {
          try {
            yield* good(query, call);
          } catch (error) {
            throw isDrError(error, 'CONNECTION_LOST') ? new DrError('STATE_CONFLICT', 'socket hang up') : error;
          }
        },
    },
  })),
];
