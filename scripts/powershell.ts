// Makes the files of adapters/powershell/module that follow from the allow-list, and the vendor's rows that tests and the lab hold it against.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CIM_CLASSES, CMDLETS, moduleOf, PATTERNS } from '../adapters/powershell/allowed.ts';

const root = join(import.meta.dirname, '..');
const MODULE = join(root, 'adapters/powershell/module');

/** What the dispatcher reads. */
export const allowedJson = (): string => {
  const cmdlets = Object.entries(CMDLETS).map(([name, parameters]) => [
    name,
    { module: moduleOf(name), parameters, patterns: PATTERNS[name] ?? {} },
  ]);
  return `${JSON.stringify({ cmdlets: Object.fromEntries(cmdlets), classes: CIM_CLASSES }, null, 1)}\n`;
};

type Table = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Rows of the cmdlets and classes on the list, from a folder with the vendor's tables. */
export const interfaceJson = (tables: string): string => {
  const read = (file: string) => JSON.parse(readFileSync(join(tables, file), 'utf8')) as Table;
  const files = { 'hyper-v.json': 'Hyper-V', 'failover-clusters.json': 'FailoverClusters', 'vmm.json': 'virtualmachinemanager' };
  const cmdlets = Object.entries(files).flatMap(([file, module]) =>
    Object.entries(read(file))
      .filter(([name]) => name in CMDLETS)
      .map(([name, row]) => [name, { module, ...row }] as const),
  );
  const classes = Object.entries(read('virtualization-v2.json'))
    .filter(([name]) => name in CIM_CLASSES)
    .map(([name, { extends: base, properties, methods }]) => {
      const wanted = Object.entries((methods ?? {}) as Table).filter(([method]) => CIM_CLASSES[name]!.includes(method));
      return [name, { extends: base, properties, ...(wanted.length > 0 ? { methods: Object.fromEntries(wanted) } : {}) }] as const;
    });
  const lines = (rows: readonly (readonly [string, unknown])[]) =>
    rows
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, row]) => `    ${JSON.stringify(name)}: ${JSON.stringify(row)}`)
      .join(',\n');
  return `{\n  "cmdlets": {\n${lines(cmdlets)}\n  },\n  "classes": {\n${lines(classes)}\n  }\n}\n`;
};

if (import.meta.main) {
  writeFileSync(join(MODULE, 'allowed.json'), allowedJson());
  const [tables] = process.argv.slice(2);
  if (tables !== undefined) writeFileSync(join(root, 'adapters/lab/powershell/interface.json'), interfaceJson(tables));
}
