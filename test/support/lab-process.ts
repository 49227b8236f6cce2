// The command line with a lab as a process of its own; both end with the test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectLab } from '../../adapters/lab/client.ts';
import type { EstatePort } from '../../adapters/lab/port.ts';
import { labSocket, stopLab } from '../../cli/lab/process.ts';

const BIN = resolve('cli/bin.js');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A process of the program that is still running. */
export interface Started {
  readonly pid: number;
  /** Resolves when stdout or stderr has this text; rejects when the process ends before. */
  said(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

export class LabSession implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'ws-e2e-'));
  readonly home = join(this.folder, 'home');
  readonly lab = join(this.home, 'lab');
  readonly #children = new Set<Started>();

  start(...args: readonly string[]): Started {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...process.env, WARMSITE_HOME: this.home, HOME: this.folder, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.folder,
    });
    let out = '';
    let err = '';
    const listeners = new Set<() => void>();
    child.stdout.on('data', (part: Buffer) => {
      out += String(part);
      for (const listen of listeners) listen();
    });
    child.stderr.on('data', (part: Buffer) => {
      err += String(part);
      for (const listen of listeners) listen();
    });
    const ended = once(child, 'close').then(([code]): Ended => ({ code: code as number | null, out, err }));
    const started: Started = {
      pid: child.pid ?? 0,
      said: (text) =>
        new Promise((done, reject) => {
          const listen = () => {
            if (!out.includes(text) && !err.includes(text)) return;
            listeners.delete(listen);
            done();
          };
          listeners.add(listen);
          listen();
          void ended.then(() => reject(new Error(`it ended without saying ${JSON.stringify(text)}:\n${out}${err}`)));
        }),
      kill: (signal) => void child.kill(signal),
      ended,
    };
    this.#children.add(started);
    void ended.then(() => this.#children.delete(started));
    return started;
  }

  run(...args: readonly string[]): Promise<Ended> {
    return this.start(...args).ended;
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    const { out } = await this.run(...args, '-o', 'json');
    return JSON.parse(out) as T;
  }

  control(): Promise<EstatePort> {
    return connectLab(labSocket(this.lab));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all([...this.#children].map((child) => child.ended));
    await stopLab(this.lab);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
