// govmomi's simulator as a process of its own: a vCenter that we did not write.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { VsphereConfig } from '../../adapters/vsphere/port.ts';

const SOURCE = join(import.meta.dirname, 'drsim/main.go');
/** Where Debian keeps the sources of its Go libraries. */
const GO_SOURCES = '/usr/share/gocode';
const SIMULATOR = join(GO_SOURCES, 'src/github.com/vmware/govmomi/simulator/simulator.go');
const CACHE = resolve('node_modules/.cache/drsim');
const INSTALL = 'apt-get install golang-go golang-github-vmware-govmomi-dev';
/** A build with nothing in Go's own cache took 56 s on two cores. */
const BUILD_MS = 240_000;
const START_MS = 60_000;

export interface DrsimOptions {
  readonly vms?: number;
  readonly hosts?: number;
  readonly datastores?: number;
  readonly portGroups?: number;
  /** Before each answer. */
  readonly delayMs?: number;
  readonly sessionIdleMs?: number;
  /** The version that it claims; its own is 6.5. */
  readonly apiVersion?: string;
  /** Numbers in the references of objects that are made later begin after it. */
  readonly first?: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Any credentials are accepted. */
  readonly anyone?: boolean;
}

export interface Drsim extends AsyncDisposable {
  readonly address: string;
  readonly username: string;
  readonly password: string;
  /** SHA-256 of its certificate in hex. */
  readonly pin: string;
  readonly url: string;
  readonly config: VsphereConfig;
  readonly pid: number;
  /** Where its datastores are. */
  readonly folder: string;
  /** What it has said since its start; a call that it dies of shows here. */
  log(): string;
}

/** What the simulator cannot be built without and is not here; undefined when nothing is missing. */
export const missingTool = (): string | undefined => {
  if (spawnSync('go', ['version']).status !== 0) return 'go';
  return existsSync(SIMULATOR) ? undefined : 'the simulator library of govmomi';
};

/** For a `before` hook: skips its tests under titles that name what is absent, else builds the program. */
export const requireDrsim = async (context: Mocha.Context): Promise<void> => {
  const missing = missingTool();
  if (missing !== undefined) {
    context.test!.parent!.eachTest((test) => {
      test.title += ` [needs ${missing}: ${INSTALL}]`;
    });
    context.skip();
  }
  context.timeout(BUILD_MS);
  await buildDrsim();
};

/** The program, built once for each state of its source and of the library. */
const buildDrsim = async (): Promise<string> => {
  const key = createHash('sha256')
    .update(readFileSync(SOURCE))
    .update(String(statSync(SIMULATOR).mtimeMs))
    .digest('hex')
    .slice(0, 16);
  const program = join(CACHE, `drsim-${key}`);
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  const workspace = mkdtempSync(join(CACHE, 'build-'));
  try {
    mkdirSync(join(workspace, 'src'));
    symlinkSync(join(import.meta.dirname, 'drsim'), join(workspace, 'src/drsim'));
    const made = join(workspace, 'made');
    await promisify(execFile)('go', ['build', '-ldflags=-s -w', '-o', made, 'drsim'], {
      env: { GOCACHE: join(CACHE, 'go'), ...process.env, GOPATH: `${workspace}:${GO_SOURCES}`, GO111MODULE: 'off', CGO_ENABLED: '0' },
    });
    renameSync(made, program);
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
  return program;
};

const flags = (options: DrsimOptions): string[] => {
  const { vms, hosts, datastores, portGroups, delayMs, sessionIdleMs, apiVersion, first } = options;
  const given = {
    vm: vms,
    host: hosts,
    ds: datastores,
    pg: portGroups,
    delay: delayMs,
    'session-timeout': sessionIdleMs === undefined ? undefined : `${sessionIdleMs}ms`,
    api: apiVersion,
    first,
  };
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`-${name}=${value}`]));
};

/** Ends with its disposal, and with this process however that ends. */
export const startDrsim = async (options: DrsimOptions = {}): Promise<Drsim> => {
  const program = await buildDrsim();
  const credentials = { username: options.username ?? 'dr', password: options.password ?? 'p&<>"\'ä' };
  const child = spawn(program, flags(options), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, DRSIM_USER: options.anyone ? '' : credentials.username, DRSIM_PASSWORD: credentials.password },
  });
  const ended = once(child, 'exit');
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-65_536);
  });
  const { address, pin, folder } = await readiness(child, () => said);
  const config = { address, ...credentials, pin };
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await ended;
    // It does so itself, unless it has crashed.
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...config, config, url: `https://${address}/sdk`, pid: child.pid!, folder, log: () => said, [Symbol.asyncDispose]: stop };
};

interface Ready {
  readonly address: string;
  readonly pin: string;
  readonly folder: string;
}

const readiness = async (child: ChildProcess, said: () => string): Promise<Ready> => {
  const ready = Promise.withResolvers<Ready>();
  let out = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    const [, address, pin, folder] = /^READY (\S+) (\S+) (.+)\n/.exec(out) ?? [];
    if (address !== undefined && pin !== undefined && folder !== undefined) ready.resolve({ address, pin, folder });
  });
  child.once('error', ready.reject);
  child.once('exit', (code) => ready.reject(new Error(`drsim has ended with ${code}: ${said()}`)));
  const late = setTimeout(() => {
    child.kill();
    ready.reject(new Error(`drsim was not ready within ${START_MS} ms: ${said()}`));
  }, START_MS);
  return ready.promise.finally(() => clearTimeout(late));
};
