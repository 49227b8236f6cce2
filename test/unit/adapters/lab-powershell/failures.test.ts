import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CODES, failureOf, jobCodeOf } from '../../../../adapters/lab/powershell/failures.ts';
import { errorCodeOf } from '../../../../adapters/powershell/errors.ts';
import { codeOf, errorOf, HostBench, hostSpec, step } from './bench.ts';

describe('faults of simulated hosts', () => {
  for (const code of CODES) {
    it(`${code} comes as the error record that is taken for it again`, async () => {
      await using bench = await HostBench.open();
      await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VMHost', act: { error: code } } });

      const { code: seen, error } = await errorOf(bench.run(step('Get-VMHost')));

      expect(seen).to.equal(code);
      expect(errorCodeOf(error!, 'Get-VMHost')).to.equal(code);
    });
  }

  it('what no host says is unspecified, and what ends a session ends it', async () => {
    await using bench = await HostBench.open();
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VMHost', nth: 1, act: { error: 'FENCED' } } });
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VMSwitch', nth: 1, act: { error: 'CONNECTION_LOST' } } });

    expect(await codeOf(bench.run(step('Get-VMHost')))).to.equal('INTERNAL');
    expect(await codeOf(bench.run(step('Get-VMSwitch')))).to.equal('CONNECTION_LOST');
  });

  it('have a code of their own in jobs', () => {
    expect(
      (['FILE_LOCKED', 'STATE_CONFLICT', 'NOT_FOUND', 'CAPABILITY_MISSING', 'TARGET_FULL'] as const).map((code) =>
        jobCodeOf(failureOf(code, '')),
      ),
    ).to.deep.equal([32774, 32775, 32779, 32770, 32768]);
  });

  it('a cut before leaves the effect undone, a cut after has done it, and the next request has a new session', async () => {
    await using bench = await HostBench.open();
    for (const [cut, notes] of [
      ['before', ''],
      ['after', 'cut after'],
    ] as const) {
      await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Set-VM', nth: 1, act: { cut } } });

      expect(await codeOf(bench.onVm('Set-VM', { Notes: `cut ${cut}` }))).to.equal('CONNECTION_LOST');
      expect(await bench.vm('Notes')).to.equal(notes);
    }
  });

  it('a stall lasts until the deadline kills the session', async () => {
    await using bench = await HostBench.open();
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { stall: true } } });

    const late = await codeOf(bench.shell.run([step('Get-VM')], { deadlineMs: 5000 }));

    expect(late).to.equal('TIMED_OUT');
    expect((await bench.run(step('Get-VM')))[0]!.count).to.equal(1);
  });

  it('a request that is given up rejects with its reason, and its session is gone', async () => {
    await using bench = await HostBench.open();
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { stall: true } } });
    const given = new AbortController();
    const reason = new Error('enough');

    const running = bench.shell.run([step('Get-VM')], { signal: given.signal });
    given.abort(reason);

    expect(await running.catch((error: unknown) => error)).to.equal(reason);
  });

  it('name machines by their ids, by what is theirs, and by their files', async () => {
    await using bench = await HostBench.open(
      hostSpec([
        { name: 'shop-db', disks: [{ sizeBytes: 2 ** 20 }] },
        { name: 'shop-web', disks: [{ sizeBytes: 2 ** 20 }] },
      ]),
    );
    const machine = bench.id('shop-web');
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.*', machine, act: { error: 'TASK_IN_PROGRESS' } } });

    expect(await codeOf(bench.onVm('Set-VM', { Notes: 'a' }))).to.equal('none');
    expect(await codeOf(bench.run(step('Get-VM', { Id: machine })))).to.equal('TASK_IN_PROGRESS');
    expect(await codeOf(bench.run(step('Get-VM'), step('Get-VMHardDiskDrive', { VM: { $step: 0 } })))).to.equal('TASK_IN_PROGRESS');
    const path = bench.lab.estate.machine(machine).hv!.drives[0]!.path;
    expect(await codeOf(bench.run(step('Get-VHD', { Path: path.toLowerCase() })))).to.equal('TASK_IN_PROGRESS');
  });

  it('a stopped management service answers nothing that it serves, on that host and for that long', async () => {
    await using bench = await HostBench.open();
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { vmmsStopsMs: 10_000 } } });

    const { code, error } = await errorOf(bench.run(step('Get-VM')));
    const cim = step('Get-CimInstance', { Namespace: 'root/virtualization/v2', ClassName: 'Msvm_ComputerSystem' });

    expect([code, error!.category]).to.deep.equal(['HOST_BUSY', 'ResourceUnavailable']);
    expect(await codeOf(bench.run(cim))).to.equal('HOST_BUSY');
    expect((await bench.run(step('Get-Volume')))[0]!.count).to.equal(2);
    await bench.lab.clock.sleep(10_000);
    expect(await codeOf(bench.run(step('Get-VM')))).to.equal('none');
  });

  it('a crash takes the power of the hosts, and mounts with it', async () => {
    await using bench = await HostBench.open();
    await bench.onVm('Stop-VM');
    await bench.lab.clock.sleep(500);
    const path = await bench.drivePath();
    await bench.run(step('Mount-VHD', { Path: path, ReadOnly: true, NoDriveLetter: true }));
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { crash: 'after' } } });

    expect(await codeOf(bench.run(step('Get-VM')))).to.equal('CONNECTION_LOST');

    expect((await bench.rows(step('Get-VHD', { Path: path }, ['Attached', 'DiskNumber'])))[0]).to.deep.equal({
      Attached: false,
      DiskNumber: null,
    });
  });

  it('a host that is unknown, burned, or asked with another password lets nobody in', async () => {
    await using bench = await HostBench.open();
    const open = (host: string, password: string) =>
      codeOf(bench.lab.openPowerShell({ host, transport: { kind: 'local', username: 'warmsite', password } }));

    expect(await open('elsewhere', 'secret')).to.equal('CONNECTION_REFUSED');
    expect(await open('hv-a', 'guess')).to.equal('AUTH_REJECTED');
    expect(await open('HV-A.corp.example', 'secret')).to.equal('none');
    await bench.lab.control.call('lab.burnSite', { site: 'site-a' });
    expect(await open('hv-a', 'secret')).to.equal('CONNECTION_REFUSED');
    expect(await codeOf(bench.run(step('Get-VM')))).to.equal('CONNECTION_REFUSED');
  });
});
