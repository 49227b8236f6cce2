// Strict mock modules: made from the vendors' tables, compiled once, and put where PowerShell looks for modules.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cmdletRow } from '../../../adapters/lab/powershell/interface.ts';
import { CMDLETS, type Cmdlet } from '../../../adapters/powershell/allowed.ts';
import { COMPILED, csharpOf } from './csharp.ts';

/** Folders of modules: which of them a session sees says what its host is. */
const ROLES = {
  host: ['Hyper-V', 'CimCmdlets', 'Storage'],
  cluster: ['FailoverClusters'],
  vmm: ['virtualmachinemanager'],
} as const;

export class MockModules implements AsyncDisposable {
  /** The engine that has compiled them. */
  readonly pwsh: string;
  readonly folder: string;

  private constructor(pwsh: string, folder: string) {
    this.pwsh = pwsh;
    this.folder = folder;
  }

  static async make(pwsh: string): Promise<MockModules> {
    const folder = await mkdtemp(join(tmpdir(), 'warmsite-modules-'));
    const made = new MockModules(pwsh, folder);
    try {
      await compile(pwsh, folder);
      for (const [role, modules] of Object.entries(ROLES))
        for (const module of modules) await writeModule(join(folder, role, module), module);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

const compile = async (pwsh: string, folder: string): Promise<void> => {
  const source = join(folder, 'Twin.cs');
  await writeFile(source, `${await readFile(join(import.meta.dirname, 'Twin.cs'), 'utf8')}\n${csharpOf()}`);
  const add = 'Add-Type -Path $env:SOURCE -OutputAssembly $env:ASSEMBLY -OutputType Library -IgnoreWarnings -ErrorAction Stop';
  const env = { ...process.env, NO_COLOR: '1', POWERSHELL_TELEMETRY_OPTOUT: '1', SOURCE: source, ASSEMBLY: join(folder, 'Twin.dll') };
  const child = spawn(pwsh, ['-NoProfile', '-NonInteractive', '-Command', add], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the mock modules do not compile: ${said.slice(0, 4000)}`);
};

const writeModule = async (folder: string, module: string): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const cmdlets = (Object.keys(CMDLETS) as Cmdlet[]).filter((name) => cmdletRow(name).module === module);
  const compiled = cmdlets.filter((name) => COMPILED.includes(name));
  if (compiled.length === 0) return writeFile(join(folder, `${module}.psm1`), cmdlets.map(functionOf).join('\n'));
  // PowerShell takes one file for one module. It stays one assembly, by its name.
  await copyFile(join(folder, '../../Twin.dll'), join(folder, `${module}.dll`));
  const names = compiled.map((name) => `'${name}'`).join(', ');
  await writeFile(join(folder, `${module}.psd1`), `@{ ModuleVersion = '2.0'; RootModule = '${module}.dll'; CmdletsToExport = ${names} }\n`);
};

/** Modules that come as CDXML are functions. */
const functionOf = (name: Cmdlet): string => {
  const { parameters, sets } = cmdletRow(name);
  const declared = Object.entries(parameters).map(
    ([parameter, { type }]) => `[Parameter(Mandatory = $${sets[0]!.mandatory.includes(parameter)})][${type}]$${parameter}`,
  );
  return `function ${name} { [CmdletBinding()] param(${declared.join(', ')}) [Warmsite.Mock.Twin]::Run($PSCmdlet, '${name}') }`;
};
