// Microsoft.Vhd.PowerShell.VirtualHardDisk, and volumes.
import { type Cell, int, member, object, type PsObject, type Shape } from './cells.ts';
import type { At, FileRecord, HostRecord } from './model.ts';
import type { VolumeOfHost } from './paths.ts';
import { mountOf, type Use } from './usage.ts';

/** Of dynamic disks as New-VHD makes them; a fixed one has no blocks. */
const BLOCK_BYTES = 32 * 2 ** 20;

interface OfVhd {
  readonly at: At;
  readonly host: HostRecord;
  readonly key: string;
  readonly file: FileRecord;
  /** Who has it open. */
  readonly use: Use | undefined;
}

const volumeOf = ({ at, file }: OfVhd) => at.estate.layer(file.layer).volume;

export const VHD: Shape<OfVhd> = {
  type: 'Microsoft.Vhd.PowerShell.VirtualHardDisk',
  text: () => 'Microsoft.Vhd.PowerShell.VirtualHardDisk',
  properties: {
    ComputerName: ({ host }) => host.name,
    Path: ({ file }) => file.path,
    VhdFormat: () => member('VhdFormat', 'VHDX'),
    VhdType: ({ file }) => member('VhdType', file.type),
    FileSize: (of) => int(4 * 2 ** 20 + (of.file.type === 'Fixed' ? volumeOf(of).sizeBytes : volumeOf(of).allocatedBytes)),
    Size: (of) => int(volumeOf(of).sizeBytes),
    MinimumSize: () => null,
    LogicalSectorSize: ({ file }) => int(file.logicalSectorBytes),
    PhysicalSectorSize: ({ file }) => int(file.physicalSectorBytes),
    BlockSize: ({ file }) => int(file.type === 'Fixed' ? 0 : BLOCK_BYTES),
    ParentPath: ({ at, file }) => (file.parent === undefined ? '' : (at.hyperv.files[file.parent]?.path ?? '')),
    DiskIdentifier: ({ file }) => file.identifier.toUpperCase(),
    FragmentationPercentage: () => 0,
    Alignment: () => 1,
    Attached: ({ use }) => use !== undefined,
    DiskNumber: ({ host, key }): Cell => {
      const mount = mountOf(host, key);
      return mount ? int(mount.number) : null;
    },
    Number: ({ host, key }): Cell => {
      const mount = mountOf(host, key);
      return mount ? int(mount.number) : null;
    },
  },
};

export const vhdObject = (of: OfVhd): PsObject => object(VHD, of);

interface OfVolume {
  readonly at: At;
  readonly volume: VolumeOfHost;
}

export const freeBytes = ({ at, volume }: OfVolume): number => at.estate.freeBytes(at.endpoint, volume.place.id);

export const VOLUME: Shape<OfVolume> = {
  type: 'MSFT_Volume',
  text: () => 'MSFT_Volume',
  properties: {
    DriveLetter: ({ volume }) => volume.letter ?? null,
    FileSystemLabel: ({ volume }) => volume.place.name,
    FileSystem: () => 'NTFS',
    FileSystemType: () => 'NTFS',
    DriveType: () => 'Fixed',
    HealthStatus: () => 'Healthy',
    OperationalStatus: () => 'OK',
    Path: ({ volume }) => `\\\\?\\Volume{${volume.place.id}}\\`,
    Size: ({ volume }) => int(volume.place.capacityBytes ?? 0),
    SizeRemaining: (of) => int(freeBytes(of)),
  },
};
