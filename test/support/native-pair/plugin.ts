// A plugin of hosts that replicate by themselves, for the true host and guard. Each call can be the last one of a process, or lose its answer.
import {
  type Call,
  DrError,
  definePlugin,
  type Machine,
  type MachineId,
  type NativePair,
  type Place,
  type Plugin,
  type Session,
  type Target,
} from '../../../core/contract/index.ts';
import type { Around } from '../wires.ts';
import type { HostMachine, Hosts } from './hosts.ts';
import { act } from './steps.ts';

const toMachine = (machine: HostMachine): Machine => ({
  id: machine.id,
  name: machine.name,
  power: machine.power,
  spec: {
    firmware: 'uefi',
    cpuCount: 1,
    memoryBytes: 2 ** 30,
    guest: { family: 'linux' },
    disks: [
      {
        id: `disk-${machine.id}` as never,
        sizeBytes: 2 ** 20,
        bus: 'scsi',
        slot: '0:0',
        boot: true,
        logicalSectorBytes: 512,
        physicalSectorBytes: 4096,
      },
    ],
    nics: machine.nics.map((nic) => ({
      id: nic.id as never,
      ...(nic.network === 'disconnected' ? {} : { network: nic.network as never }),
    })),
  },
  labels: {},
  bootedAt: new Date(machine.bootedAt).toISOString(),
  ...(machine.power === 'on' ? { guestName: machine.name } : {}),
  addresses: [],
});

const place = (id: string): Place => ({ id: id as never, kind: 'network', name: id });

/** Without one of them the facet is not there: an endpoint whose hosts cannot replicate. */
export interface NativePluginOptions {
  readonly id?: string;
  readonly pair?: boolean;
}

export const createNativePlugin = (hosts: Hosts, around: Around, { id = 'native-hosts', pair = true }: NativePluginOptions = {}): Plugin =>
  definePlugin({
    id,
    displayName: 'Hosts that replicate by themselves',
    config: [{ name: 'host', type: 'string', required: true, help: 'name of the host' }],
    capabilities: { power: ['on', 'off', 'shutdown'], testNetwork: 'host' },
    connect: async (config): Promise<Session> => {
      const host = String(config['host']);
      const up = () => {
        if (hosts.host(host).down) throw new DrError('CONNECTION_LOST', `${host} does not answer`, { context: { endpoint: host } });
      };
      const tell = <T>(name: string, effect: () => Promise<T> | T): Promise<T> => {
        up();
        return around(`${name}`, async () => {
          up();
          return effect();
        });
      };
      const fenced = (machine: string, call: Call) => {
        const held = hosts.host(host).fences.get(machine as MachineId);
        if (held && call.fence && held.epoch > call.fence.epoch)
          throw new DrError('FENCED', `${machine} is held by epoch ${held.epoch}`, { context: { epoch: held.epoch } });
      };
      up();
      const nativePair: NativePair = {
        listener: () => tell('listener', () => ({ address: host, port: 80, authentication: ['kerberos' as const], findings: [] })),
        checkPair: () => tell('checkPair', () => []),
        enable: (machine, to, call) =>
          tell('enable', () => {
            fenced(machine, call);
            hosts.enable(host, machine, to.address, to.settings);
          }),
        remove: (machine) => tell('remove', () => hosts.remove(host, machine)),
        seed: (machine) => tell('seed', () => hosts.seed(host, machine)),
        observe: async function* (machines) {
          const statuses = await tell('observe', () => machines.map((machine) => hosts.statusOf(host, machine)));
          for (const status of statuses) if (status) yield status;
        },
        act: (machine, step, call) =>
          tell(`act.${step.do}`, () => {
            fenced(machine, call);
            act(hosts, host, machine, step);
            return hosts.statusOf(host, machine)!;
          }),
      };
      const unused = async () => {
        throw new DrError('INTERNAL', 'hosts that replicate by themselves are not asked this');
      };
      const target: Target = {
        adoptReplica: unused,
        reshapeReplica: unused,
        deleteReplicaDisk: unused,
        openReplicaDisk: unused,
        deleteReplica: (machine) => tell('deleteReplica', () => void hosts.host(host).machines.delete(machine)),
      };
      return {
        capabilities: {
          tracking: 'none',
          consistency: ['crash'],
          atomicity: 'disk',
          testNetwork: 'host',
          power: ['on', 'off', 'shutdown'],
          finalFreeze: false,
          snapshotSurvivesDisconnect: false,
          maxSnapshotsPerMachine: 1,
        },
        check: async () => [],
        inventory: {
          listMachines: async function* () {
            for (const machine of await tell('listMachines', () => [...hosts.host(host).machines.values()])) yield toMachine(machine);
          },
          getMachine: (machine) => tell('getMachine', () => toMachine(hosts.machine(host, machine))),
          listPlaces: async function* (kind) {
            if (kind === 'network') for (const name of ['production', 'isolated']) yield place(name);
          },
          checkProtectable: async () => [],
        },
        power: {
          set: (machine, to, call) =>
            tell(`power.${to}`, () => {
              fenced(machine, call);
              hosts.setPower(host, machine, to === 'on' ? 'on' : 'off');
            }),
        },
        network: {
          connectNic: unused,
          setGuestAddresses: async () => [],
          createTestNetwork: (_like, call) =>
            tell('createTestNetwork', () => {
              const networks = hosts.host(host).testNetworks;
              const known = networks.get(call.operationId) ?? `test-${networks.size + 1}`;
              networks.set(call.operationId, known);
              return place(known);
            }),
          deleteTestNetwork: (network) =>
            tell('deleteTestNetwork', () => {
              for (const [key, known] of hosts.host(host).testNetworks) if (known === network) hosts.host(host).testNetworks.delete(key);
            }),
        },
        fence: {
          read: (machine) => tell('fence.read', () => hosts.host(host).fences.get(machine) as never),
          advance: (machine, expected, next) =>
            tell('fence.advance', () => {
              const held = hosts.host(host).fences.get(machine);
              if (held?.epoch !== expected?.epoch) throw new DrError('FENCED', `${machine} has epoch ${held?.epoch}`);
              hosts.host(host).fences.set(machine, next);
            }),
          isolate: (machine) => tell('fence.isolate', () => hosts.setPower(host, machine, 'off')),
        },
        target,
        ...(pair ? { nativePair } : {}),
        [Symbol.asyncDispose]: async () => {},
      };
    },
  });
