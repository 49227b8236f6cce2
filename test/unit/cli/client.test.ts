import { chmodSync, cpSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { lockHome, socketPath, storePath } from '../../../core/engine/home.ts';
import { serveSocket } from '../../../core/engine/socket.ts';
import { Engine } from '../../../core/engine.ts';
import { Registry } from '../../../core/host/registry.ts';
import { createSecretResolver } from '../../../core/host/secrets.ts';
import { systemFiles } from '../../../core/ports/files.ts';
import { newSystemId, systemClock } from '../../../core/ports/runtime.ts';
import { openStore } from '../../../core/state/database.ts';
import { insertJob, updateJob } from '../../../core/state/jobs.ts';
import { CommandLine } from '../../support/command-line.ts';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** A running engine without endpoints, as `serve` has it. */
const startEngine = async (home: string, lock = lockHome(home)): Promise<AsyncDisposable> => {
  const stack = new AsyncDisposableStack();
  stack.use(lock);
  const store = await openStore(storePath(home));
  stack.defer(() => store.close());
  const engine = await Engine.open({
    home,
    runtime: { clock: systemClock, newId: newSystemId, log: silent },
    files: systemFiles,
    store,
    registry: new Registry(),
    resolveSecret: createSecretResolver({ env: {} }),
    scratchDir: home,
  });
  stack.use(engine);
  await engine.start();
  engine.startPlanner();
  stack.use(await serveSocket(engine, socketPath(home)));
  return stack;
};

const entriesOf = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).sort();

describe('the way to an engine', () => {
  it('answers a look at an empty home without making it', async () => {
    using line = new CommandLine();

    const { code, out } = await line.run(['status']);

    expect(code).to.equal(0);
    expect(out).to.include('Nothing is protected yet');
    expect(() => statSync(line.home)).to.throw(/ENOENT/);
  });

  it('becomes the engine for a change and leaves the home free', async () => {
    using line = new CommandLine();

    const added = await line.run(['site', 'add', 'site-a']);
    const sites = await line.json<{ items: { id: string }[] }>(['site', 'list']);
    const audit = await line.json<{ items: { action: string; reason: string | null; actor: string }[] }>(['audit', 'list']);

    expect(added.code).to.equal(0);
    lockHome(line.home)[Symbol.dispose]();
    expect(sites.items.map(({ id }) => id)).to.deep.equal(['site-a']);
    expect(audit.items.map(({ action }) => action)).to.deep.equal(['site.add']);
    expect(audit.items[0]?.actor).to.match(/^cli:/);
  });

  it('looks at the store while another engine holds the home', async () => {
    using line = new CommandLine();
    await line.run(['site', 'add', 'site-a']);
    using _lock = lockHome(line.home);

    const look = await line.run(['site', 'list', '-o', 'name']);
    const change = await line.run(['site', 'add', 'site-b']);

    expect(look.out).to.equal('site-a\n');
    expect(change.code).to.equal(5);
    expect(change.err).to.include(`runs on ${line.home}`).and.to.include('LOCKED_BY');
  });

  it('waits for an engine that has the home and does not listen yet', async () => {
    using line = new CommandLine();
    await line.run(['site', 'add', 'site-a']);
    const starting = lockHome(line.home);

    const change = line.run(['site', 'add', 'site-b']);
    await line.run(['status']);
    await using _engine = await startEngine(line.home, starting);

    expect(await change).to.include({ code: 0, err: '' });
  });

  it('asks the running engine by its socket, and says that it replicates', async () => {
    using line = new CommandLine();
    await line.run(['site', 'add', 'site-a']);
    await using _engine = await startEngine(line.home);

    const change = await line.run(['site', 'add', 'site-b']);
    const status = await line.run(['status']);
    const error = await line.run(['site', 'show', 'site-c']);
    const doctor = await line.run(['doctor']);

    expect(change.code).to.equal(0);
    expect(status.out).not.to.include('Nobody is replicating');
    expect(error.code).to.equal(4);
    expect(error.err).to.include('did you mean "site-a"?');
    expect(doctor.out).to.include('engine: runs and answers');
  });

  it('shows how far a job is while it runs, and not what it did last once it has ended', async () => {
    using line = new CommandLine();
    await line.run(['site', 'add', 'site-a']);
    const store = await openStore(storePath(line.home));
    for (const [id, state] of [
      ['job-going', 'Running'],
      ['job-gone', 'Succeeded'],
    ] as const) {
      await insertJob(store.db, id, { verb: 'planned', target: id, input: {}, actor: 'tester' }, '2026-01-01T00:00:00.000Z');
      const ended = state === 'Succeeded' ? { endedAt: '2026-01-01T00:00:09.000Z' } : {};
      await updateJob(store.db, id, { state, progress: { text: `${id} is starting` }, ...ended });
    }
    await store.close();

    const { out } = await line.run(['job', 'list']);

    expect(out).to.include('job-going is starting').and.to.not.include('job-gone is starting');
  });

  it('refuses the home of a newer release before it touches anything', async () => {
    using line = new CommandLine();
    await line.run(['site', 'add', 'site-a']);
    const copy = join(line.folder, 'copy');
    mkdirSync(copy);
    cpSync(storePath(line.home), storePath(copy));
    const database = new DatabaseSync(storePath(copy));
    database.exec("pragma journal_mode = delete; insert into kysely_migration values ('9999-later', '2030-01-01')");
    database.close();

    for (const args of [['status'], ['site', 'add', 'site-b'], ['serve']]) {
      const { code, err } = await line.run([...args, '--home', copy]);
      expect(code, args.join(' ')).to.equal(2);
      expect(err).to.include('ENGINE_NEWER').and.to.include('9999-later');
    }
    expect(entriesOf(copy)).to.deep.equal(['state.db']);
  });

  it('says which folder cannot be used, and what to do', async () => {
    if (process.getuid?.() === 0) {
      // Root may write anywhere: a file in place of the folder refuses it as well.
      using line = new CommandLine();
      const { code, err } = await line.run(['site', 'add', 'site-a', '--home', '/dev/null/home']);
      expect(code).to.equal(2);
      expect(err).to.include('cannot use /dev/null/home as home').and.to.include('set WARMSITE_HOME');
      return;
    }
    using line = new CommandLine();
    mkdirSync(line.home);
    chmodSync(line.home, 0o555);
    const { code, err } = await line.run(['site', 'add', 'site-a']);
    expect(code).to.equal(2);
    expect(err).to.include(`cannot use ${line.home} as home`);
  });
});
