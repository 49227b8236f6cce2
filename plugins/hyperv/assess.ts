// What stands in the way of protecting a machine, or of using one as a replica. Sources: Hyper-V documentation of Windows Server 2016 to 2025, as docs/plugins/hyperv.md cites it.
import { type Call, DATA_PATH, type Finding, type MachineId } from '../../core/contract/index.ts';
import { isOurCycle, snapshotsOf } from './checkpoints.ts';
import type { Fabric } from './fabric.ts';
import { type Look, rowsOf } from './look.ts';
import { drivesOf, elsewhereOf, powerOf, slotOf, statusOf } from './machine.ts';
import { isDamaged, readable } from './notes.ts';
import { flag, member, number, text } from './rows.ts';

/** The first configuration version with resilient change tracking (Windows Server 2016 technical preview 5: 8.0). */
const LEAST_VERSION = 8;

const finding = (code: string, level: Finding['level'], message: string, hint: string): Finding => ({ code, level, message, hint });

export const assess = async (
  fabric: Fabric,
  { id, as }: { readonly id: MachineId; readonly as: 'source' | 'target' },
  call: Call,
): Promise<Finding[]> => {
  const rows = await rowsOf(fabric, id, call);
  const notes = readable(text(rows.vm, 'Notes'));
  const look: Look = { ...rows, id, notes };
  const snapshots = await snapshotsOf(fabric, look, call);
  const own = look.notes.marks;
  const foreign = snapshots.filter((one) => !isOurCycle(own, one.id) && own?.fork?.checkpoint !== one.id);
  const common = [...notesFindings(look), ...diskFindings(look), ...ownerFindings(look)];
  return as === 'source'
    ? [...common, ...sourceFindings(look, foreign), PATH]
    : [...common, ...(foreign.length > 0 ? [SNAPSHOTS_BELOW] : []), PATH];
};

const PATH: Finding = {
  code: DATA_PATH,
  level: 'info',
  message: 'disks are read and written by the agent on the Hyper-V host, over virtual disks that the host attaches',
  hint: 'nothing to do: the agent must run on every host that may have the machine',
};

const SNAPSHOTS_BELOW = finding(
  'SNAPSHOTS_PRESENT',
  'blocks',
  'the machine has checkpoints: what is written below them would corrupt them',
  'remove the checkpoints of the machine',
);

const notesFindings = ({ vm }: Look): Finding[] =>
  isDamaged(text(vm, 'Notes'))
    ? [
        finding(
          'NOTES_DAMAGED',
          'blocks',
          'somebody has changed the line in the notes of the machine that tells whose it is',
          'correct the line that begins with "warmsite:", or remove it when the machine is no replica and not fenced',
        ),
      ]
    : [];

const ownerFindings = ({ vm, notes }: Look): Finding[] => {
  const elsewhere = elsewhereOf(vm);
  if (elsewhere === undefined || notes.marks?.replica) return [];
  return [finding('PROTECTED_ELSEWHERE', 'blocks', `the machine is already protected by ${elsewhere}`, 'remove it there first')];
};

const diskFindings = (look: Look): Finding[] => {
  const findings: Finding[] = [];
  const drives = drivesOf(look);
  if (look.drives.length === 0) findings.push(finding('NO_DISKS', 'blocks', 'the machine has no disk', 'add a disk'));
  for (const row of look.drives) {
    const place = slotOf({
      controller: member(row, 'ControllerType') as 'SCSI',
      number: number(row, 'ControllerNumber'),
      location: number(row, 'ControllerLocation'),
    });
    const path = text(row, 'Path');
    if (row['DiskNumber'] !== null && row['DiskNumber'] !== undefined) {
      findings.push(
        finding(
          'DISK_PASS_THROUGH',
          'blocks',
          `disk ${place} is a disk of the host that is passed through: no checkpoint holds it`,
          'convert it to a VHDX, or protect it inside the guest',
        ),
      );
    } else if (row['SupportPersistentReservations'] === true || /\.vhds$/i.test(path)) {
      findings.push(
        finding(
          'DISK_SHARED',
          'blocks',
          `disk ${place} is shared by several machines: Hyper-V cannot hold it in a checkpoint of one`,
          'protect the cluster inside its guests',
        ),
      );
    } else if (member(row, 'ControllerType') === 'PMEM') {
      findings.push(
        finding('DISK_PMEM', 'blocks', `disk ${place} is persistent memory, which has no checkpoints`, 'move the data to a VHDX'),
      );
    } else if (!drives.some((drive) => drive.path.toLowerCase() === path.toLowerCase())) {
      findings.push(
        finding(
          'DISK_UNREADABLE',
          'blocks',
          `the file of disk ${place} cannot be opened`,
          'see that the storage of the host is online, then assess again',
        ),
      );
    }
  }
  for (const { vhd, ...drive } of drives) {
    if (member(vhd, 'VhdFormat') === 'VHD') {
      findings.push(
        finding(
          'DISK_IS_VHD',
          'blocks',
          `disk ${slotOf(drive)} is in the old format VHD, which keeps no record of changes`,
          'convert the disk to VHDX while the machine is off (Convert-VHD)',
        ),
      );
    }
  }
  const identifiers = drives.map(({ identifier }) => identifier);
  if (new Set(identifiers).size < identifiers.length) {
    findings.push(
      finding(
        'DISK_IDENTITY_DOUBLE',
        'blocks',
        'two disks of the machine have one identity: they are copies of one file, and changes of one would be taken for the other',
        'give one of them another identity while the machine is off (Set-VHD -ResetDiskIdentifier)',
      ),
    );
  }
  return findings;
};

const sourceFindings = ({ vm, notes, security }: Look, foreign: readonly { readonly type: string }[]): Finding[] => {
  const findings: Finding[] = [];
  if (Number.parseFloat(text(vm, 'Version')) < LEAST_VERSION) {
    findings.push(
      finding(
        'VERSION_OLD',
        'blocks',
        `the machine has configuration version ${text(vm, 'Version')}; changes are tracked from ${LEAST_VERSION}.0 on`,
        'shut the machine down and upgrade it (Update-VMVersion): there is no way back to an older host',
      ),
    );
  }
  if (foreign.some(({ type }) => type === 'Recovery')) {
    findings.push(
      finding(
        'BACKUP_RUNNING',
        'warning',
        'another product has a backup checkpoint of the machine: until it is gone no cycle begins',
        'wait for the backup to end; one that stays is removed with Get-VMSnapshot and Remove-VMSnapshot',
      ),
    );
  } else if (foreign.length > 0) {
    findings.push(
      finding(
        'SNAPSHOTS_PRESENT',
        'warning',
        `the machine has ${foreign.length} checkpoints`,
        'remove checkpoints that nobody needs: each slows the machine down and takes room',
      ),
    );
  }
  if (statusOf(vm).includes('MergingDisks'))
    findings.push(finding('MERGING', 'info', 'a checkpoint of the machine is being merged', 'nothing to do: a cycle waits for it'));
  if (powerOf(vm) === 'off') findings.push(finding('POWERED_OFF', 'info', 'the machine is off', 'nothing to do: it is copied as it is'));
  if (security && flag(security, 'TpmEnabled'))
    findings.push(finding('TPM_IS_NEW', 'warning', 'a TPM does not follow a disk copy', 'have the recovery key of the guest at hand'));
  if (notes.marks?.replica) findings.push(finding('IS_REPLICA', 'warning', 'the machine is a replica', 'protect its source instead'));
  return findings;
};
