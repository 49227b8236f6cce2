import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CIM_CLASSES, CMDLETS, moduleOf, PATTERNS } from '../../../../adapters/powershell/allowed.ts';
import { allowedJson, roleCapability } from '../../../../scripts/powershell.ts';

interface Row {
  readonly module: string;
  readonly in?: readonly string[];
  readonly parameters: Readonly<Record<string, unknown>>;
}

const root = join(import.meta.dirname, '../../../..');
const tables = JSON.parse(readFileSync(join(root, 'adapters/lab/powershell/interface.json'), 'utf8')) as {
  readonly cmdlets: Readonly<Record<string, Row>>;
  readonly classes: Readonly<Record<string, { readonly methods?: Readonly<Record<string, unknown>> }>>;
};
/** Of modules for which there is no table: Storage, CimCmdlets and Microsoft.PowerShell.Management as documented for Windows PowerShell 5.1. */
const UNTABLED = ['Get-Volume', 'Set-Disk', 'Remove-Item', 'Get-CimInstance', 'Get-CimAssociatedInstance', 'Invoke-CimMethod'];
const VERSIONS = ['2016', '2019', '2022', '2025'];

describe('the allow-list', () => {
  for (const [cmdlet, parameters] of Object.entries(CMDLETS)) {
    if (UNTABLED.includes(cmdlet)) continue;
    it(`holds ${cmdlet} as the vendor documents it`, () => {
      const row = tables.cmdlets[cmdlet];

      expect(row, cmdlet).to.not.equal(undefined);
      expect(row?.module).to.equal(moduleOf(cmdlet));
      if (row?.module === 'Hyper-V') expect(row.in).to.include.members(VERSIONS);
      expect(Object.keys(row?.parameters ?? {})).to.include.members([...parameters]);
    });
  }

  it('holds classes and methods as the vendor documents them', () => {
    for (const [name, methods] of Object.entries(CIM_CLASSES)) {
      const known = Object.keys(tables.classes[name]?.methods ?? {});

      expect(tables.classes, name).to.have.property(name);
      expect(known, name).to.include.members([...methods]);
    }
  });

  it('has no cmdlet that runs text, and none that reaches another machine', () => {
    const parameters = new Set(Object.values(CMDLETS).flat() as string[]);

    expect(
      Object.keys(CMDLETS).filter((name) => /^(Invoke-(Command|Expression)|Add-Type|Start-Process|New-Object|ForEach-Object)$/.test(name)),
    ).to.deep.equal([]);
    for (const far of ['CimSession', 'Credential', 'ScriptBlock', 'Script', 'FilePath', 'AsJob'])
      expect([...parameters]).to.not.include(far);
  });

  it('lets nothing be removed but virtual disks', () => {
    const pattern = new RegExp(PATTERNS['Remove-Item']?.['LiteralPath'] ?? '');

    for (const path of ['D:\\a.vhdx', 'D:\\a_1.avhdx', 'D:\\a.vhd']) expect(pattern.test(path), path).to.equal(true);
    for (const path of ['C:\\Windows', 'D:\\a.vhdx\n', 'D:\\a.vhdx.txt', 'C:\\*']) expect(pattern.test(path), path).to.equal(false);
  });

  it('asks WMI by one property and a value without quotes', () => {
    const pattern = new RegExp(PATTERNS['Get-CimInstance']?.['Filter'] ?? '');

    for (const filter of ["Name='1B2C'", "InstanceID='Microsoft:ABC\\\\1'"]) expect(pattern.test(filter), filter).to.equal(true);
    for (const filter of ["Name='a' OR '1'='1'", "Name='a''b'", "Name LIKE 'a%'", "Name='a'\n"])
      expect(pattern.test(filter), filter).to.equal(false);
  });

  it('is what the shipped files say (npm run powershell makes them anew)', () => {
    const shipped = (name: string) => readFileSync(join(root, 'adapters/powershell/module', name), 'utf8');

    expect(shipped('allowed.json')).to.equal(allowedJson());
    expect(shipped('Warmsite.psrc')).to.equal(roleCapability());
  });
});
