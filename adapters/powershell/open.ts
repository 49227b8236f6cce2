// Sessions at a host by the three ways: a process here, SSH, and a process here that goes on by WinRM. The same lines travel over all of them.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DrError, type Log } from '../../core/contract/index.ts';
import type { OpenSsh, SshClient, SshTarget } from '../ssh/port.ts';
import { toDrError } from './errors.ts';
import { Pool } from './pool.ts';
import type { OpenPowerShell, PowerShellTarget, Transport } from './port.ts';
import { type PsProcess, startLocal } from './process.ts';
import { Session } from './session.ts';

const DEADLINE_MS = 60_000;
const MODULE = join(import.meta.dirname, 'module');
const FILES = ['Warmsite.Dispatcher.psm1', 'allowed.json'] as const;
const DISPATCHER = FILES[0];

type SshTransport = Extract<Transport, { kind: 'ssh' }>;
type WinrmTransport = Extract<Transport, { kind: 'winrm' }>;

interface Way extends AsyncDisposable {
  start(options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs: number }): Promise<PsProcess>;
  /** PowerShell's own name of the module's file, as an expression without data of others. */
  readonly module: string;
  /** What comes before the first request. */
  readonly connect?: object;
}

export const createOpenPowerShell =
  ({ openSsh }: { readonly openSsh: OpenSsh }): OpenPowerShell =>
  async (target, { signal, deadlineMs = DEADLINE_MS, log } = {}) => {
    const way = await openWay(openSsh, target, { signal, deadlineMs });
    const start = (options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs: number }) =>
      startSession(target.host, way, { ...options, log });
    try {
      return new Pool(target.host, await start({ signal, deadlineMs }), start, async () => way[Symbol.asyncDispose]());
    } catch (error) {
      await way[Symbol.asyncDispose]();
      throw error;
    }
  };

interface StartOptions {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
  readonly log?: Log | undefined;
}

const startSession = async (host: string, way: Way, { signal, deadlineMs, log }: StartOptions): Promise<Session> => {
  const session = new Session(host, await way.start({ signal, deadlineMs }), log);
  try {
    // Without the module the next line would be answered by nobody.
    session.send(
      `try { Import-Module -Name ${way.module} -ErrorAction Stop } catch { [Console]::Error.WriteLine($_.Exception.Message); exit 70 }`,
    );
    const reply = way.connect
      ? await session.connect(way.connect, { signal, deadlineMs })
      : await session.request([], { signal, deadlineMs });
    if (reply.error) throw toDrError(reply.error, { host, steps: [] });
    return session;
  } catch (error) {
    session.kill(new DrError('CONNECTION_LOST', `the session at ${host} did not begin`, { context: { name: host } }));
    throw error;
  }
};

const openWay = async (openSsh: OpenSsh, { host, transport }: PowerShellTarget, options: Omit<StartOptions, 'log'>): Promise<Way> => {
  if (transport.kind === 'ssh') return sshWay(await openSsh(sshTarget(host, transport), options), transport, options);
  if (transport.kind === 'winrm') return localWay(transport.executable, { env: accountOf(transport), connect: winrmOf(host, transport) });
  return localWay(transport.executable, {
    env: accountOf(transport),
    ...(host === 'localhost' ? {} : { connect: { computerName: host } }),
  });
};

// ---- on this machine -------------------------------------------------------------------------------------------------

const localWay = (
  executable = process.platform === 'win32' ? 'powershell' : 'pwsh',
  { env, connect }: { readonly env: Readonly<Record<string, string>>; readonly connect?: object },
): Way => ({
  start: () => startLocal({ executable, env: { ...env, WARMSITE_PS_MODULE: join(MODULE, DISPATCHER) } }),
  module: '$env:WARMSITE_PS_MODULE',
  ...(connect ? { connect } : {}),
  [Symbol.asyncDispose]: async () => undefined,
});

/** By the environment: arguments are seen by everybody on the machine, and lines may be logged by PowerShell (about_Logging). */
const accountOf = ({ username, password }: { readonly username?: string | undefined; readonly password?: string | undefined }) => ({
  ...(username === undefined ? {} : { WARMSITE_PS_USERNAME: username }),
  ...(password === undefined ? {} : { WARMSITE_PS_PASSWORD: password }),
});

const winrmOf = (computerName: string, { configurationName, certificateThumbprint }: WinrmTransport): object => ({
  computerName,
  ...(configurationName === undefined ? {} : { configurationName }),
  ...(certificateThumbprint === undefined ? {} : { certificateThumbprint }),
});

// ---- SSH -------------------------------------------------------------------------------------------------------------

const sshWay = async (client: SshClient, transport: SshTransport, options: Omit<StartOptions, 'log'>): Promise<Way> => {
  try {
    const folder = await stage(client, options);
    const program = transport.executable === undefined ? 'powershell.exe' : quoted(transport.executable);
    return {
      start: async (starting) => {
        const process = await client.exec(`${program} -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command -`, starting);
        const ended = process.ended.then(({ code, signal }) =>
          signal ? `ended by ${signal}` : `ended with exit code ${code ?? 'unknown'}`,
        );
        const { stdin, stdout, stderr } = process;
        return { stdin, stdout, stderr, ended, kill: () => process.kill() };
      },
      module: `(Join-Path $HOME '${folder}/${DISPATCHER}')`,
      [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
    };
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
};

/** A program's path becomes part of a command line: no character that any shell reads. */
const quoted = (executable: string): string => {
  if (/^[A-Za-z0-9 _.:/\\()-]+$/.test(executable)) return `"${executable}"`;
  throw new DrError('CONFIG_INVALID', `the path of PowerShell ${JSON.stringify(executable)} has characters that a shell would read`, {
    hint: 'name a path of letters, digits, spaces and . : / \\ _ - ( )',
    context: { key: 'executable', path: executable },
  });
};

/** In a folder named by its content: another release beside this one has its own, and a half written file is never loaded. */
const stage = async (client: SshClient, options: Omit<StartOptions, 'log'>): Promise<string> => {
  const contents = FILES.map((name) => ({ name, content: readFileSync(join(MODULE, name)) }));
  const folder = `.warmsite/${hash('sha256', Buffer.concat(contents.map(({ content }) => content)), 'hex').slice(0, 32)}`;
  for (const { name, content } of contents) {
    const there = await client.readFile(`${folder}/${name}`, options);
    if (!there || !content.equals(there)) await client.putFile(`${folder}/${name}`, content, options);
  }
  return folder;
};

const sshTarget = (
  address: string,
  { username, password, keyFile, passphrase, agent, pin, knownHosts, jump }: SshTransport,
): SshTarget => ({
  ...{ address, username, password, keyFile, passphrase, agent, pin, knownHosts },
  ...(jump === undefined ? {} : { jump: jumpOf(jump, { keyFile, passphrase, agent, knownHosts }) }),
});

const jumpOf = (jump: string, keys: Partial<SshTarget>): SshTarget => {
  const [, username, address] = /^([^@]+)@(.+)$/.exec(jump) ?? [];
  if (username !== undefined && address !== undefined) return { ...keys, address, username };
  throw new DrError('CONFIG_INVALID', `the jump host ${JSON.stringify(jump)} is not of the form user@host`, {
    hint: 'write it as user@host or user@host:port',
    context: { key: 'jump' },
  });
};
