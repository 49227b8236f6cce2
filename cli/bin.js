#!/usr/bin/env node
// Starts the program on a Node that can run it. Plain JavaScript, because it may itself be started by an older Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const LEAST_MAJOR = 24;
const here = dirname(fileURLToPath(import.meta.url));

/** Node strips types everywhere but under node_modules: there the published JavaScript runs. */
const entry = () => {
  const source = join(here, 'main.ts');
  const inPackage = here.includes(`${sep}node_modules${sep}`);
  return !inPackage && existsSync(source) ? source : join(here, '..', 'dist', 'cli', 'main.js');
};

const findPinned = () => {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const file = process.platform === 'win32' ? 'node.exe' : 'node';
  for (let folder = dirname(here); ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', `node-${platform}-${process.arch}`, 'bin', file);
    if (existsSync(path)) return path;
    if (dirname(folder) === folder) return undefined;
  }
};

const runHere = async () => {
  const { enableCompileCache } = await import('node:module');
  // Not in the shared temporary folder: what lies there is run as code.
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  if (!process.env.NODE_DISABLE_COMPILE_CACHE) enableCompileCache(join(cache, 'warmsite', 'compile'));
  // What is read in passing would grow the young generation to 64 MB of garbage; kept small it is collected as fast.
  setFlagsFromString('--semi-space-growth-factor=1');
  await import(entry());
};

const runPinned = (node) => {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`error: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
};

if (Number.parseInt(process.versions.node, 10) >= LEAST_MAJOR) await runHere();
else {
  const node = findPinned();
  if (node) runPinned(node);
  else {
    process.stderr.write(
      `error: warmsite needs Node ${LEAST_MAJOR} or newer, this is ${process.version}: run npm ci in its folder, or install Node ${LEAST_MAJOR}\n`,
    );
    process.exitCode = 2;
  }
}
