// The second way to simulated hosts: the real client, a true PowerShell, the shipped dispatcher, and mock modules that forward to the hosts.
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryStore } from '../../../adapters/lab/backing.ts';
import { build } from '../../../adapters/lab/build.ts';
import { Dispatcher } from '../../../adapters/lab/dispatch.ts';
import { Estate } from '../../../adapters/lab/estate.ts';
import { type InProcessEstate, type InProcessOptions, serveInProcess } from '../../../adapters/lab/in-process.ts';
import { createOpenPowerShell } from '../../../adapters/powershell/open.ts';
import type { OpenPowerShell, PowerShell } from '../../../adapters/powershell/port.ts';
import { DrError } from '../../../core/contract/index.ts';
import type { MockModules } from './modules.ts';
import { TwinServer } from './twin-server.ts';

export interface TrueEstate extends InProcessEstate {
  /** Parameter sets that PowerShell has chosen otherwise than the twin. */
  readonly disagreements: readonly string[];
  /** Resolves when nobody waits for PowerShell: whoever moves the clock by hand must not move it meanwhile. */
  readonly quiet: () => Promise<void>;
}

/** An estate in process whose Hyper-V hosts are spoken to through a true PowerShell. */
export const createTrueEstate = async (modules: MockModules, options: InProcessOptions): Promise<TrueEstate> => {
  const { spec, seed, clock, startMs, msPerCall = 1 } = options;
  const estate = new Estate({ seed, clock, startMs, store: memoryStore() });
  build(estate, spec);
  const dispatcher = new Dispatcher(estate, msPerCall);
  const lab = serveInProcess(dispatcher);
  const waits = new Waits(() => estate.timeline.hold());
  const server = await TwinServer.listen({ hosts: dispatcher.hosts, working: (begins) => waits.count(begins ? -1 : 1) });
  const executable = await writeLauncher({ modules, socketPath: server.socketPath });
  const openTrue = createOpenPowerShell({
    openSsh: async () => {
      throw new DrError('INTERNAL', 'nobody asked for SSH');
    },
  });
  const shells = new Set<PowerShell>();
  const openPowerShell: OpenPowerShell = async ({ host, transport }, open) => {
    const { username, password } = transport as { readonly username?: string; readonly password?: string };
    const shell = await waits.during(() => openTrue({ host, transport: { kind: 'local', executable, username, password } }, open));
    shells.add(shell);
    return {
      host,
      run: (steps, run) => waits.during(() => shell.run(steps, run)),
      [Symbol.asyncDispose]: async () => {
        shells.delete(shell);
        await shell[Symbol.asyncDispose]();
      },
    };
  };
  return {
    ...lab,
    openPowerShell,
    disagreements: server.disagreements,
    quiet: () => waits.over(),
    [Symbol.asyncDispose]: async () => {
      for (const shell of shells) await shell[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
};

/** Counts what waits for PowerShell: meanwhile time must not jump. */
class Waits {
  readonly #hold: () => () => void;
  #count = 0;
  #waiting: { readonly over: Promise<void>; end(): void } | undefined;

  constructor(hold: () => () => void) {
    this.#hold = hold;
  }

  count(change: number): void {
    this.#count += change;
    if (this.#count > 0) this.#waiting ??= this.#begun();
    else {
      this.#waiting?.end();
      this.#waiting = undefined;
    }
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.count(1);
    try {
      return await work();
    } finally {
      this.count(-1);
    }
  }

  async over(): Promise<void> {
    await this.#waiting?.over;
  }

  #begun() {
    const release = this.#hold();
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => {
      release();
      resolve();
    };
    return { over: promise, end };
  }
}

interface Launching {
  readonly modules: MockModules;
  readonly socketPath: string;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const writeLauncher = async ({ modules, socketPath }: Launching): Promise<string> => {
  const path = `${socketPath}.pwsh`;
  const lines = [
    '#!/bin/sh',
    `export WARMSITE_MOCK_SOCKET=${quoted(socketPath)} WARMSITE_MOCK_MODULES=${quoted(modules.folder)}`,
    `export WARMSITE_MOCK_DISPATCHER="$WARMSITE_PS_MODULE" WARMSITE_PS_MODULE=${quoted(join(import.meta.dirname, 'Session.psm1'))}`,
    `exec ${quoted(modules.pwsh)} "$@"`,
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  await chmod(path, 0o700);
  return path;
};
