// The composition root: the only place where plugins, adapters and the engine's parts are put together.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectLab } from '../adapters/lab/client.ts';
import type { OpenEstate } from '../adapters/lab/port.ts';
import { openLabDevices, parseLabDevices } from '../adapters/lab/vsphere/lab-devices.ts';
import type { OpenPowerShell } from '../adapters/powershell/port.ts';
import type { OpenWire } from '../adapters/vsphere/port.ts';
import type { Log, Plugin } from '../core/contract/index.ts';
import { type HomeLock, lockHome, storePath } from '../core/engine/home.ts';
import { Engine } from '../core/engine.ts';
import { Registry } from '../core/host/registry.ts';
import { createSecretResolver, type ResolveSecret } from '../core/host/secrets.ts';
import { type Files, systemFiles } from '../core/ports/files.ts';
import { newSystemId, type Runtime, systemClock } from '../core/ports/runtime.ts';
import { openStore, type Store } from '../core/state/database.ts';
import { createHypervPlugin, type HypervTools } from '../plugins/hyperv/index.ts';
import { createMemoryPlugin } from '../plugins/memory/index.ts';
import { createVmwarePlugin, type VmwareTools } from '../plugins/vmware/index.ts';
import { loadOwnPlugins } from './own-plugins.ts';

export interface Composition {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The log goes to stderr as well. */
  readonly debug: boolean;
  /** The ways to the lab: the drill puts its own observer in between. */
  readonly ways?: Ways;
}

/** How the plugins reach what they speak to. */
export interface Ways {
  readonly openEstate?: OpenEstate;
  /** To a vCenter; left out it is HTTPS. */
  readonly openWire?: OpenWire;
  /** To a Windows host; left out it is a process here, SSH or WinRM. */
  readonly openPowerShell?: OpenPowerShell;
  /** What a plugin waits by, where it is not real time. */
  readonly time?: VmwareTools['time'];
}

/** An engine that holds its home. Disposing it leaves running jobs to be resumed, and frees the home. */
export interface ComposedEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly log: Log;
}

/** Before the path of a lab's socket, where another endpoint says how its agents are reached. */
export const LAB_AGENT = 'lab:';

/** Kinds of the simulated estate that no plugin of their own reaches yet. */
const MEMORY = ['physical', 'kvm'] as const;

/** The plugins of this program, each imported by name, and those that the home names. */
export const createRegistry = (ways: Ways = {}, own: readonly Plugin[] = []): Registry => {
  const openEstate = ways.openEstate ?? connectLab;
  const memory = MEMORY.map((profile) => createMemoryPlugin(profile, openEstate));
  const vendors = [createVmwarePlugin(vmwareTools(ways, openEstate)), createHypervPlugin(hypervTools(ways, openEstate))];
  return new Registry([...vendors, ...memory, ...own]);
};

/** Adapters are loaded when an endpoint needs them: a command that reaches no vCenter pays for none of this. */
const vmwareTools = ({ openWire, time }: Ways, openEstate: OpenEstate): VmwareTools => ({
  openVsphere: (client) => async (config, options) => {
    const { createOpenVsphere } = await import('../adapters/vsphere/open.ts');
    return createOpenVsphere(openWire)(client)(config, options);
  },
  openBlockDevices: (where) => {
    const lab = parseLabDevices(where);
    if (lab) return openLabDevices(openEstate, lab);
    return {
      open: async (disk, options) => {
        const { openBlockDevices } = await import('../adapters/block/linux.ts');
        return openBlockDevices(where).open(disk, options);
      },
    };
  },
  nbd: {
    startNbdkit: async (spec, options) => (await import('../adapters/nbd/nbdkit.ts')).startNbdkit(spec, options),
    openNbd: async (where, options) => (await import('../adapters/nbd/client.ts')).openNbd(where, options),
  },
  ...(time === undefined ? {} : { time }),
});

const hypervTools = ({ openPowerShell, time }: Ways, openEstate: OpenEstate): HypervTools => ({
  openPowerShell: async (target, options) => {
    if (openPowerShell) return openPowerShell(target, options);
    const { createOpenPowerShell } = await import('../adapters/powershell/open.ts');
    return createOpenPowerShell({ openSsh: async (...args) => (await import('../adapters/ssh/client.ts')).openSsh(...args) })(
      target,
      options,
    );
  },
  openAgent: async (way, options) => {
    if (way.agent.startsWith(LAB_AGENT)) {
      const { createLabAgent } = await import('../adapters/lab/powershell/agent.ts');
      return createLabAgent(await openEstate(way.agent.slice(LAB_AGENT.length)), way.host);
    }
    return (await import('./host-agent.ts')).openHostAgent(way, options);
  },
  ...(time === undefined ? {} : { time }),
});

/** Throws LOCKED_BY when another engine has the home, ENGINE_NEWER when a newer release wrote it. */
export const composeEngine = async (composition: Composition): Promise<ComposedEngine> => {
  const { home } = composition;
  await refuseNewerStore(home);
  const lock = lockHome(home);
  try {
    const store = await openStore(storePath(home));
    try {
      return await compose(composition, store, lock);
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
};

/** Before the home is touched at all, be it by its lock. */
const refuseNewerStore = async (home: string): Promise<void> => {
  if (existsSync(storePath(home))) await (await openStore(storePath(home), { readOnly: true })).close();
};

const TOKENS = {
  files: Symbol.for('warmsite.files'),
  store: Symbol.for('warmsite.store'),
  log: Symbol.for('warmsite.log'),
  runtime: Symbol.for('warmsite.runtime'),
  registry: Symbol.for('warmsite.registry'),
  secrets: Symbol.for('warmsite.secrets'),
  engine: Symbol.for('warmsite.engine'),
};

const compose = async (composition: Composition, store: Store, lock: HomeLock): Promise<ComposedEngine> => {
  const { Container } = await import('inversify');
  const { openLog } = await import('./log.ts');
  const { home } = composition;
  const own = await loadOwnPlugins(home);
  const log = openLog(join(home, 'log'), composition.debug);
  const scratchDir = join(home, 'scratch');
  mkdirSync(scratchDir, { recursive: true, mode: 0o700 });

  const container = new Container({ defaultScope: 'Singleton' });
  container.bind<Files>(TOKENS.files).toConstantValue(systemFiles);
  container.bind<Store>(TOKENS.store).toConstantValue(store);
  container.bind<Log>(TOKENS.log).toConstantValue(log);
  container.bind<Registry>(TOKENS.registry).toDynamicValue(() => createRegistry(composition.ways, own));
  container.bind<ResolveSecret>(TOKENS.secrets).toDynamicValue(() => createSecretResolver({ env: composition.env }));
  container
    .bind<Runtime>(TOKENS.runtime)
    .toResolvedValue((runtimeLog: Log): Runtime => ({ clock: systemClock, newId: newSystemId, log: runtimeLog }), [TOKENS.log]);
  container
    .bind<Engine>(TOKENS.engine)
    .toResolvedValue(
      (files: Files, runtime: Runtime, registry: Registry, resolveSecret: ResolveSecret) =>
        Engine.open({ home, runtime, files, store, registry, resolveSecret, scratchDir }),
      [TOKENS.files, TOKENS.runtime, TOKENS.registry, TOKENS.secrets],
    );

  const engine = await container.getAsync<Engine>(TOKENS.engine);
  return {
    engine,
    log,
    [Symbol.asyncDispose]: async () => {
      try {
        await engine[Symbol.asyncDispose]();
        await store.close();
      } finally {
        log.close();
        lock[Symbol.dispose]();
      }
    },
  };
};
