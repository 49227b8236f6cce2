import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { VsphereConfig } from '../../../../adapters/vsphere/port.ts';

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a module on this Node to its end, with a session's configuration as `config` in it. */
export const runModule = async (
  source: string,
  config: VsphereConfig,
  { args = [], env = {} }: { readonly args?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> => {
  const program = `const config = JSON.parse(process.env.TEST_CONFIG);\n${source}`;
  const child = spawn(process.execPath, [...args, '--input-type=module', '-e', program], {
    env: { ...process.env, ...env, TEST_CONFIG: JSON.stringify(config) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // One that does not end by itself must not outlive the test.
    timeout: 15_000,
  });
  const [out, err] = [child.stdout, child.stderr].map((stream) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    return parts;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out: Buffer.concat(out!).toString(), err: Buffer.concat(err!).toString() };
};

/** The modules of the thread, to be loaded after this. */
export const RECORD_MODULES = `
import { registerHooks } from 'node:module';
const loaded = [];
registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
`;
