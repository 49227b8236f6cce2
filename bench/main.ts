// npm run bench -- [NAME] [--json] [--quick]: one JSON object a line, {"name","value","unit","peer"?,"ratio"?}; `peer` is in the same unit, `ratio` = value / peer.
import { parseArgs } from 'node:util';
import { coldStart } from './cold-start.ts';
import { firstCopySparse } from './first-copy-sparse.ts';
import { hypervInventory } from './hyperv-inventory.ts';
import { journalApply } from './journal-apply.ts';
import { machines1000 } from './machines-1000.ts';
import type { Benchmark } from './measure.ts';
import { pluginCall } from './plugin-call.ts';
import { pumpThroughput } from './pump.ts';
import { vsphereClient } from './vsphere-client.ts';
import { vsphereInventory } from './vsphere-inventory.ts';

const BENCHMARKS: readonly Benchmark[] = [
  coldStart,
  pluginCall,
  journalApply,
  pumpThroughput,
  firstCopySparse,
  machines1000,
  vsphereClient,
  hypervInventory,
  vsphereInventory,
];

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
});

const [name] = positionals;
const chosen = BENCHMARKS.filter((benchmark) => name === undefined || benchmark.name === name);
if (chosen.length === 0) {
  const known = BENCHMARKS.map((benchmark) => `  ${benchmark.name.padEnd(18)} ${benchmark.about}`).join('\n');
  process.stderr.write(`usage: npm run bench -- [NAME] [--json] [--quick]\n${known}\n`);
  process.exitCode = 2;
}
for (const benchmark of chosen) {
  // For people; programs read stdout.
  if (!values.json) process.stderr.write(`${benchmark.name}: ${benchmark.about}\n`);
  for (const figure of await benchmark.run(values)) process.stdout.write(`${JSON.stringify(figure)}\n`);
}
