// The lab as a process of its own: killing the engine is then no power cut of both sites.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EstateSpec } from '../../adapters/lab/port.ts';
import { DrError } from '../../core/contract/index.ts';

export const labSocket = (directory: string): string => join(directory, 'lab.sock');

/** The password of the lab's vCenters and Hyper-V hosts: made up once, and kept where only the owner can read it. */
export const labSecret = (directory: string): { readonly path: string; readonly password: string } => {
  const path = join(directory, 'lab.secret');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (!existsSync(path)) writeFileSync(path, `${randomBytes(12).toString('hex')}\n`, { mode: 0o600 });
  return { path, password: readFileSync(path, 'utf8').trim() };
};

const READY_MS = 20_000;
const STOP_MS = 20_000;
const POLL_MS = 25;

const program = fileURLToPath(new URL(`../../adapters/lab/main${extname(import.meta.url)}`, import.meta.url));

export interface LabOptions {
  readonly directory: string;
  readonly seed: number;
  readonly spec: EstateSpec;
}

/** Starts a lab that outlives this process, and resolves when it answers. An estate that is in the directory already goes on as it was. */
export const startLab = async ({ directory, seed, spec }: LabOptions): Promise<number> => {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const estatePath = join(directory, 'estate.json');
  writeFileSync(estatePath, JSON.stringify(spec), { mode: 0o600 });
  const logPath = join(directory, 'lab.log');
  const log = openSync(logPath, 'a', 0o600);
  const child = spawn(process.execPath, [program, '--dir', directory, '--seed', String(seed), '--estate', estatePath], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
    cwd: directory,
  });
  closeSync(log);
  const { pid } = child;
  const said = child.stdout as Readable;
  const readiness = await Promise.race([
    once(said, 'data').then(() => 'ready' as const),
    once(child, 'exit').then(() => 'exited' as const),
    sleep(READY_MS, 'late' as const, { ref: false }),
  ]);
  if (readiness !== 'ready' || pid === undefined) {
    child.kill('SIGKILL');
    const last = readFileSync(logPath, 'utf8').trim().split('\n').at(-1) ?? '';
    throw new DrError('CONNECTION_REFUSED', `the lab did not start: ${last || 'it said nothing'}`, {
      hint: `look at ${logPath}`,
      context: { path: directory },
    });
  }
  said.destroy();
  child.unref();
  writeFileSync(join(directory, 'lab.pid'), `${pid}\n`, { mode: 0o600 });
  return pid;
};

/** The lab's process, when one runs on the directory: its number is believed only if the kernel says that it is a lab of this directory. */
export const findLab = (directory: string): number | undefined => {
  try {
    const pid = Number.parseInt(readFileSync(join(directory, 'lab.pid'), 'utf8'), 10);
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return line.includes(program) && line.includes(directory) ? pid : undefined;
  } catch {
    return undefined;
  }
};

/** Ends the lab in order, so that it goes on next time as it was. False when none runs. */
export const stopLab = async (directory: string): Promise<boolean> => {
  const pid = findLab(directory);
  if (pid === undefined) return false;
  process.kill(pid, 'SIGTERM');
  const until = Date.now() + STOP_MS;
  while (isAlive(pid)) {
    if (Date.now() > until)
      throw new DrError('TIMED_OUT', `the lab (process ${pid}) does not end`, { hint: `end it by hand: kill -9 ${pid}`, context: { pid } });
    await sleep(POLL_MS);
  }
  rmSync(join(directory, 'lab.pid'), { force: true });
  return true;
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
