// One look at a vCenter, in a process of its own so that its memory is only this: configuration on stdin, a `Seen` of vsphere-inventory.ts on stdout.
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { typed, type VsphereConfig } from '../adapters/vsphere/port.ts';
import { openVim25 } from '../adapters/vsphere/vim25/client.ts';
import { encodeRequest } from '../adapters/vsphere/vim25/encode.ts';
import { openWire } from '../adapters/vsphere/wire.ts';
import type { Call, MachineId, Session } from '../core/contract/index.ts';
import { createVmwarePlugin } from '../plugins/vmware/index.ts';
import { MACHINE_PATHS } from '../plugins/vmware/machine.ts';
import type { Seen } from './vsphere-inventory.ts';

const notHere = (): never => {
  throw new Error('nothing is moved here');
};

const call = (): Call => ({
  signal: new AbortController().signal,
  deadlineMs: 120_000,
  operationId: `look-${performance.now()}`,
  log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  fence: { item: 'bench' as never, epoch: 1, holder: 'bench' },
});

/** As the plugin asks, but the answer is drained. */
const bare = async (config: VsphereConfig): Promise<number> => {
  let cookie = '';
  const wire = openWire(config);
  const keeping: typeof wire = {
    thumbprintSha1: '',
    send: (request) => {
      cookie = request.headers['cookie'] ?? cookie;
      return wire.send(request);
    },
    [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
  };
  await using client = await openVim25(() => keeping, config);
  const { viewManager, rootFolder, propertyCollector } = client.content;
  const container = { container: rootFolder, type: ['VirtualMachine'], recursive: true };
  const view = await client.call('CreateContainerView', viewManager!, container);
  const traversal = typed('TraversalSpec', { name: 'view', type: 'ContainerView', path: 'view', skip: false });
  const specSet = [
    { propSet: [{ type: 'VirtualMachine', pathSet: MACHINE_PATHS }], objectSet: [{ obj: view, skip: true, selectSet: [traversal] }] },
  ];
  const body = encodeRequest('RetrievePropertiesEx', propertyCollector, { specSet, options: {} });
  const started = performance.now();
  const answer = await wire.send({
    method: 'POST',
    url: '/sdk',
    headers: { 'content-type': 'text/xml; charset=utf-8', soapaction: '"urn:vim25/6.7"', cookie },
    body,
  });
  for await (const _ of answer.body);
  return performance.now() - started;
};

/** A change is made until the watch, which begins in its own time, has heard one. */
const watchLatency = async (session: Session, id: MachineId): Promise<number> => {
  const stop = new AbortController();
  let heardAt = 0;
  const hearing = (async () => {
    for await (const change of session.inventory.watch!(undefined, { ...call(), signal: stop.signal })) {
      if (!change.changed.includes(id)) continue;
      heardAt = performance.now();
      stop.abort(new Error('heard'));
    }
  })().catch(() => undefined);
  let changedAt = 0;
  for (let to: 'off' | 'on' = 'off'; heardAt === 0; to = to === 'off' ? 'on' : 'off') {
    changedAt = performance.now();
    await session.power!.set(id, to, call());
    await Promise.race([hearing, new Promise((resolve) => void setTimeout(resolve, 2_000))]);
  }
  return Math.max(1, heardAt - changedAt);
};

// As cli/bin.js has it.
setFlagsFromString('--semi-space-growth-factor=1');
const config = JSON.parse(await text(process.stdin)) as VsphereConfig;
const plugin = createVmwarePlugin({
  openVsphere: () => (where, options) => openVim25(openWire, where, options),
  openBlockDevices: () => ({ open: async () => notHere() }),
  nbd: { startNbdkit: notHere, openNbd: notHere },
});
await using session = await plugin.connect({ ...config }, { ownerId: 'bench', scratchDir: '.' }, call());
const started = performance.now();
let machines = 0;
let first: MachineId | undefined;
for await (const { id } of session.inventory.listMachines({}, call())) {
  machines++;
  first ??= id;
}
const listMs = performance.now() - started;
const peakBytes = process.resourceUsage().maxRSS * 1024;
const watchMs = await watchLatency(session, first!);
const seen: Seen = { machines, listMs, bareMs: await bare(config), peakBytes, watchMs };
process.stdout.write(JSON.stringify(seen));
