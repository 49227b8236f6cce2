import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Finding, MachineId } from '../../../../core/contract/index.ts';
import { assess } from '../../../../plugins/vmware/assess.ts';
import { choosePaths } from '../../../../plugins/vmware/movers/choose.ts';
import { Https } from '../../../../plugins/vmware/movers/https.ts';
import { Vim } from '../../../support/vim.ts';
import { callOf, codesOf, disk, Ground, madeUp, OWNER, replicaOf, snapshotSource } from './ground.ts';

const VM = 'vm-1' as MachineId;
const scsi = { $type: 'ParaVirtualSCSIController', key: 1000, busNumber: 0, sharedBus: 'noSharing' };
const diskWith = (backing: object) => ({
  $type: 'VirtualDisk',
  key: 2000,
  controllerKey: 1000,
  unitNumber: 0,
  capacityInKB: 1024,
  backing: { $type: 'VirtualDiskFlatVer2BackingInfo', uuid: 'a', diskMode: 'persistent', ...backing },
});
/** Nothing is wrong with it. */
const FINE = {
  'config.hardware.device': [scsi, diskWith({})],
  'config.changeTrackingEnabled': true,
  'config.version': 'vmx-19',
  'config.template': false,
  'runtime.powerState': 'poweredOn',
  'runtime.connectionState': 'connected',
  'runtime.consolidationNeeded': false,
  'guest.toolsRunningStatus': 'guestToolsRunning',
};
const snapshotBy = (description: string) => ({
  rootSnapshotList: [
    { snapshot: { type: 'VirtualMachineSnapshot', value: 'snapshot-1' }, description, createTime: '2026-01-01T00:00:00Z' },
  ],
});

const found = async (props: object, as: 'source' | 'target' = 'source', appliance?: string): Promise<Finding[]> => {
  const vcenter = madeUp({ 'VirtualMachine:vm-1': { ...FINE, ...props } });
  const paths = choosePaths([new Https(vcenter)], undefined, appliance as MachineId | undefined);
  return (await assess(vcenter, paths, { id: VM, as }, callOf())).filter(({ code }) => code !== 'DATA_PATH');
};
const levels = (findings: readonly Finding[]) => findings.map(({ code, level }) => `${code} ${level}`);

describe('what stands in the way of protecting a machine', () => {
  it('is nothing where nothing is wrong, and the way of the data is told', async () => {
    const vcenter = madeUp({ 'VirtualMachine:vm-1': FINE });
    const paths = choosePaths([new Https(vcenter)], undefined);

    expect(codesOf(await assess(vcenter, paths, { id: VM, as: 'source' }, callOf()))).to.deep.equal(['DATA_PATH']);
    expect(codesOf(await assess(vcenter, paths, { id: VM, as: 'target' }, callOf()))).to.deep.equal(['DATA_PATH']);
  });

  for (const [expected, props] of [
    ['NOT_CONNECTED blocks', { 'runtime.connectionState': 'disconnected' }],
    ['IS_TEMPLATE blocks', { 'config.template': true }],
    ['FAULT_TOLERANT blocks', { 'config.ftInfo': { role: 1 } }],
    ['ENCRYPTED blocks', { 'config.keyId': { keyId: 'k' } }],
    ['NO_DISKS blocks', { 'config.hardware.device': [scsi] }],
    ['DISK_INDEPENDENT blocks', { 'config.hardware.device': [scsi, diskWith({ diskMode: 'independent_persistent' })] }],
    [
      'DISK_RAW blocks',
      {
        'config.hardware.device': [
          scsi,
          diskWith({ $type: 'VirtualDiskRawDiskMappingVer1BackingInfo', compatibilityMode: 'physicalMode' }),
        ],
      },
    ],
    ['DISK_SHARED blocks', { 'config.hardware.device': [scsi, diskWith({ sharing: 'sharingMultiWriter' })] }],
    ['BUS_SHARED blocks', { 'config.hardware.device': [{ ...scsi, sharedBus: 'physicalSharing' }, diskWith({})] }],
    ['TPM_IS_NEW warning', { 'config.hardware.device': [scsi, diskWith({}), { $type: 'VirtualTPM', key: 11_000 }] }],
    ['HARDWARE_OLD blocks', { 'config.version': 'vmx-04' }],
    ['SNAPSHOTS_PRESENT warning', { snapshot: snapshotBy('before the update') }],
    ['CONSOLIDATION_NEEDED blocks', { 'runtime.consolidationNeeded': true }],
    ['POWERED_OFF info', { 'runtime.powerState': 'poweredOff' }],
    ['TOOLS_NOT_RUNNING warning', { 'guest.toolsRunningStatus': 'guestToolsNotRunning' }],
    ['TRACKING_OFF info', { 'config.changeTrackingEnabled': false }],
    [
      'IS_REPLICA warning',
      {
        'config.extraConfig': [
          { key: 'warmsite.owner', value: OWNER },
          { key: 'warmsite.replica', value: '{"operationId":"o","adopted":false}' },
        ],
      },
    ],
  ] as const) {
    it(`is told as ${expected}`, async () => {
      const findings = await found(props);

      expect(levels(findings)).to.deep.equal([expected]);
      expect(findings[0]!.hint).to.match(/^[a-z].*[^.]$/);
    });
  }

  it('blocks where tracking would have to be enabled under snapshots of others, those of another installation too', async () => {
    const off = { 'config.changeTrackingEnabled': false };
    const theirs = JSON.stringify({ warmsite: 1, owner: 'another', operationId: 'o', kind: 'cycle' });

    expect(levels(await found({ ...off, snapshot: snapshotBy('mine') }))).to.include('SNAPSHOTS_PRESENT blocks');
    expect(levels(await found({ ...off, snapshot: snapshotBy(theirs) }))).to.include('SNAPSHOTS_PRESENT blocks');
  });

  it('is no snapshot of our own cycle', async () => {
    const ours = JSON.stringify({ warmsite: 1, owner: OWNER, operationId: 'o', kind: 'cycle' });

    expect(await found({ snapshot: snapshotBy(ours) })).to.deep.equal([]);
  });

  it('is a snapshot of anybody where a machine is to become a replica', async () => {
    expect(levels(await found({ snapshot: snapshotBy('mine') }, 'target'))).to.deep.equal(['SNAPSHOTS_PRESENT blocks']);
  });

  it('is that it is the appliance itself', async () => {
    expect(levels(await found({}, 'source', VM))).to.deep.equal(['IS_APPLIANCE blocks']);
  });

  it('is told of a machine that nothing is known of but that it is lost', async () => {
    const vcenter = madeUp({ 'VirtualMachine:vm-1': { 'runtime.connectionState': 'inaccessible' } });
    const paths = choosePaths([new Https(vcenter)], undefined);

    const findings = await assess(vcenter, paths, { id: VM, as: 'source' }, callOf());

    expect(levels(findings)).to.include('NOT_CONNECTED blocks');
  });

  it('is the same of a machine of the simulated vCenter', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const machine = await ground.machine(session, 'web');

    expect(codesOf(await session.inventory.checkProtectable(machine.id, 'source', callOf()))).to.deep.equal(['TRACKING_OFF', 'DATA_PATH']);
    const { machine: replica } = await replicaOf(session, machine);
    expect(codesOf(await session.inventory.checkProtectable(replica.id, 'source', callOf()))).to.deep.equal([
      'POWERED_OFF',
      'IS_REPLICA',
      'DATA_PATH',
    ]);
    expect(codesOf(await session.inventory.checkProtectable(ground.appliance, 'source', callOf()))).to.include('IS_APPLIANCE');
  });
});

describe('tracking', () => {
  it('is disabled by whom has enabled it, and left to another product that had it before', async () => {
    await using ground = await Ground.create({
      machines: [
        { name: 'ours', disks: [disk()] },
        { name: 'theirs', disks: [disk()] },
      ],
    });
    const [session, other] = [await ground.connect(), await ground.connect({}, 'installation-2')];
    const [ours, theirs] = [await ground.machine(session, 'ours'), await ground.machine(session, 'theirs')];
    await using client = (await ground.vim()).client;
    const vim = new Vim(client);
    const isTracked = async (id: string) =>
      (await vim.get({ type: 'VirtualMachine', value: id }, 'config.changeTrackingEnabled'))['config.changeTrackingEnabled'];
    await snapshotSource(session).enableTracking(ours.id, callOf());
    await snapshotSource(other).enableTracking(theirs.id, callOf());
    await snapshotSource(session).enableTracking(theirs.id, callOf());

    await snapshotSource(session).disableTracking(theirs.id, callOf());
    expect(await isTracked(theirs.id)).to.equal(true);
    for (let times = 0; times < 2; times++) await snapshotSource(session).disableTracking(ours.id, callOf());
    expect(await isTracked(ours.id)).to.equal(false);
    await snapshotSource(other).disableTracking(theirs.id, callOf());
    expect(await isTracked(theirs.id)).to.equal(false);
  });

  it('leaves no snapshot of its stun in the way of the next cycle, when the call that took it was killed', async () => {
    for (const withRetry of [true, false]) {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const { id } = await ground.machine(session, 'web');
      await ground.fault({ method: 'vim.RemoveSnapshot_Task', act: { error: 'INTERNAL' }, times: 1 });
      const refused = await snapshotSource(session)
        .enableTracking(id, callOf())
        .then(
          () => 'nothing',
          (error: Error) => error.message,
        );
      expect(refused).to.not.equal('nothing');

      if (withRetry) await snapshotSource(session).enableTracking(id, callOf());
      const wanted = { consistency: 'crash', orElse: 'crash', since: new Map() } as const;
      const snapshot = await snapshotSource(session).createSnapshot([id], wanted, callOf());
      expect(snapshot.machines).to.deep.equal([id]);
    }
  });

  it('is not enabled under any snapshot, nor under one of ours that a killed cycle has left', async () => {
    for (const description of ['mine', JSON.stringify({ warmsite: 1, owner: OWNER, operationId: 'o', kind: 'cycle' })]) {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const { id } = await ground.machine(session, 'web');
      const vim = await ground.vim();
      await vim.task(
        'CreateSnapshot_Task',
        { type: 'VirtualMachine', value: id },
        { name: 'x', description, memory: false, quiesce: false },
      );

      const source = session.source as { enableTracking(id: MachineId, call: unknown): Promise<unknown> };
      const refused = await source.enableTracking(id, callOf()).then(
        () => 'nothing',
        (error: Error) => error.message,
      );

      expect(refused).to.match(/cannot be enabled while it has snapshots \(1\): it would report wrongly/);
      expect(ground.record(id).changeTrackingEnabled).to.equal(false);
    }
  });
});
