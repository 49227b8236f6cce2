import { isFault } from '../../adapters/vsphere/port.ts';
import type { Call, Finding } from '../../core/contract/index.ts';
import { type DataPaths, NO_WRITER } from './movers/choose.ts';
import { PRIVILEGES, type Purpose, privilegesFor } from './privileges.ts';
import type { Vcenter } from './vcenter.ts';

const MOST_SKEW_MS = 5 * 60_000;
const PURPOSES: readonly Purpose[] = ['assess', 'protect', 'recover'];
/** Below, nobody has tried it and VMware supports it no more. */
const LEAST_VERSION = 6.7;

export const check = async (vcenter: Vcenter, paths: DataPaths, call: Call): Promise<readonly Finding[]> => {
  const { source, target } = await paths.findings(call);
  return [
    version(vcenter),
    ...(await rights(vcenter, call)),
    ...(await clock(vcenter, call)),
    source,
    // An endpoint that is read only is a good one.
    target === NO_WRITER ? { ...target, level: 'warning' } : target,
  ];
};

const version = ({ client }: Vcenter): Finding => {
  const { fullName, apiVersion } = client.about;
  const old = Number.parseFloat(apiVersion) < LEAST_VERSION;
  return old
    ? {
        code: 'VERSION',
        level: 'warning',
        message: `${fullName} (API ${apiVersion}) is older than ${LEAST_VERSION}`,
        hint: 'upgrade the server: what it does is not known here',
      }
    : { code: 'VERSION', level: 'info', message: `${fullName} (API ${apiVersion})`, hint: 'nothing to do' };
};

const rights = async (vcenter: Vcenter, call: Call): Promise<Finding[]> => {
  const { authorizationManager, rootFolder } = vcenter.client.content;
  if (!authorizationManager) return [];
  try {
    const args = { entity: [rootFolder], sessionId: vcenter.client.sessionKey, privId: PRIVILEGES.map(({ id }) => id) };
    const [answer] = await vcenter.call('HasPrivilegeOnEntities', authorizationManager, args, call);
    const held = new Set((answer?.privAvailability ?? []).filter(({ isGranted }) => isGranted).map(({ privId }) => privId));
    return PURPOSES.map((purpose) => rightsFor(purpose, held));
  } catch (error) {
    if (!isFault(error, 'MethodNotFound', 'NotSupported', 'NoPermission')) throw error;
    return [
      {
        code: 'RIGHTS_UNKNOWN',
        level: 'info',
        message: 'the server does not tell which rights the account has',
        hint: 'compare them with docs/plugins/vmware.md',
      },
    ];
  }
};

const rightsFor = (purpose: Purpose, held: ReadonlySet<string>): Finding => {
  const missing = privilegesFor(purpose).filter((id) => !held.has(id));
  if (missing.length === 0)
    return { code: 'RIGHTS', level: 'info', message: `the account may do all that it takes to ${purpose}`, hint: 'nothing to do' };
  return {
    code: 'RIGHTS_MISSING',
    level: 'warning',
    message: `to ${purpose} the account lacks ${missing.join(', ')} at the root`,
    hint: 'grant them to the account at the root, or on what it is to protect; docs/plugins/vmware.md says what each is for',
  };
};

/** Snapshots, events and tasks carry the server's time; lag is told by ours. */
const clock = async (vcenter: Vcenter, call: Call): Promise<Finding[]> => {
  const now = Date.parse(await vcenter.call('CurrentTime', { type: 'ServiceInstance', value: 'ServiceInstance' }, {}, call));
  const skewMs = Math.abs(now - vcenter.time.now());
  if (!(skewMs > MOST_SKEW_MS)) return [];
  return [
    {
      code: 'CLOCK_SKEW',
      level: 'warning',
      message: `the clock of the server differs from ours by ${Math.round(skewMs / 1000)} s`,
      hint: 'give both the same time source',
    },
  ];
};
