// What stands in the way of protecting a machine, or of using one as a replica. Rules: vSphere «Changed Block Tracking» and VADP guides; see docs/plugins/vmware.md.
import type { VirtualDevice, VirtualMachineSnapshotInfo } from '../../adapters/vsphere/port.ts';
import type { Call, Finding, MachineId } from '../../core/contract/index.ts';
import { controllersOf, disksOf, powerOf } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { foreignSnapshots } from './snapshots.ts';
import { readExtra, replicaTag } from './tags.ts';
import { type Props, type Vcenter, vmRef } from './vcenter.ts';

const PATHS = [
  'config.hardware.device',
  'config.changeTrackingEnabled',
  'config.version',
  'config.extraConfig',
  'config.template',
  'config.ftInfo',
  'config.keyId',
  'runtime.powerState',
  'runtime.connectionState',
  'runtime.consolidationNeeded',
  'guest.toolsRunningStatus',
  'snapshot',
];
/** The first hardware version with changed block tracking. */
const LEAST_VERSION = 7;

const finding = (code: string, level: Finding['level'], message: string, hint: string): Finding => ({ code, level, message, hint });

export const assess = async (
  vcenter: Vcenter,
  paths: DataPaths,
  { id, as }: { readonly id: MachineId; readonly as: 'source' | 'target' },
  call: Call,
): Promise<Finding[]> => {
  const props = await vcenter.props(vmRef(id), PATHS, call);
  const { source, target } = await paths.findings(call);
  const common = [...applianceFindings(id, paths), ...stateFindings(props), ...deviceFindings(id, props)];
  return as === 'source'
    ? [...common, ...sourceFindings(props, vcenter.ownerId), source]
    : [...common, ...targetFindings(props, vcenter.ownerId), target];
};

const applianceFindings = (id: MachineId, { appliance }: DataPaths): Finding[] =>
  id === appliance
    ? [finding('IS_APPLIANCE', 'blocks', 'the machine is the appliance that carries the disks of others', 'protect another machine')]
    : [];

const stateFindings = (props: Props): Finding[] => {
  const findings: Finding[] = [];
  const connection = String(props['runtime.connectionState'] ?? 'connected');
  if (connection !== 'connected') {
    findings.push(
      finding(
        'NOT_CONNECTED',
        'blocks',
        `the machine is ${connection}: its host does not answer for it`,
        'connect the host, or remove the machine from the inventory',
      ),
    );
  }
  if (props['config.template'] === true)
    findings.push(finding('IS_TEMPLATE', 'blocks', 'the machine is a template', 'convert it to a virtual machine first'));
  if (props['config.ftInfo'] !== undefined) {
    findings.push(
      finding(
        'FAULT_TOLERANT',
        'blocks',
        'the machine runs with fault tolerance, which allows no snapshot of it',
        'turn fault tolerance off for the machine',
      ),
    );
  }
  if (props['config.keyId'] !== undefined) {
    findings.push(
      finding(
        'ENCRYPTED',
        'blocks',
        'the machine is encrypted: its disks can only be read with its key',
        'decrypt the machine, or protect it inside the guest',
      ),
    );
  }
  return findings;
};

interface Backing {
  readonly $type?: string;
  readonly diskMode?: string;
  readonly compatibilityMode?: string;
  readonly sharing?: string;
}

const deviceFindings = (id: MachineId, props: Props): Finding[] => {
  const devices = (props['config.hardware.device'] ?? []) as readonly VirtualDevice[];
  const disks = disksOf(id, devices);
  const findings: Finding[] = [];
  if (disks.length === 0) findings.push(finding('NO_DISKS', 'blocks', 'the machine has no disk', 'add a disk'));
  for (const { slot, device } of disks) {
    const { $type, diskMode = '', compatibilityMode, sharing } = (device.backing ?? {}) as Backing;
    if (diskMode.startsWith('independent')) {
      findings.push(
        finding(
          'DISK_INDEPENDENT',
          'blocks',
          `disk ${slot} is independent (${diskMode}): no snapshot holds it`,
          'make the disk dependent while the machine is off',
        ),
      );
    }
    if ($type === 'VirtualDiskRawDiskMappingVer1BackingInfo' && compatibilityMode === 'physicalMode') {
      findings.push(
        finding(
          'DISK_RAW',
          'blocks',
          `disk ${slot} is a raw device in physical mode: no snapshot holds it`,
          'change the mapping to virtual mode',
        ),
      );
    }
    if (sharing === 'sharingMultiWriter') {
      findings.push(
        finding(
          'DISK_SHARED',
          'blocks',
          `disk ${slot} is shared by several machines (multi-writer): changes cannot be tracked`,
          'protect the cluster inside its guests',
        ),
      );
    }
  }
  for (const { busNumber, sharedBus = 'noSharing' } of controllersOf(devices)) {
    if (sharedBus === 'noSharing') continue;
    findings.push(
      finding(
        'BUS_SHARED',
        'blocks',
        `the bus of controller ${busNumber} is shared (${sharedBus}): snapshots are not possible`,
        'protect the cluster inside its guests',
      ),
    );
  }
  if (devices.some(({ $type }) => $type === 'VirtualTPM')) {
    findings.push(finding('TPM_IS_NEW', 'warning', 'a TPM does not follow a disk copy', 'have the recovery key of the guest at hand'));
  }
  return findings;
};

const sourceFindings = (props: Props, ownerId: string): Finding[] => {
  const findings: Finding[] = [];
  const tracked = props['config.changeTrackingEnabled'] === true;
  const foreign = foreignSnapshots(props['snapshot'] as VirtualMachineSnapshotInfo | undefined, ownerId);
  const version = Number(/\d+/.exec(String(props['config.version'] ?? ''))?.[0] ?? LEAST_VERSION);
  if (version < LEAST_VERSION) {
    findings.push(
      finding(
        'HARDWARE_OLD',
        'blocks',
        `the machine has hardware version ${version}; changes are tracked from ${LEAST_VERSION} on`,
        'upgrade the virtual hardware while the machine is off',
      ),
    );
  }
  if (foreign > 0 && !tracked) {
    findings.push(
      finding(
        'SNAPSHOTS_PRESENT',
        'blocks',
        `the machine has ${foreign} snapshots, and change tracking is off: enabled now it would report wrongly without saying so`,
        'remove the snapshots, then protect the machine',
      ),
    );
  } else if (foreign > 0) {
    findings.push(
      finding(
        'SNAPSHOTS_PRESENT',
        'warning',
        `the machine has ${foreign} snapshots of others`,
        'remove snapshots that nobody needs: each slows the machine down and takes room',
      ),
    );
  }
  if (!tracked)
    findings.push(
      finding('TRACKING_OFF', 'info', 'change tracking is off', 'nothing to do: it is enabled, and a short stun makes it take effect'),
    );
  if (props['runtime.consolidationNeeded'] === true) {
    findings.push(
      finding(
        'CONSOLIDATION_NEEDED',
        'blocks',
        'the disks of the machine need consolidation',
        'consolidate the disks in the vSphere client',
      ),
    );
  }
  const power = powerOf(props);
  if (power === 'off') findings.push(finding('POWERED_OFF', 'info', 'the machine is off', 'nothing to do: it is copied as it is'));
  if (power === 'on' && props['guest.toolsRunningStatus'] !== 'guestToolsRunning') {
    findings.push(
      finding(
        'TOOLS_NOT_RUNNING',
        'warning',
        'VMware Tools do not run in the guest: no application-consistent points, and no shutdown of the guest',
        'install or start VMware Tools',
      ),
    );
  }
  const extra = readExtra(props['config.extraConfig']);
  if (replicaTag(extra)) findings.push(finding('IS_REPLICA', 'warning', 'the machine is a replica', 'protect its source instead'));
  return findings;
};

const targetFindings = (props: Props, ownerId: string): Finding[] => {
  const findings: Finding[] = [];
  if (foreignSnapshots(props['snapshot'] as VirtualMachineSnapshotInfo | undefined, ownerId) > 0) {
    findings.push(
      finding(
        'SNAPSHOTS_PRESENT',
        'blocks',
        'the machine has snapshots: what is written below them would corrupt them',
        'remove the snapshots of the machine',
      ),
    );
  }
  return findings;
};
