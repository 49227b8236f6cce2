// The folder that test/support/nbdkit-vddk-standin takes for VMware's library: what the simulated vCenter behind it knows.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** To be used as NbdkitSpec.program. */
export const VDDK_STANDIN: string = fileURLToPath(new URL('./nbdkit-vddk-standin', import.meta.url));

export interface StandinDisk {
  /** '[datastore] folder/name.vmdk' */
  readonly path: string;
  /** The snapshot in which it looks like `raw`; absent: the disk itself, as a target opens it. */
  readonly snapshotMoref?: string;
  /** The image that is served. */
  readonly raw: string;
}

export interface StandinServer {
  readonly password: string;
  readonly thumbprint: string;
  readonly disks: readonly StandinDisk[];
}

/** Makes or changes the folder, to be used as NbdkitSpec.vddkLibDir. What is changed counts for each nbdkit that starts later. */
export const makeVddkStandin = (libDir: string, { password, thumbprint, disks }: StandinServer): void => {
  mkdirSync(join(libDir, 'lib64'), { recursive: true });
  const write = (name: string, text: string): void => {
    writeFileSync(join(libDir, `${name}.new`), text, { mode: 0o600 });
    renameSync(join(libDir, `${name}.new`), join(libDir, name));
  };
  writeFileSync(join(libDir, 'lib64', 'libvixDiskLib.so.8'), '');
  write('password', password);
  write('thumbprint', thumbprint);
  write('disks', disks.map(({ path, snapshotMoref = '-', raw }) => `${snapshotMoref}\t${path}\t${raw}\n`).join(''));
};
