// A true PowerShell for the suite that needs one, and how its absence is told.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createOpenPowerShell } from '../../adapters/powershell/open.ts';
import type { PowerShell } from '../../adapters/powershell/port.ts';
import { DrError } from '../../core/contract/index.ts';
import { MockModules } from './mock/modules.ts';

const places = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'pwsh'));

const isThere = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** $WARMSITE_PWSH, else the one in PATH. */
export const pwsh: string | undefined = [process.env['WARMSITE_PWSH'] ?? '', ...places].find((path) => path !== '' && isThere(path));

export const MISSING = 'pwsh is not installed: dotnet tool install --global PowerShell, or name one in WARMSITE_PWSH';

export const openEngine = async (modules: string): Promise<PowerShell> => {
  const before = process.env['PSModulePath'];
  process.env['PSModulePath'] = modules;
  try {
    const openSsh = async (): Promise<never> => {
      throw new DrError('INTERNAL', 'nobody asked for SSH');
    };
    return await createOpenPowerShell({ openSsh })({ host: 'localhost', transport: { kind: 'local', executable: pwsh ?? '' } });
  } finally {
    if (before === undefined) delete process.env['PSModulePath'];
    else process.env['PSModulePath'] = before;
  }
};

/** Mock modules for a suite; where they cannot be had, the suite says why and is left out. */
export const mockModules = (suite: { skip(): never }): Promise<MockModules> => {
  if (pwsh !== undefined && process.platform !== 'win32') return MockModules.make(pwsh);
  process.stdout.write(
    `      ${pwsh === undefined ? MISSING : 'Windows has modules of these names: the mock modules are for other systems'}\n`,
  );
  return suite.skip();
};
