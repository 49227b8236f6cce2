// `npm test` on a fresh clone: installs what is missing, then runs mocha on the pinned Node. Plain JavaScript, because it may start on an older Node.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = (command, args) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) process.exit(status ?? 1);
};

/** What proves again on a true engine, for minutes, what the rest proves over a stand-in: `npm run test:powershell` runs it too. */
const LONG = ['test/powershell/conformance.test.ts', 'test/powershell/main-job.test.ts'];

function withoutPowerShell() {
  const places = [process.env.WARMSITE_PWSH ?? '', ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'pwsh'))];
  if (places.some((path) => path !== '' && existsSync(path))) return LONG.flatMap((file) => ['--ignore', file]);
  console.log('test/powershell is left out: pwsh is not installed (dotnet tool install --global PowerShell)');
  return ['--ignore', 'test/powershell/**'];
}

if (!existsSync(join(root, 'node_modules', 'mocha'))) run('npm', ['ci', '--no-audit', '--no-fund']);
const given = process.argv.slice(2);
// The longest first, so that none of them is left to run alone. No file is in two of these: it would run twice.
const files = [
  'test/fault/fault-sweep.test.ts',
  'test/unit/**/conformance.test.ts',
  'test/model/**/*.test.ts',
  'test/!(fault|model|unit)/**/*.test.ts',
  'test/fault/!(fault-sweep).test.ts',
  'test/unit/**/!(conformance).test.ts',
];
// Files side by side; more than a few would take each other's time where a test waits for a process.
const jobs = Math.min(availableParallelism(), 4);
const everything = ['--parallel', '--jobs', String(jobs), ...files, ...withoutPowerShell()];
run('npx', ['--no-install', 'mocha', ...(given.some((word) => word.endsWith('.ts')) ? [] : everything), ...given]);
