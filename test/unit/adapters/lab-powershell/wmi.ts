import type { Argument, PsRow, Step } from '../../../../adapters/powershell/port.ts';
import type { MachineId } from '../../../../core/contract/index.ts';
import { type HostBench, step } from './bench.ts';

export const NAMESPACE = 'root/virtualization/v2';

export const instances = (ClassName: string, filter?: string, select?: readonly string[]): Step =>
  step('Get-CimInstance', { Namespace: NAMESPACE, ClassName, ...(filter === undefined ? {} : { Filter: filter }) }, select);

export const level = (consistency: 1 | 2): string =>
  `<INSTANCE CLASSNAME="Msvm_VirtualSystemSnapshotSettingData"><PROPERTY NAME="ConsistencyLevel" TYPE="uint8"><VALUE>${consistency}</VALUE></PROPERTY></INSTANCE>`;

export interface JobEnd {
  readonly state: number;
  readonly errorCode: number;
  readonly description: string;
  /** InstanceIDs of what the job has made or touched. */
  readonly affected: readonly string[];
}

/** The services of one machine's host, asked as a backup product asks them. */
export class Wmi {
  readonly bench: HostBench;
  readonly id: MachineId;

  constructor(bench: HostBench, id = bench.id()) {
    this.bench = bench;
    this.id = id;
  }

  async call(
    before: readonly Step[],
    service: string,
    method: string,
    args: Readonly<Record<string, Argument>>,
    select: readonly string[] = [],
  ) {
    const steps = [
      ...before,
      instances(service),
      step('Invoke-CimMethod', { InputObject: { $step: before.length }, MethodName: method, Arguments: args }, [
        'ReturnValue',
        'Job.InstanceID',
        ...select,
      ]),
    ];
    return (await this.bench.rows(...steps))[0]!;
  }

  async look(job: string): Promise<JobEnd> {
    const [found, affected] = await this.bench.run(
      instances('Msvm_ConcreteJob', `InstanceID='${job}'`, ['JobState', 'ErrorCode', 'ErrorDescription']),
      step('Get-CimAssociatedInstance', { InputObject: { $step: 0 }, Association: 'Msvm_AffectedJobElement' }, ['InstanceID']),
    );
    const [row] = found!.rows;
    return {
      state: Number(row?.['JobState']),
      errorCode: Number(row?.['ErrorCode']),
      description: String(row?.['ErrorDescription']),
      affected: (affected?.rows ?? []).map((one) => String(one['InstanceID'])),
    };
  }

  async ended(row: PsRow): Promise<JobEnd> {
    for (;;) {
      const job = await this.look(String(row['Job.InstanceID']));
      if (![2, 3, 4].includes(job.state)) return job;
      await this.bench.lab.clock.sleep(5);
    }
  }

  create(consistency: 1 | 2 = 2, type = 32_768): Promise<PsRow> {
    return this.call(
      [instances('Msvm_ComputerSystem', `Name='${this.id.toUpperCase()}'`)],
      'Msvm_VirtualSystemSnapshotService',
      'CreateSnapshot',
      {
        AffectedSystem: { $step: 0 },
        SnapshotSettings: level(consistency),
        SnapshotType: { $type: 'uint16', value: type },
      },
    );
  }

  /** Id of a recovery checkpoint that was just taken. */
  async checkpoint(consistency: 1 | 2 = 2): Promise<string> {
    const { affected } = await this.ended(await this.create(consistency));
    return affected
      .find((one) => one.startsWith('Microsoft:'))!
      .slice('Microsoft:'.length)
      .toLowerCase();
  }

  onSnapshot(checkpoint: string, method: 'ConvertToReferencePoint' | 'DestroySnapshot'): Promise<PsRow> {
    const args = { AffectedSnapshot: { $step: 0 }, ...(method === 'DestroySnapshot' ? {} : { ReferencePointSettings: '' }) };
    return this.call(
      [instances('Msvm_VirtualSystemSettingData', `InstanceID='Microsoft:${checkpoint.toUpperCase()}'`)],
      'Msvm_VirtualSystemSnapshotService',
      method,
      args,
    );
  }

  /** Id of the reference point that the checkpoint became. */
  async convert(checkpoint: string): Promise<string> {
    const { affected } = await this.ended(await this.onSnapshot(checkpoint, 'ConvertToReferencePoint'));
    return affected[0]!;
  }

  points(): Promise<readonly PsRow[]> {
    return this.bench.rows(
      instances('Msvm_VirtualSystemReferencePoint', `VirtualSystemIdentifier='${this.id.toUpperCase()}'`, [
        'InstanceID',
        'VirtualDiskIdentifiers',
        'ResilientChangeTrackingIdentifiers',
      ]),
    );
  }

  /** Tracking ids of a machine's newest reference point, by disk. */
  async trackingIds(): Promise<string[]> {
    return (await this.points()).at(-1)!['ResilientChangeTrackingIdentifiers'] as string[];
  }

  async destroyPoint(point: string): Promise<JobEnd> {
    const row = await this.call(
      [instances('Msvm_VirtualSystemReferencePoint', `InstanceID='${point}'`)],
      'Msvm_VirtualSystemReferencePointService',
      'DestroyReferencePoint',
      {
        AffectedReferencePoint: { $step: 0 },
      },
    );
    return this.ended(row);
  }

  async frozen(checkpoint: string): Promise<string[]> {
    const rows = await this.bench.rows(
      step('Get-VMSnapshot', { Id: checkpoint }),
      step('Get-VMHardDiskDrive', { VMSnapshot: { $step: 0 } }, ['Path']),
    );
    return rows.map((row) => String(row['Path']));
  }

  changesPage(path: string, limitId: string, from: number, length: number): Promise<PsRow> {
    return this.call(
      [],
      'Msvm_ImageManagementService',
      'GetVirtualDiskChanges',
      {
        Path: path,
        LimitId: limitId,
        TargetSnapshotId: '',
        ByteOffset: { $type: 'uint64', value: String(from) },
        ByteLength: { $type: 'uint64', value: String(length) },
      },
      ['ProcessedByteLength', 'ChangedByteOffsets', 'ChangedByteLengths'],
    );
  }

  /** All pages. */
  async changes(path: string, limitId: string, sizeBytes: number): Promise<{ offset: number; length: number }[]> {
    const found: { offset: number; length: number }[] = [];
    for (let from = 0; from < sizeBytes; ) {
      const page = await this.changesPage(path, limitId, from, sizeBytes - from);
      const lengths = page['ChangedByteLengths'] as number[];
      found.push(...(page['ChangedByteOffsets'] as number[]).map((offset, at) => ({ offset, length: lengths[at]! })));
      from += Number(page['ProcessedByteLength']);
    }
    return found;
  }
}
