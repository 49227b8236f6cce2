import { createBench, m1, session } from '../test/unit/core/host/fake-plugin.ts';
import { type Benchmark, figure, median, timedMs } from './measure.ts';

export const pluginCall: Benchmark = {
  name: 'plugin-call',
  about: 'one call to a plugin through guard, limits, deadline and trace, against the same call to the plugin itself',
  run: async ({ quick }) => {
    const calls = quick ? 100 : 20_000;
    const bench = createBench();
    await using host = bench.host;
    const guarded = await host.open(bench.endpoint);
    const raw = session();
    const call = bench.call();
    const measure = (inventory: { getMachine(id: typeof m1, with_: typeof call): Promise<unknown> }) =>
      median(quick ? 1 : 9, async () => {
        const ms = await timedMs(async () => {
          for (let count = 0; count < calls; count++) await inventory.getMachine(m1, call);
        });
        bench.traces.length = 0;
        return (ms * 1_000) / calls;
      });
    return [figure('plugin-call', await measure(guarded.inventory), 'us', await measure(raw.inventory))];
  },
};
