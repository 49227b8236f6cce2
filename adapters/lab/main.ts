// The lab as a process of its own: node adapters/lab/main.ts --dir DIR [--seed N] [--estate FILE.json] [--disk-bytes N]
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { asDrError, DrError } from '../../core/contract/index.ts';
import { demoEstate } from './demo-estate.ts';
import { Dispatcher } from './dispatch.ts';
import { LabHome } from './home.ts';
import type { EstateSpec } from './port.ts';
import { writeLauncher } from './powershell/launcher.ts';
import { assertFree, serve } from './server.ts';
import { serveVcenter } from './vsphere/server.ts';

const SAVE_EVERY_MS = 1000;
const DEMO_DISK_BYTES = 64 << 20;

const readSpec = (path: string): EstateSpec => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as EstateSpec;
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `${path} is no description of an estate`, { context: { path }, cause });
  }
};

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: { dir: { type: 'string' }, seed: { type: 'string' }, estate: { type: 'string' }, 'disk-bytes': { type: 'string' } },
  });
  if (values.dir === undefined) throw new DrError('USAGE', 'the lab needs a directory: --dir DIR');
  const directory = resolve(values.dir);
  const socketPath = join(directory, 'lab.sock');
  await assertFree(socketPath);
  const { estate: specPath, 'disk-bytes': diskBytes = String(DEMO_DISK_BYTES) } = values;
  const home = LabHome.open({
    directory,
    seed: values.seed ?? 1,
    spec: () => (specPath === undefined ? demoEstate({ diskBytes: Number(diskBytes) }) : readSpec(specPath)),
    say: (line) => process.stderr.write(`${line}\n`),
  });
  const dispatcher = new Dispatcher(home.estate, 0);
  const { vcenters } = dispatcher;
  await vcenters.serve((vcenter) => serveVcenter(vcenter, { directory, afterCall: () => home.save(false) }));
  dispatcher.powerShell = writeLauncher(directory, socketPath);
  const server = await serve(dispatcher, socketPath, () => home.save(false));
  home.estate.timeline.start();
  // Guests boot and stop by themselves too: that must be on record without a call.
  const saver = setInterval(() => home.save(false), SAVE_EVERY_MS);
  const end = async () => {
    clearInterval(saver);
    await server[Symbol.asyncDispose]();
    await vcenters[Symbol.asyncDispose]();
    home.close();
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => void end().then(() => process.exit(0)));
  process.stdout.write(`ready ${server.path}\n`);
};

main().catch((error: unknown) => {
  const { code, message, hint, exitCode } = asDrError(error);
  process.stderr.write(`${code}: ${message}\n${hint}\n`);
  process.exitCode = exitCode;
});
