// What an installation needs before anybody relies on it. Changes nothing: the home is not even made.
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DrError, isDrError } from '../core/contract/index.ts';
import { storePath } from '../core/engine/home.ts';
import type { EndpointCheck } from '../core/engine/operations-endpoint.ts';
import { openStore } from '../core/state/database.ts';
import type { Cli } from './cli.ts';
import { engineListens } from './client.ts';
import { bytesText, visible } from './output/text.ts';
import { homeIsLocked } from './reader.ts';

export interface DoctorFinding {
  readonly level: 'ok' | 'warn' | 'fail';
  readonly what: string;
  readonly seen: string;
  readonly next?: string;
}

const LEAST_FREE_BYTES = 2 ** 30;
const LEAST_MAJOR = 24;
/** A clock before this release was made is wrong. */
const LEAST_TIME_MS = Date.UTC(2026, 0, 1);

const ok = (what: string, seen: string): DoctorFinding => ({ level: 'ok', what, seen });
const failed = (what: string, error: DrError): DoctorFinding => ({ level: 'fail', what, seen: visible(error.message), next: error.hint });

export const examine = async (cli: Cli): Promise<DoctorFinding[]> => {
  const findings = [checkNode(), checkClock(), checkHome(cli.home), await checkSpace(cli.home)];
  const store = await checkStore(cli.home);
  findings.push(...store);
  if (store.some((finding) => finding.level === 'fail')) return findings;
  findings.push(await checkEngine(cli), ...(await checkSites(cli)), ...(await checkEndpoints(cli)));
  return findings;
};

const checkNode = (): DoctorFinding => {
  const major = Number.parseInt(process.versions.node, 10);
  if (major >= LEAST_MAJOR) return ok('node', process.version);
  return { level: 'fail', what: 'node', seen: process.version, next: `install Node ${LEAST_MAJOR} or newer` };
};

const checkClock = (): DoctorFinding =>
  Date.now() > LEAST_TIME_MS
    ? ok('clock', new Date().toISOString())
    : { level: 'fail', what: 'clock', seen: new Date().toISOString(), next: 'set the clock: lag and retention are measured by it' };

/** The folder itself, or the nearest one above in which it would be made. */
const nearest = (path: string): string => (existsSync(path) || dirname(path) === path ? path : nearest(dirname(path)));

const checkHome = (home: string): DoctorFinding => {
  const at = nearest(home);
  try {
    accessSync(at, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return {
      level: 'fail',
      what: 'home',
      seen: `${home} cannot be written to`,
      next: 'set WARMSITE_HOME to a folder that you may write to',
    };
  }
  if (at !== home) return ok('home', `${home} will be made when something is set up`);
  const open = (statSync(home).mode & 0o077) !== 0;
  if (open) return { level: 'warn', what: 'home', seen: `${home} can be read by others`, next: `run chmod 700 ${home}` };
  return ok('home', home);
};

const checkSpace = async (home: string): Promise<DoctorFinding> => {
  const { bavail, bsize } = await statfs(nearest(home));
  const freeBytes = bavail * bsize;
  if (freeBytes >= LEAST_FREE_BYTES) return ok('disk space', `${bytesText(freeBytes)} free`);
  return {
    level: 'warn',
    what: 'disk space',
    seen: `${bytesText(freeBytes)} free`,
    next: 'free space where the home is: journals grow there',
  };
};

const checkStore = async (home: string): Promise<DoctorFinding[]> => {
  if (!existsSync(storePath(home))) return [ok('store', 'nothing is set up yet')];
  try {
    await (await openStore(storePath(home), { readOnly: true })).close();
    return [ok('store', 'of this release')];
  } catch (error) {
    if (!isDrError(error)) throw error;
    return [failed('store', error)];
  }
};

const checkEngine = async (cli: Cli): Promise<DoctorFinding> => {
  if (await engineListens(cli.home)) return ok('engine', 'runs and answers');
  if (homeIsLocked(cli.home)) return { level: 'warn', what: 'engine', seen: 'a command holds the home', next: 'wait until it has ended' };
  return { level: 'warn', what: 'engine', seen: 'nobody is replicating', next: 'run warmsite serve' };
};

const checkSites = async (cli: Cli): Promise<DoctorFinding[]> => {
  const sites = await cli.call<{ id: string }[]>('site.list', {});
  if (sites.length < 2)
    return [{ level: 'warn', what: 'sites', seen: `${sites.length} of 2`, next: 'run warmsite site add, or try the lab: warmsite lab up' }];
  return sites.map(({ id }) => {
    const directory = join(cli.home, 'sites', id);
    if (!existsSync(directory)) return ok(`site ${id}`, 'nothing is stored for it here yet');
    try {
      accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
      return ok(`site ${id}`, directory);
    } catch {
      return {
        level: 'fail',
        what: `site ${id}`,
        seen: `${directory} cannot be written to`,
        next: 'give it back to the account that warmsite runs under',
      };
    }
  });
};

const checkEndpoints = async (cli: Cli): Promise<DoctorFinding[]> => {
  if ((await cli.call<unknown[]>('endpoint.list', {})).length === 0) return [];
  try {
    const checks = await cli.call<EndpointCheck[]>('endpoint.check', {});
    return checks.flatMap((check) => {
      const what = `endpoint ${check.id}`;
      const found = check.findings.filter((finding) => finding.level !== 'info');
      if (found.length === 0) return [ok(what, check.facets.join(', '))];
      return found.map(
        (finding): DoctorFinding => ({
          level: finding.level === 'blocks' ? 'fail' : 'warn',
          what,
          seen: visible(finding.message),
          next: finding.hint,
        }),
      );
    });
  } catch (error) {
    if (!isDrError(error)) throw error;
    const level = isDrError(error, 'LOCKED_BY') ? 'warn' : 'fail';
    return [{ level, what: 'endpoints', seen: `not looked at: ${visible(error.message)}`, next: error.hint }];
  }
};
