// The agent as a program; scripts/agent.ts makes one file of it.

import { Socket } from 'node:net';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { asDrError, DrError } from '../../core/contract/errors.ts';
import { HostDevices } from './devices.ts';
import { parseAddress, readPem } from './dial.ts';
import { listen } from './listen.ts';
import { platformOf } from './platform.ts';
import { serveAgent } from './server.ts';
import { AGENT_VERSION } from './version.ts';

const HELP = `warmsite-agent: reads and writes disks of this host for Warmsite

  warmsite-agent --stdio
      speaks over standard input and output; started by sshd
  warmsite-agent --listen HOST:PORT --certificate FILE --key FILE --ca FILE [--client-sha256 HEX]
      a service over TLS 1.3; lets in clients whose certificate the authority in --ca has signed

  --client-sha256 HEX  of these clients only the one whose certificate has this fingerprint
  --files DIR          also serve regular files below DIR in the place of disks (Linux; for tests)
  --version            print the version
  --help               print this

Exit codes: 0 done, 1 failed, 2 usage, 7 the client has gone.
`;

const OPTIONS = {
  stdio: { type: 'boolean' },
  listen: { type: 'string' },
  certificate: { type: 'string' },
  key: { type: 'string' },
  ca: { type: 'string' },
  'client-sha256': { type: 'string' },
  files: { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

type Flags = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

const SEE_HELP = 'run warmsite-agent --help to see what it takes';

const usage = (message: string): DrError => new DrError('USAGE', message, { hint: SEE_HELP });

/** Standard output carries the wire, so that this is all it has to say anything by. */
const log = (line: string): void => void process.stderr.write(`${line}\n`);

const readFlags = (): Flags => {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    const [said = ''] = (error as Error).message.split(/\.\s|\.$|\n/);
    throw usage(said.charAt(0).toLowerCase() + said.slice(1));
  }
};

const main = async (): Promise<void> => {
  const flags = readFlags();
  if (flags.help) return void process.stdout.write(HELP);
  if (flags.version) return void process.stdout.write(`${AGENT_VERSION}\n`);
  if ((flags.stdio === true) === (flags.listen !== undefined)) throw usage('the agent takes either --stdio or --listen');
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(name, () => stop.abort());
  const platform = platformOf(process.platform, flags.files);
  const { open } = new HostDevices(platform);
  const info = { version: AGENT_VERSION, platform: platform.name, hostname: hostname() };
  if (flags.stdio) await serveAgent({ input: process.stdin, output: standardOutput(), open, info, signal: stop.signal });
  else await serveClients(flags, { open, info }, stop.signal);
};

/** Not process.stdout, which blocks this whole program while a client is slow to read, on Windows at least. */
const standardOutput = (): Socket => {
  try {
    return new Socket({ fd: 1, readable: false, writable: true });
  } catch (cause) {
    throw new DrError('USAGE', 'with --stdio the agent speaks to a program, over pipes', { hint: SEE_HELP, cause });
  }
};

const serveClients = async (
  { listen: address = '', certificate, key, ca, 'client-sha256': pin }: Flags,
  served: Pick<Parameters<typeof listen>[0], 'open' | 'info'>,
  signal: AbortSignal,
): Promise<void> => {
  const where = parseAddress(address);
  if (!where) throw usage(`--listen takes HOST:PORT, not ${address}`);
  if (certificate === undefined || key === undefined || ca === undefined) throw usage('--listen needs --certificate, --key and --ca');
  const clientSha256 = pin?.replaceAll(':', '').toLowerCase();
  if (clientSha256 !== undefined && !/^[0-9a-f]{64}$/.test(clientSha256)) throw usage('--client-sha256 takes 64 hex digits');
  const pem = { certificate: await readPem(certificate), key: await readPem(key), ca: await readPem(ca) };
  await using listener = await listen({ ...where, ...pem, ...served, clientSha256, log });
  log(`listening at ${where.host}:${listener.port}`);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
};

main().catch((error: unknown) => {
  const { code, message, hint, exitCode } = asDrError(error);
  log(`${code}: ${message}\n${hint}`);
  process.exitCode = exitCode;
});
