import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectLab } from '../../../../adapters/lab/client.ts';
import type { EstatePort } from '../../../../adapters/lab/port.ts';

const MAIN = fileURLToPath(new URL('../../../../adapters/lab/main.ts', import.meta.url));

/** A directory that goes with the test. */
export const temporary = (): Disposable & { readonly path: string } => {
  const path = mkdtempSync(join(tmpdir(), 'lab-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

/** The lab as a process of its own, killed at the latest when the test ends. */
export class LabProcess implements AsyncDisposable {
  readonly socketPath: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  readonly #said: string[];
  readonly #ports: EstatePort[] = [];

  constructor(socketPath: string, child: ChildProcess, exited: Promise<number | null>, said: string[]) {
    this.socketPath = socketPath;
    this.#child = child;
    this.#exited = exited;
    this.#said = said;
  }

  static async start(directory: string, ...args: string[]): Promise<LabProcess> {
    const child = spawn(process.execPath, [MAIN, '--dir', directory, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    const said: string[] = [];
    createInterface(child.stderr!).on('line', (line) => said.push(line));
    const ready = new Promise<string>((resolve) => createInterface(child.stdout!).once('line', resolve));
    const line = await Promise.race([ready, exited]);
    if (typeof line !== 'string') throw new Error(`the lab ended with ${line}: ${said.join(' ')}`);
    return new LabProcess(line.replace(/^ready /, ''), child, exited, said);
  }

  /** What it said on stderr so far. */
  get said(): string {
    return this.#said.join('\n');
  }

  async connect(): Promise<EstatePort> {
    const port = await connectLab(this.socketPath);
    this.#ports.push(port);
    return port;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const port of this.#ports) await port[Symbol.asyncDispose]();
    await this.end('SIGKILL');
  }
}
