// The pair in small: hosts of which no true plugin knows. Quick, and every doubt about the engine's own steps shows here first.
import type { World } from '../world.ts';
import type { HostMachine, Hosts } from './hosts.ts';
import { HOMES, type Home, MACHINE, otherOf, type Pair, putPair } from './pair.ts';
import { createNativeWorld } from './world.ts';

const ID = `vm-${MACHINE}`;

export const createSmallPair = async (seed: number): Promise<World> => {
  const { world, hosts } = await createNativeWorld({ seed });
  putPair(world, smallPair(hosts));
  return world;
};

const smallPair = (hosts: Hosts): Pair => {
  const machine = (at: Home): HostMachine => hosts.machine(at, ID);
  const differs = (one: Home, other: Home): string | undefined => {
    const [here, there] = [machine(one).content, machine(other).content];
    return here === there ? undefined : `${one} holds ${here}, ${other} ${there}`;
  };
  return {
    write: async (at) => void hosts.write(at, MACHINE),
    lose: async (at) => {
      hosts.setPower(at, ID, 'off');
      hosts.host(at).down = true;
    },
    running: () => HOMES.filter((home) => hosts.host(home).machines.get(ID as never)?.power === 'on'),
    violations: () => hosts.violations,
    holds: (at) => hosts.host(at).machines.has(ID as never),
    isPaired: (at) => machine(at).role !== 'none',
    behind: async (from) => differs(from, otherOf(from)),
    startedWrong: async (at, takenAt, final) => {
      if (final) return differs(at, otherOf(at));
      const { points, before, content } = machine(at);
      const point = points.find((one) => one.at === takenAt)?.content ?? before?.content;
      return content === point ? undefined : `${at} was started from ${content}, the point of ${takenAt} is ${point}`;
    },
    leftovers: () =>
      HOMES.flatMap((home) => {
        const { machines, testNetworks } = hosts.host(home);
        return [...machines.keys()].filter((id) => id !== ID).concat([...testNetworks.values()] as never[]);
      }),
  };
};
