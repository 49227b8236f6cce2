// One PowerShell process on this machine. node-powershell starts it and does nothing else: its own calls escape nothing safely, keep every command
// in memory, and take a process that has died for a success (docs/design/decisions.md).
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { DrError } from '../../core/contract/index.ts';

/** A process that reads lines of PowerShell, wherever it runs. */
export interface PsProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, in words. Never rejects. */
  readonly ended: Promise<string>;
  /** With whatever it has started. */
  kill(): void;
}

export interface LocalOptions {
  /** A name is looked up in PATH. */
  readonly executable: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Colours, update checks and telemetry write to the streams or reach for the network (about_Telemetry, about_Update_Notifications). */
const QUIET = { NO_COLOR: '1', TERM: 'dumb', POWERSHELL_TELEMETRY_OPTOUT: '1', POWERSHELL_UPDATECHECK: 'Off' };

/** CONFIG_INVALID when there is no such executable. */
export const startLocal = async ({ executable, env = {} }: LocalOptions): Promise<PsProcess> => {
  // node-powershell would take the whole process down with it (measured).
  const path = findExecutable(executable);
  const { PowerShell } = await import('node-powershell');
  class Starter extends PowerShell {
    /** Whatever $NODE_POWERSHELL says. */
    protected override setExecutable(): string {
      return path;
    }
    begun() {
      const { process, exitPromise } = this as unknown as {
        readonly process: import('node:child_process').ChildProcess;
        readonly exitPromise: Promise<void>;
      };
      exitPromise.catch(() => undefined);
      return process;
    }
  }
  const starter = new Starter({
    executableOptions: { '-NoProfile': true, '-NonInteractive': true },
    spawnOptions: { env: { ...process.env, ...QUIET, ...env } },
  });
  const child = starter.begun();
  const { stdin, stdout, stderr } = starter.streams;
  stdin.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with exit code ${code}`));
  });
  return { stdin, stdout, stderr, ended, kill: () => killTree(child) };
};

const killTree = (child: { readonly pid?: number | undefined; kill(signal: NodeJS.Signals): boolean }): void => {
  if (process.platform !== 'win32' || child.pid === undefined) {
    child.kill('SIGKILL');
    return;
  }
  const killer = spawn('taskkill', ['/PID', String(child.pid), '/T', '/F'], { stdio: 'ignore' });
  killer.once('error', () => child.kill('SIGKILL'));
};

const findExecutable = (name: string): string => {
  const suffixes = process.platform === 'win32' ? ['', '.exe', '.cmd'] : [''];
  const places = isAbsolute(name) || name.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  for (const place of places)
    for (const suffix of suffixes) if (isExecutable(join(place, name + suffix))) return join(place, name + suffix);
  throw new DrError('CONFIG_INVALID', `there is no PowerShell at ${JSON.stringify(name)}`, {
    hint: 'install PowerShell, or name it in the key executable of the endpoint',
    context: { key: 'executable', path: name },
  });
};

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};
