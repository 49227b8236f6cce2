// The plugin over simulated hosts in process, as the conformance kit wants it.
import { createEstate, type InProcessEstate, type InProcessOptions } from '../../../../adapters/lab/in-process.ts';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import type { Subject } from '../../../../core/conformance/index.ts';
import { DrError, type Plugin } from '../../../../core/contract/index.ts';
import { createHypervPlugin } from '../../../../plugins/hyperv/index.ts';
import { callOf } from '../../../support/calls.ts';
import { KIT_ACCOUNT, kitEstate, kitLab } from '../../../support/kit-estate.ts';

const MIB = 2 ** 20;

export interface HypervSubject extends AsyncDisposable {
  readonly subject: Subject;
  readonly estate: InProcessEstate;
}

/** The plugin as the composition root makes it, but for the wires. */
export const pluginOver = (estate: InProcessEstate): Plugin =>
  createHypervPlugin({
    openPowerShell: async (target, options) => {
      if (target.host === 'nowhere') throw new DrError('CONNECTION_REFUSED', 'no host answers at nowhere');
      return estate.openPowerShell(target, options);
    },
    openAgent: async ({ host }) => createLabAgent(estate.open(), host),
    time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
  });

/** A fresh estate for each subject: one host, or a cluster of two. */
export const hypervSubject = async (
  kind: 'host' | 'cluster' | 'vmm' = 'host',
  openEstate: (options: InProcessOptions) => InProcessEstate | Promise<InProcessEstate> = createEstate,
): Promise<HypervSubject> => {
  const estate = await openEstate({ spec: kitEstate('hyperv', kind === 'host' ? undefined : ['hv-1', 'hv-2'], kind) });
  const plugin = pluginOver(estate);
  const config = { address: 'endpoint', kind, transport: 'local', ...KIT_ACCOUNT };
  const call = callOf({ deadlineMs: 10_000 });
  await using setup = await plugin.connect(config, { ownerId: 'setup', scratchDir: '.' }, call);
  const machines = await Array.fromAsync(setup.inventory.listMachines({}, call));
  const byName = (name: string) => machines.find((machine) => machine.name === name)!.id;
  const networks = await Array.fromAsync(setup.inventory.listPlaces('network', call));
  const subject: Subject = {
    plugin,
    config,
    unreachable: { ...config, address: 'nowhere' },
    scratch: {
      machines: [byName('two disks'), byName('one disk')],
      adopt: byName('to adopt'),
      network: networks.find(({ name }) => name === 'production')!.id,
    },
    lab: kitLab(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000, caseTimeoutMs: 10_000 },
  };
  return { subject, estate, [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose]() };
};
