import type { EstateSpec } from '../adapters/lab/port.ts';
import { createOpenPowerShell } from '../adapters/powershell/open.ts';
import type { PowerShell } from '../adapters/powershell/port.ts';
import { DrError } from '../core/contract/index.ts';
import { createHypervPlugin } from '../plugins/hyperv/index.ts';
import { BenchHome } from './home.ts';
import { type Benchmark, type Figure, figure, median, timedMs } from './measure.ts';

const MIB = 2 ** 20;

const estateOf = (machines: number): EstateSpec => {
  const seeds = Array.from({ length: machines }, (_, index) => ({
    name: `vm-${index}`,
    disks: [{ sizeBytes: MIB / 4 }],
    writesPerSecond: 0,
    labels: { app: `app-${index % 10}` },
  }));
  const storage = [{ name: 'store', capacityBytes: machines * MIB }];
  const endpoint = { name: 'hv-1', profile: 'hyperv' as const, networks: ['production'], storage, machines: seeds };
  return { sites: [{ name: 'site', endpoints: [endpoint] }] };
};

const notHere = async (): Promise<never> => {
  throw new DrError('INTERNAL', 'nothing is moved here');
};

const call = () => ({
  signal: new AbortController().signal,
  deadlineMs: 120_000,
  operationId: `look-${performance.now()}`,
  log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
});

export const hypervInventory: Benchmark = {
  name: 'hyperv-inventory',
  about: 'all machines of a Hyper-V host with disks, cards and guests, through a process in PowerShell’s place, against Get-VM alone',
  run: async ({ quick }): Promise<Figure[]> => {
    const machines = quick ? 20 : 1_000;
    const rounds = quick ? 1 : 5;
    await using bench = new BenchHome();
    await bench.start(estateOf(machines));
    await using lab = await bench.control();
    const { address, executable } = await lab.call('lab.powershell', { endpoint: 'hv-1' });
    const open = createOpenPowerShell({ openSsh: notHere });
    const shells: PowerShell[] = [];
    const plugin = createHypervPlugin({
      openPowerShell: async (...args) => {
        const shell = await open(...args);
        shells.push(shell);
        return shell;
      },
      openAgent: notHere,
    });
    const config = { address, transport: 'local', executable };
    const startMs = await timedMs(async () => {
      await using session = await plugin.connect(config, { ownerId: 'bench', scratchDir: '.' }, call());
      await session.inventory.listPlaces('host', call())[Symbol.asyncIterator]().next();
    });
    await using session = await plugin.connect(config, { ownerId: 'bench', scratchDir: '.' }, call());
    const listMs = await median(rounds, () => timedMs(() => Array.fromAsync(session.inventory.listMachines({}, call()))));
    const bareMs = await median(rounds, () =>
      timedMs(() => shells.at(-1)!.run([{ cmdlet: 'Get-VM', params: {}, select: ['Id', 'Name'] }])),
    );
    return [figure(`hyperv-inventory ${machines} machines`, listMs, 'ms', bareMs), figure('hyperv-inventory session', startMs, 'ms')];
  },
};
