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

/** The role of a JEA endpoint: one function is seen, and nothing else runs for who is in the role (about_Role_Capabilities). */
export const roleCapability = (): string => {
  const modules = [...new Set(Object.keys(CMDLETS).map(moduleOf))].filter((name) => !name.startsWith('Microsoft.PowerShell')).toSorted();
  return [
    '# Made by npm run powershell.',
    '@{',
    "  GUID = '6c1f1f0e-7a55-4b0b-9d8e-2a7c0b5d3f41'",
    "  Author = 'Warmsite'",
    "  Description = 'Runs the steps that Warmsite asks for, each of them on its list'",
    "  ModulesToImport = 'Warmsite.Dispatcher'",
    "  VisibleFunctions = 'Get-DrReply'",
    '}',
    `# The dispatcher loads on demand: ${modules.join(', ')}`,
    '',
  ].join('\n');
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
  writeFileSync(join(MODULE, 'Warmsite.psrc'), roleCapability());
  const [tables] = process.argv.slice(2);
  if (tables !== undefined) writeFileSync(join(root, 'adapters/lab/powershell/interface.json'), interfaceJson(tables));
}
