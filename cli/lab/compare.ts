// What `lab compare` says of the copies of a machine.
import type { Compared, Comparison, EstatePort } from '../../adapters/lab/port.ts';
import { DrError } from '../../core/contract/index.ts';
import type { Cli } from '../cli.ts';
import { bytesText } from '../output/text.ts';

interface Verdict {
  readonly ok: boolean;
  readonly text: string;
}

const counted = (count: number): string => (count === 1 ? '1 transaction' : `${count} transactions`);

const verdictOf = (copy: Compared, { against }: Comparison): Verdict => {
  const [problem] = copy.problems;
  if (problem !== undefined) return { ok: false, text: `its database cannot be recovered: ${problem}` };
  if (copy.differingBytes > 0) return { ok: false, text: `${bytesText(copy.differingBytes)} differ that no transaction has written` };
  if (copy.common === undefined)
    return { ok: false, text: 'the one has written too much since to tell what the other has in common with it' };
  const [own, more] = [copy.transactions - copy.common, against.transactions - copy.common];
  if (own === 0) return { ok: true, text: more === 0 ? 'equal' : `all that it has is there, and ${counted(more)} more` };
  if (copy.power === 'on' && !copy.production)
    return { ok: true, text: `it runs by itself, in no network of production, since transaction ${copy.common}` };
  return { ok: false, text: `${counted(own)} of it ${own === 1 ? 'is' : 'are'} not there, the last of ${copy.transactions}` };
};

const whereabouts = ({ name, endpoint, power }: Comparison['against']): string => `${name} at ${endpoint}, ${power}`;

const compareOne = async (lab: EstatePort, name: string): Promise<Comparison> => {
  const { machines } = await lab.call('lab.status', {});
  const named = machines.filter((machine) => machine.name === name || machine.machine === name);
  const [first] = named;
  if (!first)
    throw new DrError('NOT_FOUND', `the lab has no machine ${JSON.stringify(name)}`, {
      context: { kind: 'machine', name },
      hint: 'run lab status to see the machines',
    });
  return lab.call('lab.compare', { machine: first.machine });
};

/** True when nothing is missing anywhere. */
export const showComparisons = async (cli: Cli, lab: EstatePort, names: readonly string[]): Promise<boolean> => {
  const comparisons = await Promise.all(names.map((name) => compareOne(lab, name)));
  const rows = comparisons.map((comparison) => {
    const copies = comparison.copies.map((copy) => ({ ...copy, ...verdictOf(copy, comparison) }));
    const whole = comparison.against.problems.length === 0;
    return { ...comparison, copies, ok: whole && copies.every(({ ok }) => ok) };
  });
  const ok = rows.every((row) => row.ok);
  const lines = rows.flatMap(({ against, copies }) => [
    `${whereabouts(against)}: ${against.problems[0] ?? counted(against.transactions)}`,
    ...copies.map((copy) => `  ${whereabouts(copy)}: ${copy.text}`),
  ]);
  await cli.print.one({ kind: 'LabComparison', data: { ok, machines: rows }, name: names.join(' '), text: lines.join('\n') });
  return ok;
};
