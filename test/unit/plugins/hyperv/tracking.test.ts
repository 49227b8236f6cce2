import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Extent, MachineId, Session, Snapshot } from '../../../../core/contract/index.ts';
import { callOf, crash, errorOf, Ground, MIB, OWNER, snapshotSource, WEB } from './ground.ts';

const start = async () => {
  const ground = await Ground.create();
  const session = await ground.connect();
  const machine = await ground.machine(session, 'web');
  return { ground, session, id: machine.id, disk: machine.spec.disks[0]!.id };
};
const take = (session: Session, id: MachineId, since: Snapshot | undefined, more = {}) =>
  snapshotSource(session).createSnapshot(
    [id],
    { ...crash(new Map((since?.disks ?? []).map(({ disk, baseline }) => [disk, baseline!]))), ...more },
    callOf(),
  );
const seal = (session: Session, { id }: Snapshot) => snapshotSource(session).releaseSnapshot(id, 'sealed', callOf());
const changed = (session: Session, { id, disks }: Snapshot): Promise<Extent[]> =>
  Array.fromAsync(snapshotSource(session).changedExtents(id, disks[0]!.disk, 0, callOf()));
const point = (ground: Ground, id: MachineId) => ground.hv(id).referencePoints;

const wmi = (className: string, filter: string) =>
  ({ cmdlet: 'Get-CimInstance', params: { Namespace: 'root/virtualization/v2', ClassName: className, Filter: filter } }) as const;
const service = (name: string) =>
  ({ cmdlet: 'Get-CimInstance', params: { Namespace: 'root/virtualization/v2', ClassName: name } }) as const;

/** As a backup product does. */
const foreignCheckpoint = async (ground: Ground, id: MachineId): Promise<string> => {
  const before = new Set(ground.hv(id).checkpoints.map((one) => one.id));
  await ground.byHand([
    wmi('Msvm_ComputerSystem', `Name='${id.toUpperCase()}'`),
    service('Msvm_VirtualSystemSnapshotService'),
    {
      cmdlet: 'Invoke-CimMethod',
      params: {
        InputObject: { $step: 1 },
        MethodName: 'CreateSnapshot',
        Arguments: { AffectedSystem: { $step: 0 }, SnapshotSettings: '', SnapshotType: { $type: 'uint16', value: 32768 } },
      },
    },
  ]);
  await ground.estate.control.call('lab.advance', { ms: 1000 });
  return ground.hv(id).checkpoints.find((one) => !before.has(one.id))!.id;
};
const foreignEnd = async (ground: Ground, checkpoint: string, method: 'ConvertToReferencePoint' | 'DestroySnapshot') => {
  const more = method === 'ConvertToReferencePoint' ? { ReferencePointSettings: '' } : {};
  await ground.byHand([
    wmi('Msvm_VirtualSystemSettingData', `InstanceID='Microsoft:${checkpoint.toUpperCase()}'`),
    service('Msvm_VirtualSystemSnapshotService'),
    {
      cmdlet: 'Invoke-CimMethod',
      params: { InputObject: { $step: 1 }, MethodName: method, Arguments: { AffectedSnapshot: { $step: 0 }, ...more } },
    },
  ]);
  await ground.estate.control.call('lab.advance', { ms: 2000 });
};

describe('changes since a baseline', () => {
  it('are those that were made, and nothing more than asked for from an offset on', async () => {
    const { ground, session, id, disk } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    await seal(session, first);
    await ground.write(id, disk, MIB / 2, new Uint8Array(4096).fill(7));

    const second = await take(session, id, first);
    const all = await changed(session, second);

    expect(all.some(({ offset, length }) => offset <= MIB / 2 && MIB / 2 + 4096 <= offset + length)).to.equal(true);
    expect(await Array.fromAsync(snapshotSource(session).changedExtents(second.id, disk, MIB - 512, callOf()))).to.deep.equal([]);
  });

  for (const [what, spoil] of [
    ['its reference point is destroyed by another product', async ({ ground, id }) => void ground.hv(id).referencePoints.splice(0)],
    [
      'the two lists of its reference point have unlike lengths',
      async ({ ground }) =>
        void ground.rewrite((row) =>
          'ResilientChangeTrackingIdentifiers' in row ? { ...row, ResilientChangeTrackingIdentifiers: [] } : row,
        ),
    ],
    [
      'the host does not know its identity any more',
      async ({ ground, id }) => void (await ground.estate.control.call('lab.resetTracker', { machine: id })),
    ],
    [
      'somebody sets the machine to a checkpoint of theirs',
      async ({ ground, id, session }) => {
        await ground.byHand(
          [
            { cmdlet: 'Get-VM', params: { Id: id } },
            { cmdlet: 'Restore-VMSnapshot', params: { VMSnapshot: { $step: 2 } } },
          ].toSpliced(
            1,
            0,
            { cmdlet: 'Get-VMSnapshot', params: { VM: { $step: 0 } } } as never,
            { cmdlet: 'Get-VMSnapshot', params: { VM: { $step: 0 } } } as never,
          ) as never,
        );
        await session.power!.set(id, 'on', callOf());
      },
    ],
    [
      'the disk is grown',
      async ({ ground, id, disk }) => void (await ground.estate.control.call('lab.growDisk', { machine: id, disk, sizeBytes: 2 * MIB })),
    ],
  ] as readonly (readonly [string, (at: Awaited<ReturnType<typeof start>>) => Promise<void>])[]) {
    it(`are not told when ${what}`, async () => {
      const at = await start();
      await using _ = at.ground;
      const { ground, session, id } = at;
      const first = await take(session, id, undefined);
      await seal(session, first);
      await ground.byHand([
        { cmdlet: 'Get-VM', params: { Id: id } },
        { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'of somebody' } },
      ]);
      await spoil(at);

      const second = await take(session, id, first);

      expect((await errorOf(changed(session, second))).code).to.equal('TRACKING_LOST');
    });
  }

  it('are not told once the machine is set to a checkpoint that is older than its baseline, whatever the host still knows', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const vm = { cmdlet: 'Get-VM', params: { Id: id } } as const;
    await ground.byHand([vm, { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: 'older' } }]);
    const first = await take(session, id, undefined);
    await seal(session, first);
    await ground.byHand([
      vm,
      { cmdlet: 'Get-VMSnapshot', params: { VM: { $step: 0 } } },
      { cmdlet: 'Restore-VMSnapshot', params: { VMSnapshot: { $step: 1 } } },
    ]);

    const second = await take(session, id, first);

    const error = await errorOf(changed(session, second));
    expect(error.code).to.equal('TRACKING_LOST');
    expect(error.message).to.include('not on record');
  });

  it('are not told for a copy that has the identity of the disk that was there', async () => {
    const { ground, session, id, disk } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    await seal(session, first);
    await session.power!.set(id, 'off', callOf());
    const [drive] = ground.hv(id).drives;
    const Path = drive!.path;
    const copy = Path.replace('.vhdx', '-restored.vhdx');
    await ground.estate.control.call('lab.advance', { ms: 1000 });
    await ground.byHand([
      { cmdlet: 'Convert-VHD', params: { Path, DestinationPath: copy, VHDType: 'Dynamic' } },
      { cmdlet: 'Get-VM', params: { Id: id } },
      { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 1 } } },
      { cmdlet: 'Remove-VMHardDiskDrive', params: { VMHardDiskDrive: { $step: 2, $where: { property: 'Path', is: Path } } } },
      {
        cmdlet: 'Add-VMHardDiskDrive',
        params: { VM: { $step: 1 }, ControllerType: 'SCSI', ControllerNumber: 0, ControllerLocation: 9, Path: copy },
      },
    ]);

    const second = await take(session, id, first);

    expect((await errorOf(Array.fromAsync(snapshotSource(session).changedExtents(second.id, disk, 0, callOf())))).code).to.equal(
      'TRACKING_LOST',
    );
  });
});

describe('reference points', () => {
  it('of others survive every cycle of ours and the end of it all', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    await foreignEnd(ground, await foreignCheckpoint(ground, id), 'ConvertToReferencePoint');
    const [theirs] = point(ground, id);

    const first = await take(session, id, undefined);
    await seal(session, first);
    const second = await take(session, id, first);
    await seal(session, second);
    await snapshotSource(session).keepBaselines(id, new Map(), callOf());

    expect(point(ground, id)).to.deep.equal([theirs]);
  });

  it('are kept as they are asked for, and destroyed only when they are ours', async () => {
    const { ground, session, id, disk } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    await seal(session, first);
    const second = await take(session, id, first);
    await seal(session, second);
    const { baseline } = second.disks.find((one) => one.disk === disk)!;
    expect(point(ground, id)).to.have.length(2);

    await snapshotSource(session).keepBaselines(id, new Map([[disk, [baseline!]]]), callOf());
    await snapshotSource(session).keepBaselines(id, new Map([[disk, [baseline!]]]), callOf());
    expect(point(ground, id)).to.have.length(1);
    const other = await ground.connect('installation-2');
    await snapshotSource(other).keepBaselines(id, new Map(), callOf());

    expect(point(ground, id)).to.have.length(1);
  });

  it('of which two came at once are nobody’s: the next cycle compares', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    let added = false;
    using hook = ground.before(({ step }) => {
      if (added || step.params['MethodName'] !== 'ConvertToReferencePoint') return;
      added = true;
      ground.hv(id).referencePoints.push({ id: '11111111-1111-4111-8111-111111111111', application: false, disks: [] });
    });
    await seal(session, first);
    hook[Symbol.dispose]();

    const second = await take(session, id, first);

    expect((await errorOf(changed(session, second))).code).to.equal('TRACKING_LOST');
  });
});

describe('a checkpoint of another product', () => {
  it('keeps a cycle from beginning, and is left alone', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const theirs = await foreignCheckpoint(ground, id);

    const error = await errorOf(take(session, id, undefined));

    expect(error.code).to.equal('TASK_IN_PROGRESS');
    expect(error.message).to.include('another product');
    expect(await Array.fromAsync(snapshotSource(session).listSnapshots(callOf()))).to.deep.equal([]);
    expect(ground.hv(id).checkpoints.map((one) => one.id)).to.deep.equal([theirs]);
    expect(ground.hv(id).notes).to.equal('');
  });

  it('that came while ours was taken is not taken for ours, and ours is swept once it has ended', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    let theirs = '';
    using hook = ground.before(async ({ step }) => {
      if (theirs !== '' || step.params['MethodName'] !== 'CreateSnapshot') return;
      theirs = '-';
      theirs = await foreignCheckpoint(ground, id);
    });

    const error = await errorOf(take(session, id, undefined));
    hook[Symbol.dispose]();

    expect(error.code).to.equal('TASK_IN_PROGRESS');
    expect(ground.hv(id).checkpoints).to.have.length(2);
    expect(await Array.fromAsync(snapshotSource(session).listSnapshots(callOf()))).to.deep.equal([]);
    await foreignEnd(ground, theirs, 'DestroySnapshot');
    for await (const left of snapshotSource(session).listSnapshots(callOf()))
      await snapshotSource(session).releaseSnapshot(left.id, 'abandoned', callOf());
    expect(ground.hv(id).checkpoints).to.deep.equal([]);
    expect(ground.hv(id).notes).to.equal('');
  });
});

describe('a checkpoint of a cycle', () => {
  it('of one cycle is never part of another one’s', async () => {
    await using ground = await Ground.create({ machines: [WEB, { ...WEB, name: 'db' }] });
    const session = await ground.connect();
    const web = (await ground.machine(session, 'web')).id;
    const db = (await ground.machine(session, 'db')).id;
    const call = { operationId: 'group' };
    const source = snapshotSource(session);
    await ground.cutOff({ after: 3, how: 'killed' }, (more) => source.createSnapshot([web, db], crash(), callOf({ ...call, ...more })));
    const next = await ground.connect();
    await snapshotSource(next).createSnapshot([db], crash(), callOf());

    const error = await errorOf(snapshotSource(next).createSnapshot([web, db], crash(), callOf(call)));

    expect(error.code).to.equal('SNAPSHOT_LIMIT_REACHED');
  });

  it('that somebody has removed ends its cycle, and the release of it', async () => {
    const { ground, session, id, disk } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    await foreignEnd(ground, ground.hv(id).checkpoints[0]!.id, 'DestroySnapshot');

    expect((await errorOf(snapshotSource(session).openReader(first.id, disk, callOf()))).code).to.equal('SNAPSHOT_GONE');
    await seal(session, first);

    expect(ground.hv(id).notes).to.equal('');
  });

  for (const outcome of ['sealed', 'abandoned'] as const) {
    it(`is seen to its end (${outcome}) when the host forgets its job`, async () => {
      const { ground, session, id } = await start();
      await using _ = ground;
      const first = await take(session, id, undefined);
      const method = outcome === 'sealed' ? 'ConvertToReferencePoint' : 'DestroySnapshot';
      await ground.fault({ method: `ps.Msvm_VirtualSystemSnapshotService.${method}`, nth: 1, act: { stall: true } });
      let forgets = false;
      using hook = ground.rewrite((row, step) => {
        if (step.params['MethodName'] === method) forgets = true;
        return row;
      });
      using other = ground.before(async ({ step }) => {
        if (!forgets || step.params['ClassName'] !== 'Msvm_ConcreteJob') return;
        forgets = false;
        await ground.estate.control
          .call('lab.setHost', { endpoint: 'endpoint', host: 'endpoint', vmmsStoppedMs: 1 } as never)
          .catch(() => undefined);
        const { forgetJobs } = await import('../../../../adapters/lab/powershell/jobs.ts');
        forgetJobs(ground.estate.estate.endpoint('endpoint'), ground.host().name);
      });

      const error = await errorOf(snapshotSource(session).releaseSnapshot(first.id, outcome, callOf()));
      expect(error.code).to.equal('TASK_IN_PROGRESS');
      hook[Symbol.dispose]();
      other[Symbol.dispose]();
      await snapshotSource(session).releaseSnapshot(first.id, outcome, callOf());

      expect(ground.hv(id).checkpoints).to.deep.equal([]);
      expect(point(ground, id)).to.have.length(outcome === 'sealed' ? 1 : 0);
    });
  }

  for (const state of [10, 32768] as const) {
    for (const consistency of ['crash', 'application'] as const) {
      it(`whose job ends in state ${state} leaves nothing of a cycle that was to be ${consistency}-consistent`, async () => {
        const { ground, session, id } = await start();
        await using _ = ground;
        ground.hv(id).notes = 'of people';
        await ground.fault({
          method: 'ps.Msvm_VirtualSystemSnapshotService.CreateSnapshot',
          nth: 1,
          act: { job: { state, errorCode: 32768 } },
        });

        const result = await take(session, id, undefined, { consistency, orElse: consistency === 'crash' ? 'crash' : 'refuse' }).catch(
          (error: unknown) => error as Error,
        );

        expect(result).to.be.instanceOf(Error);
        expect(ground.hv(id).checkpoints).to.deep.equal([]);
        expect(ground.hv(id).notes).to.equal('of people');
      });
    }

    it(`falls back once to one checkpoint when its job ends in state ${state}`, async () => {
      const { ground, session, id } = await start();
      await using _ = ground;
      await ground.fault({
        method: 'ps.Msvm_VirtualSystemSnapshotService.CreateSnapshot',
        nth: 1,
        act: { job: { state, errorCode: 32768 } },
      });

      const snapshot = await take(session, id, undefined, { consistency: 'application', orElse: 'crash' });

      expect(snapshot.consistency).to.equal('crash');
      expect(snapshot.fellBackBecause).to.be.a('string');
      expect(ground.hv(id).checkpoints).to.have.length(1);
    });
  }

  it('waits for a merge that goes on, and gives up in time where it never ends', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const first = await take(session, id, undefined);
    await ground.fault({ method: 'ps.Msvm_VirtualSystemSnapshotService.DestroySnapshot', nth: 1, act: { mergeStalls: true } });

    const error = await errorOf(snapshotSource(session).releaseSnapshot(first.id, 'abandoned', callOf({ deadlineMs: 5_000 })));
    const again = await errorOf(snapshotSource(session).createSnapshot([id], crash(), callOf({ deadlineMs: 5_000 })));

    expect(error.code).to.equal('TIMED_OUT');
    expect(again.code).to.equal('TIMED_OUT');
    expect(ground.hv(id).checkpoints).to.deep.equal([]);
  });

  it('names the disk that boots although another one comes first, and each disk where it hangs', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const { hv } = ground.estate.estate.machine(id);
    hv!.firstBoot = hv!.drives[1]!.id;
    hv!.drives.reverse();
    const { spec } = await session.inventory.getMachine(id, callOf());

    const snapshot = await take(session, id, undefined);

    expect(snapshot.specs.get(id)!.disks).to.deep.equal(spec.disks);
    expect(spec.disks.map(({ boot }) => boot)).to.deep.equal([false, true]);
  });

  it('is refused for a machine with two disks of one identity', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    const identifier = '99999999-9999-4999-8999-999999999999';
    using _rewritten = ground.rewrite((row) => ('DiskIdentifier' in row ? { ...row, DiskIdentifier: identifier } : row));

    const error = await errorOf(take(session, id, undefined));

    expect(error.code).to.equal('STATE_CONFLICT');
    expect(ground.hv(id).checkpoints).to.deep.equal([]);
  });

  it('of a machine that has another owner’s cycle on record is not that one’s', async () => {
    const { ground, session, id } = await start();
    await using _ = ground;
    await take(session, id, undefined);
    const other = await ground.connect('installation-2');

    expect(await Array.fromAsync(snapshotSource(other).listSnapshots(callOf()))).to.deep.equal([]);
    expect(ground.hv(id).notes).to.include(OWNER);
  });
});
