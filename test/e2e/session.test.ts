import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { StatusView } from '../../core/engine/status.ts';
import type { JobRecord } from '../../core/flow/flow.ts';
import { LabSession } from '../support/lab-process.ts';

const statusOf = async (session: LabSession): Promise<StatusView> => (await session.json<{ data: StatusView }>('status')).data;

describe('the command line over a lab', () => {
  it('takes a machine from nothing through test, planned failover, commit and failback, without a running engine', async function () {
    this.timeout(180_000);
    await using session = new LabSession();

    const up = await session.run('lab', 'up', '--machines', '2');
    expect(up.code, up.err).to.equal(0);
    const assess = await session.run('machine', 'assess');
    expect(assess.out).to.include('2 ready, 0 after a fix, 0 no, 0 protected');
    const dry = await session.run('protect', 'erp-db', '--policy', 'lab', '--to', 'site-b', '--dry-run');
    expect(dry.out).to.include('nothing was changed').and.to.include('replica at vmm-b');
    expect((await statusOf(session)).items).to.deep.equal([]);

    const protectedNow = await session.run('protect', 'erp-db', '--policy', 'lab', '--to', 'site-b');
    expect(protectedNow.code, protectedNow.err).to.equal(0);
    const [item] = (await statusOf(session)).items;
    expect(item).to.include({ name: 'erp-db', protection: 'Protected', points: 1, recoverable: true });

    // The replica has the same name: the name means the source.
    expect((await session.run('machine', 'show', 'erp-db')).code).to.equal(0);

    const test = await session.json<{ data: JobRecord }>('failover', 'test', 'erp-db');
    expect(test.data).to.include({ verb: 'test', state: 'Succeeded' });
    expect((await session.run('failover', 'cleanup', 'erp-db')).code).to.equal(0);

    const unconfirmed = await session.run('failover', 'planned', 'erp-db');
    expect(unconfirmed.code).to.equal(2);
    expect(unconfirmed.err).to.include('CONFIRMATION_NEEDED').and.to.include('--confirm erp-db');
    const mistyped = await session.run('failover', 'planned', 'erp-db', '--confirm', 'erp');
    expect(mistyped.code).to.equal(2);
    expect((await statusOf(session)).items[0]).to.include({ active: 'site-a' });

    const planned = await session.run('failover', 'planned', 'erp-db', '--confirm', 'erp-db', '--reason', 'work on the power supply');
    expect(planned.code, planned.err).to.equal(0);
    expect(planned.out).to.include('loss 0 ms').and.to.include('booted yes');
    expect((await statusOf(session)).items[0]).to.include({ active: 'site-b', protection: 'CommitPending' });
    expect((await session.run('failover', 'commit', 'erp-db', '--confirm', 'erp-db')).code).to.equal(0);
    const back = await session.run('failback', 'erp-db', '--confirm', 'erp-db');
    expect(back.code, back.err).to.equal(0);
    expect((await statusOf(session)).items[0]).to.include({ active: 'site-a', protection: 'Protected', direction: 'site-a -> site-b' });

    const audit = await session.json<{ items: { action: string; reason: string | null }[] }>('audit', 'list');
    expect(audit.items.find(({ action }) => action === 'planned')?.reason).to.equal('work on the power supply');
    expect((await session.run('audit', 'verify')).code).to.equal(0);
    expect((await session.run('point', 'verify', 'erp-db')).code).to.equal(0);
    const down = await session.run('lab', 'down');
    expect(down.out).to.include('the lab has ended');
  });

  it('speaks to a running engine, leaves its job to it on Ctrl-C, and ends in order', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    const engine = session.start('serve');
    await engine.said('ready: engine of');
    expect((await statusOf(session)).sentence).to.equal('Nothing is protected yet: run machine assess, then protect.');

    const started = await session.run('protect', 'erp-db', '--policy', 'lab', '--to', 'site-b', '--no-wait');
    const job = started.out.trim();
    expect(job).to.match(/^job-/);
    const watched = session.start('job', 'watch', job, '-o', 'name');
    expect(await watched.ended).to.include({ code: 0, out: `${job}\n` });
    const second = await session.run('serve');
    expect(second.code).to.equal(5);
    expect(second.err).to.include(`process ${engine.pid}`);

    // A slow target holds the job while the watching is ended.
    await using lab = await session.control();
    await lab.call('lab.addFault', { rule: { method: 'forks.create', act: { delayMs: 3_000 }, times: 1 } });
    const following = session.start('failover', 'test', 'erp-db', '--wait');
    await following.said('started');
    following.kill('SIGINT');
    const left = await following.ended;
    expect(left.code).to.equal(130);
    expect(left.err).to.include('it goes on').and.to.include('warmsite job watch job-');
    const [testJob] = (await session.json<{ items: JobRecord[] }>('job', 'list')).items;
    expect((await session.run('job', 'watch', testJob?.id ?? '')).code).to.equal(0);

    engine.kill('SIGTERM');
    expect((await engine.ended).code).to.equal(0);
    expect(existsSync(join(session.home, 'engine.sock'))).to.equal(false);
    expect((await statusOf(session)).sentence).to.include('Nobody is replicating: run warmsite serve.');
  });

  it('leaves its own job Interrupted on Ctrl-C, and goes on with it first at the next change', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    await using lab = await session.control();
    await lab.call('lab.addFault', { rule: { method: 'vim.CreateVM_Task', act: { delayMs: 2_000 }, times: 1 } });

    const protecting = session.start('protect', 'shop-db', '--policy', 'lab', '--to', 'site-b');
    await protecting.said('started');
    protecting.kill('SIGINT');
    const left = await protecting.ended;
    expect(left.code, left.err).to.equal(130);
    expect(left.err).to.include('Interrupted');
    const [interrupted] = (await session.json<{ items: JobRecord[] }>('job', 'list')).items;
    expect(interrupted).to.include({ verb: 'protect', state: 'Interrupted' });

    const next = await session.run('policy', 'create', 'gold', '--rpo', '60', '--interval', '15');
    expect(next.code, next.err).to.equal(0);
    expect(next.err).to.include('resuming protect of shop-db').and.to.include('protect of shop-db: Succeeded');
    expect((await statusOf(session)).items[0]).to.include({ name: 'shop-db', protection: 'Protected' });
  });

  it('goes on with the job of an engine that was killed', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    const engine = session.start('serve');
    await engine.said('ready: engine of');
    await using lab = await session.control();
    await lab.call('lab.addFault', { rule: { method: 'vim.CreateVM_Task', act: { delayMs: 2_000 }, times: 1 } });
    await session.run('protect', 'shop-db', '--policy', 'lab', '--to', 'site-b', '--no-wait');

    engine.kill('SIGKILL');
    await engine.ended;
    const [job] = (await session.json<{ items: JobRecord[] }>('job', 'list')).items;
    expect(job).to.include({ verb: 'protect', state: 'Interrupted' });

    const again = session.start('serve');
    await again.said(`resuming job ${job?.id}`);
    await again.said('ready: engine of');
    const watched = await session.run('job', 'watch', job?.id ?? '');
    expect(watched.code, watched.err).to.equal(0);
  });

  it('tells trouble with its exit code, what it is about and the next step', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    await session.run('protect', 'shop-db', '--policy', 'lab', '--to', 'site-b');
    const file = join(session.folder, 'estate.yaml');
    writeFileSync(
      file,
      'apiVersion: warmsite/v1\nkind: Endpoint\nmetadata: {name: e1}\nspec:\n  site: nowhere\n  plugin: memory-kvm\n  config: {}\n',
    );

    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [['failover', 'test', 'shop-bd'], 4, 'did you mean "shop-db"?'],
      [['failover', 'test', 'nothing'], 4, 'next: run status to see what there is'],
      [['protect', 'nothing', '--to', 'site-b'], 4, 'run machine list'],
      [['protect', 'erp-db', '--to', 'site-c'], 4, 'did you mean'],
      [['protect', 'shop-db', '--to', 'site-b', '--group', 'other'], 5, 'ALREADY_PROTECTED'],
      [['failover', 'commit', 'shop-db'], 5, 'it is possible from CommitPending'],
      [['failover', 'test', 'shop-db', '--point', 'pt-none'], 4, 'run point list shop-db'],
      [['apply', '-f', file], 2, 'estate.yaml:5:9: spec.site: there is no site "nowhere"'],
      [['job', 'show', 'job-none'], 4, 'run job list'],
      [['failover', 'planned', 'shop-db', '--no-wait', '--confirm', 'shop-db'], 2, 'warmsite serve'],
      [['lab', 'up', '--estate', 'vmm'], 2, 'was made as another estate'],
    ];
    for (const [args, code, said] of cases) {
      const ended = await session.run(...args);
      expect(ended.code, `${args.join(' ')}\n${ended.err}`).to.equal(code);
      expect(ended.err, args.join(' ')).to.include(said);
      expect(ended.err, args.join(' ')).to.match(/^error: .*\n(?: {2}what: .*\n)? {2}next: .*$/m);
    }
  });

  it('carries on when an endpoint is dark, and says which', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    await session.run('protect', 'erp-db', '--policy', 'lab', '--to', 'site-b');
    await session.run('lab', 'break', 'burn', 'site-a');

    const list = await session.run('machine', 'list');
    const doctor = await session.run('doctor');
    const silent = await session.run('failover', 'unplanned', 'erp-db', '--confirm', 'erp-db');
    const stated = await session.run('failover', 'unplanned', 'erp-db', '--confirm', 'erp-db', '--source-is', 'unreachable');

    expect(list.code).to.equal(3);
    expect(list.err).to.include('not looked at: vmm-a');
    expect(doctor.code).to.equal(8);
    expect(doctor.out).to.match(/fail {2}endpoint vmm-a: .*next: /);
    expect(silent.code).to.equal(2);
    expect(silent.err).to.include('--source-is off, unreachable or running');
    expect(stated.code, stated.err).to.equal(0);
    expect((await statusOf(session)).items[0]).to.include({ active: 'unknown', protection: 'CommitPending' });
    // What was written after the newest point is lost, and that is what a comparison with the old disks says.
    const compared = await session.run('lab', 'compare', 'erp-db');
    expect(compared.code).to.equal(8);
    expect(compared.out).to.match(
      /^erp-db at vmm-b, on: \d+ transactions\n {2}erp-db at vmm-a, off: \d+ transactions? of it .* not there, /,
    );
  });

  it('refuses a vCenter with another certificate until somebody has compared it', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    await using lab = await session.control();
    const before = await lab.call('lab.vcenter', { endpoint: 'vcenter-a' });
    await lab.call('lab.setVcenter', { endpoint: 'vcenter-a', newCertificate: true });
    const { pin = '' } = await lab.call('lab.vcenter', { endpoint: 'vcenter-a' });
    expect(pin)
      .to.match(/^[0-9a-f]{64}$/)
      .and.not.to.equal(before.pin);

    const check = await session.run('endpoint', 'check', 'vcenter-a');
    const protecting = await session.run('protect', 'shop-db', '--policy', 'lab', '--to', 'site-b');
    const unasked = await session.run('endpoint', 'trust', 'vcenter-a');
    const wrong = await session.run('endpoint', 'trust', 'vcenter-a', '--pin', '00'.repeat(32));
    const trusted = await session.run('endpoint', 'trust', 'vcenter-a', '--pin', pin, '--reason', 'compared at the console');

    expect(check.code).to.equal(8);
    expect(check.out).to.include('the certificate of https://127.0.0.1').and.to.include('is not the one that was accepted');
    expect(protecting.code, protecting.err).not.to.equal(0);
    expect(unasked.code).to.equal(2);
    expect(unasked.err.replaceAll(':', '').toLowerCase()).to.include(pin);
    expect(wrong.code).to.equal(6);
    expect(trusted.code, trusted.err).to.equal(0);
    expect((await session.run('endpoint', 'check', 'vcenter-a')).code).to.equal(0);
    expect((await session.run('protect', 'shop-db', '--policy', 'lab', '--to', 'site-b')).code).to.equal(0);
  });

  it('treats a hostile name as a name, everywhere', async function () {
    this.timeout(180_000);
    await using session = new LabSession();
    await session.run('lab', 'up', '--machines', '2');
    const name = '"; Remove-VM * $(reboot) ../../x\n\u001b[31m😀';
    await using lab = await session.control();
    const { machines } = await lab.call('lab.find', { name: 'shop-db' });
    await lab.call('lab.rename', { machine: machines[0]!.machine, name });

    const made = await session.run('protect', name, '--policy', 'lab', '--to', 'site-b');
    const { items } = await statusOf(session);
    const table = await session.run('status');
    const test = await session.run('failover', 'test', name);
    const cleaned = await session.run('failover', 'cleanup', name);
    const planned = await session.run('failover', 'planned', name, '--confirm', name);

    expect(made.code, made.err).to.equal(0);
    expect(items[0]?.name).to.equal(name);
    expect(table.out).to.include('"; Remove-VM * $(reboot) ../../x\\n\\e[31m😀');
    expect(table.out + test.out + planned.out).not.to.include('\u001b');
    expect([test.code, cleaned.code, planned.code]).to.deep.equal([0, 0, 0]);
  });
});
