import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { marksIn, testNetworkIn } from '../../../../adapters/lab/powershell/marks.ts';
import { HostBench, MIB, OWNER, step } from './bench.ts';

const EPOCH = { item: 'item-1', epoch: 3, holder: 'site-b' };

const notes = (marks: object): string => `by people\nwarmsite: ${JSON.stringify({ owner: OWNER, ...marks })}`;

describe('marks in the notes of machines', () => {
  it('tell the lab of replicas, epochs and forks, and are forgotten with their line', async () => {
    await using bench = await HostBench.open();
    const id = bench.id();
    const machine = bench.lab.estate.machine(id);
    const leftovers = async () => (await bench.lab.control.call('lab.status', {})).leftovers.map(({ kind }) => kind);

    await bench.onVm('Set-VM', {
      Notes: notes({ epoch: EPOCH, replica: { operation: 'op-1', adopted: false, disks: { a: 'b' }, nics: {} } }),
    });
    const replica = [machine.replica, bench.lab.estate.endpoint('hv-a').fences[id], await leftovers()];
    await bench.onVm('Set-VM', {
      Notes: notes({ fork: { operation: 'op-2', purpose: 'test', mode: 'overlay', replica: 'another', disks: {}, nics: {} } }),
    });
    const fork = [machine.replica, machine.fork, await leftovers()];
    await bench.onVm('Set-VM', { Notes: 'by people' });

    expect(replica).to.deep.equal([{ owner: OWNER, operationId: 'op-1', adopted: false, disks: { a: 'b' }, nics: {} }, EPOCH, ['replica']]);
    expect(fork).to.deep.equal([undefined, `${id}/machine`, ['fork']]);
    expect([machine.replica, machine.fork, await leftovers(), bench.lab.estate.endpoint('hv-a').fences[id]]).to.deep.equal([
      undefined,
      undefined,
      [],
      undefined,
    ]);
  });

  it('show what lies under a fork that is the replica itself', async () => {
    await using bench = await HostBench.open();
    const id = bench.id();
    await bench.onVm('Stop-VM');
    const inspect = async (of: object) => (await bench.lab.control.call('lab.inspect', { of: of as never })).digests[0]!.digest;
    const before = await inspect({ machine: id });

    await bench.onVm('Set-VM', {
      Notes: notes({
        replica: { adopted: false, disks: {}, nics: {} },
        fork: { operation: 'op', purpose: 'failover', mode: 'overlay', replica: id, disks: {}, nics: {} },
      }),
    });
    const early = bench.lab.estate.forks.size;
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'warmsite fork' });
    await bench.lab.control.call('lab.write', {
      machine: id,
      disk: bench.lab.estate.machine(id).spec.disks[0]!.id,
      offset: 0,
      data: Buffer.alloc(512, 7),
    });

    const [fork] = bench.lab.estate.forks.keys();
    expect(early, 'what is only begun is none').to.equal(0);
    expect(await inspect({ replica: id })).to.equal(before);
    expect(await inspect({ fork }))
      .to.equal(await inspect({ machine: id }))
      .and.not.equal(before);
  });

  it('make a private switch a test network of whoever says so', async () => {
    await using bench = await HostBench.open();
    const make = (Notes: string) =>
      bench.rows(step('New-VMSwitch', { Name: 'isolated', SwitchType: 'Private', Notes }, ['Id', 'SwitchType']));

    const [made] = await make(`warmsite: ${JSON.stringify({ owner: OWNER, operation: 'op-1' })}`);
    const { leftovers } = await bench.lab.control.call('lab.status', {});
    await bench.run(step('Get-VMSwitch', { Id: String(made!['Id']) }), step('Remove-VMSwitch', { VMSwitch: { $step: 0 }, Force: true }));

    expect(made!['SwitchType']).to.deep.equal({ name: 'Private', value: 0 });
    expect(leftovers).to.have.lengthOf(1);
    expect(leftovers[0]).to.deep.include({ owner: OWNER, kind: 'testNetwork' });
    expect((await bench.lab.control.call('lab.status', {})).leftovers).to.deep.equal([]);
    expect(await bench.rows(step('Get-VMSwitch', {}, ['Name']))).to.have.lengthOf(2);
  });

  it('are read without trust, whatever the notes hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.json(), (text, json) => {
        for (const one of [
          text,
          `warmsite: ${text}`,
          `a\nwarmsite: ${json}`,
          `warmsite: ${JSON.stringify({ owner: OWNER, epoch: json, replica: json, fork: json })}`,
        ]) {
          marksIn(one);
          testNetworkIn(one);
        }
      }),
    );
  });
});

describe('hostile texts on a simulated host', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom(
      '*',
      'a[b]?',
      "'; Remove-VM * #",
      '$(Get-VM | Stop-VM)',
      '"`n',
      '\u0000\u001b[31m',
      '😀'.repeat(100),
      'x'.repeat(300),
      '__proto__',
      'CON',
      "' OR ''='",
    ),
  );

  it('come back equal as names and notes, and nothing else happens', async () => {
    await using bench = await HostBench.open();
    const id = bench.id();
    await fc.assert(
      fc.asyncProperty(
        texts.filter((text) => text !== ''),
        texts,
        async (name, text) => {
          await bench.onVm('Rename-VM', { NewName: name }, undefined, id);
          await bench.onVm('Set-VM', { Notes: text }, undefined, id);

          const rows = await bench.rows(step('Get-VM', {}, ['Name', 'Notes', 'State']));
          expect(rows).to.deep.equal([{ Name: name, Notes: text, State: { name: 'Running', value: 2 } }]);
        },
      ),
    );
  });

  it('are no paths outside of the storage, whatever they try', async () => {
    await using bench = await HostBench.open();
    const files = () => Object.keys(bench.lab.estate.endpoint('hv-a').hyperv!.files).toSorted();
    const before = files();
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        for (const Path of [`${text}.vhdx`, `D:\\${text}.vhdx`, `D:\\..\\${text}.vhdx`]) {
          const made = await bench.run(step('New-VHD', { Path, SizeBytes: MIB, Dynamic: true }, ['Path'])).catch(() => undefined);
          if (!made) continue;
          expect(made[0]!.rows[0]!['Path']).to.equal(Path);
          await bench.run(step('Remove-Item', { LiteralPath: Path }));
        }
        expect(files()).to.deep.equal(before);
      }),
      { numRuns: 60 },
    );
  });
});
