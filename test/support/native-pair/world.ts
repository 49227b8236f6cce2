// An engine over two hosts that replicate by themselves, beside the machines of the lab.
import { World } from '../world.ts';
import { COPY_MS, Hosts } from './hosts.ts';
import { HOUR_MS, POLICY } from './pair.ts';
import { createNativePlugin } from './plugin.ts';

export interface NativeWorld extends AsyncDisposable {
  readonly world: World;
  readonly hosts: Hosts;
  /** The answer of the next such call is lost after its effect. */
  loseAnswer(call: string): void;
}

export interface NativeWorldOptions {
  readonly machines?: readonly string[];
  readonly seed?: number;
  readonly policy?: object;
}

export const createNativeWorld = async (options: NativeWorldOptions = {}): Promise<NativeWorld> => {
  let world: World | undefined;
  const lost = new Set<string>();
  const hosts = new Hosts(() => world?.runtime.clock.now() ?? 0, ['hv-a', 'hv-b', 'plain-b']);
  world = await World.create({
    seed: options.seed ?? 1,
    diskBytes: 262_144,
    // Hours pass in these worlds: guests of the lab that write all the while would be all that is waited for.
    writesPerSecond: 0.001,
    plugins: (around) => {
      const losing: typeof around = (name, effect) =>
        around(name, async () => {
          const result = await effect();
          if (!lost.delete(name)) return result;
          const { DrError } = await import('../../../core/contract/index.ts');
          throw new DrError('CONNECTION_LOST', `the answer of ${name} was lost`);
        });
      return [createNativePlugin(hosts, losing), createNativePlugin(hosts, losing, { id: 'plain-hosts', pair: false })];
    },
  });
  const { engine } = world;
  for (const [id, site, plugin] of [
    ['hv-a', 'site-a', 'native-hosts'],
    ['hv-b', 'site-b', 'native-hosts'],
    ['plain-b', 'site-b', 'plain-hosts'],
  ] as const) {
    await engine.call('endpoint.add', { id, site, plugin, config: { host: id } });
  }
  for (const [from, to] of [
    ['hv-a', 'hv-b'],
    ['hv-b', 'hv-a'],
    ['hv-a', 'plain-b'],
  ] as const) {
    await engine.call('map.set', { kind: 'network', from: { endpoint: from, place: '*' }, to: { endpoint: to, place: 'production' } });
  }
  await engine.call('policy.put', options.policy ?? POLICY);
  for (const name of options.machines ?? ['crm']) hosts.add('hv-a', name);
  const made = world;
  return { world: made, hosts, loseAnswer: (call) => void lost.add(call), [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() };
};

export const protectNative = async ({ world }: NativeWorld, machines: readonly string[], more: object = {}): Promise<void> => {
  const group = machines.length > 1 ? { group: 'hosts' } : {};
  await world.do('protect', { machines, to: 'site-b', target: 'hv-b', policy: 'hosts', ...group, ...more });
};

/** Lets the hosts replicate for a while, an hour by default, and looks. */
export const letPass = async ({ world }: NativeWorld, target: string, ms = HOUR_MS): Promise<void> => {
  await world.advance(ms);
  await world.do('sync.now', { target });
};

export { COPY_MS, POLICY };
