// The executable that a lab offers in PowerShell's place.
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const STAND_IN = join(import.meta.dirname, 'stand-in.mjs');

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Writes `pwsh` into the lab's directory, for its owner alone. */
export const writeLauncher = (directory: string, socketPath: string): string => {
  const path = join(directory, 'pwsh');
  const text = `#!/bin/sh\nexec ${[process.execPath, STAND_IN, socketPath].map(quoted).join(' ')} "$@"\n`;
  writeFileSync(`${path}.new`, text, { mode: 0o700 });
  chmodSync(`${path}.new`, 0o700);
  renameSync(`${path}.new`, path);
  return path;
};
