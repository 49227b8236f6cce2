import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { ProfileName } from '../../../../adapters/lab/port.ts';
import type { Subject } from '../../../../core/conformance/index.ts';
import { DrError, type Log } from '../../../../core/contract/index.ts';
import { createMemoryPlugin } from '../../../../plugins/memory/index.ts';
import { KIT_ACCOUNT, kitEstate, kitLab } from '../../../support/kit-estate.ts';

const MIB = 2 ** 20;
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export interface MemorySubject extends AsyncDisposable {
  readonly subject: Subject;
  readonly estate: InProcessEstate;
}

/** A fresh estate for each subject: what one run leaves or breaks, the next does not see. */
export const memorySubject = async (profile: ProfileName): Promise<MemorySubject> => {
  const estate = createEstate({ spec: kitEstate(profile) });
  const plugin = createMemoryPlugin(profile, async (address) => {
    if (address !== 'nowhere') return estate.open();
    throw new DrError('CONNECTION_REFUSED', 'no lab answers at nowhere');
  });
  const config = { endpoint: 'endpoint', ...KIT_ACCOUNT };
  const call = { signal: new AbortController().signal, deadlineMs: 1000, operationId: 'setup', log: SILENT };
  await using setup = await plugin.connect(config, { ownerId: 'setup', scratchDir: '.' }, call);
  const machines = await Array.fromAsync(setup.inventory.listMachines({}, call));
  const [network] = await Array.fromAsync(setup.inventory.listPlaces('network', call));
  const subject: Subject = {
    plugin,
    config,
    unreachable: { ...config, address: 'nowhere' },
    scratch: { machines: machines.slice(0, 2).map(({ id }) => id), adopt: machines[2]!.id, network: network!.id },
    lab: kitLab(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000, caseTimeoutMs: 5000 },
  };
  return { subject, estate, [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose]() };
};
