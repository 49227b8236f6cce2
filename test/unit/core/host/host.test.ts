import { inspect } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type Call, type ConfigField, DrError, type Session, type SnapshotSource } from '../../../../core/contract/index.ts';
import { createHost } from '../../../../core/host/host.ts';
import { Registry } from '../../../../core/host/registry.ts';
import { Secret } from '../../../../core/host/secret.ts';
import { createTestRuntime } from '../../../support/runtime.ts';
import {
  collect,
  createBench,
  DISK_BYTES,
  d1,
  extents,
  failureOf,
  fence,
  hang,
  m1,
  reader,
  replicaDisk,
  s1,
  session,
} from './fake-plugin.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the host', () => {
  it('opens an endpoint as a session that carries calls, streams and reads to the plugin', async () => {
    const bench = createBench({ parts: { source: { changedExtents: () => extents([0, 512], [1024, 512]) } } });
    await using host = bench.host;
    const opened = await host.open(bench.endpoint);
    const { source } = opened;
    if (source?.kind !== 'snapshot') throw new Error('no snapshot source');

    const machines = await collect(opened.inventory.listMachines({}, bench.call()));
    const changed = await collect(source.changedExtents(s1, d1, 0, bench.call()));
    await using reader = await source.openReader(s1, d1, bench.call());
    const block = new Uint8Array(512);
    await reader.read(0, block, bench.call());

    expect(machines.map((machine) => machine.id)).to.deep.equal([m1]);
    expect(changed.map((extent) => extent.offset)).to.deep.equal([0, 1024]);
    expect(reader.sizeBytes).to.equal(DISK_BYTES);
    expect(block.every((byte) => byte === 7)).to.equal(true);
    expect([opened.endpointId, opened.plugin, opened.capabilities.atomicity, 'network' in opened]).to.deep.equal([
      'ep1',
      'fake',
      'machine',
      false,
    ]);
  });

  it('tries a configuration out beside the session that is open, and closes what it opened', async () => {
    const disposed: number[] = [];
    const bench = createBench({
      config: [{ name: 'user', type: 'string', help: 'account' }],
      connect: async (nth, { user }) => {
        if (user === 'nobody') throw new DrError('AUTH_REJECTED', 'who is that');
        return session({ dispose: async () => void disposed.push(nth) });
      },
    });
    await using host = bench.host;
    const open = await host.open(bench.endpoint);

    const answer = await host.probe({ ...bench.endpoint, config: { user: 'ada' } }, async (tried) => tried !== open && tried.endpointId);
    const refused = await failureOf(host.probe({ ...bench.endpoint, config: { user: 'nobody' } }, async () => {}));
    const thrown = await failureOf(host.probe(bench.endpoint, () => Promise.reject(new DrError('CHECK_FAILED', 'no'))));

    expect([answer, refused.code, thrown.code]).to.deep.equal(['ep1', 'AUTH_REJECTED', 'CHECK_FAILED']);
    expect(disposed).to.deep.equal([2, 4]);
    expect(await host.open(bench.endpoint)).to.equal(open);
    expect(bench.connects()).to.equal(4);
  });

  it('closes what is tried out when it is closed itself', async () => {
    let disposed = 0;
    const bench = createBench({ parts: { dispose: async () => void disposed++ } });
    const tried = failureOf(bench.host.probe(bench.endpoint, (opened) => opened.inventory.getMachine(m1, bench.call()).then(hang)));

    await turn();
    await bench.host[Symbol.asyncDispose]();

    expect(disposed).to.equal(1);
    expect((await failureOf(bench.host.probe(bench.endpoint, async () => {}))).code).to.equal('STATE_CONFLICT');
    void tried;
  });

  it('gives the same session for the same endpoint, also while it is being opened', async () => {
    const bench = createBench();
    await using host = bench.host;

    const [first, second] = await Promise.all([host.open(bench.endpoint), host.open({ ...bench.endpoint })]);
    await first[Symbol.asyncDispose]();

    expect(first).to.equal(second);
    expect(await host.open(bench.endpoint)).to.equal(first);
    expect(bench.connects()).to.equal(1);
    await first.inventory.getMachine(m1, bench.call());
  });

  it('opens anew with a changed configuration, and ends the old session', async () => {
    const config: readonly ConfigField[] = [{ name: 'address', type: 'string', help: 'where' }];
    const seen: unknown[] = [];
    const connect = async (_nth: number, given: object): Promise<Session> => {
      seen.push(given);
      return session();
    };
    const bench = createBench({ config, connect });
    await using host = bench.host;

    const old = await host.open({ ...bench.endpoint, config: { address: 'a' } });
    const now = await host.open({ ...bench.endpoint, config: { address: 'b' } });

    expect(seen).to.deep.equal([{ address: 'a' }, { address: 'b' }]);
    expect((await failureOf(old.inventory.getMachine(m1, bench.call()))).message).to.equal('endpoint ep1 is closed');
    await now.inventory.getMachine(m1, bench.call());
  });

  it('tells who wants to open it why it cannot be opened, and tries again the next time', async () => {
    const connect = (nth: number): Promise<Session> =>
      nth === 1 ? Promise.reject(new DrError('AUTH_REJECTED', 'wrong password')) : Promise.resolve(session());
    const bench = createBench({ connect });
    await using host = bench.host;

    const error = await failureOf(host.open(bench.endpoint));
    expect([error.code, error.context]).to.deep.equal(['AUTH_REJECTED', { plugin: 'fake', endpoint: 'ep1', method: 'connect' }]);

    expect((await host.open(bench.endpoint)).endpointId).to.equal('ep1');
  });

  it('refuses an unknown plugin, a bad configuration and a lying session, and keeps none of them', async () => {
    const bench = createBench({ parts: { capabilities: { atomicity: 'group' } } });
    await using host = bench.host;

    expect((await failureOf(host.open({ ...bench.endpoint, plugin: 'fakes' }))).message).to.equal('no plugin fakes; did you mean fake?');
    expect((await failureOf(host.open({ ...bench.endpoint, config: { odd: 1 } }))).code).to.equal('CONFIG_INVALID');
    expect((await failureOf(host.open(bench.endpoint))).code).to.equal('CONTRACT_VIOLATED');
    expect((await failureOf(host.open(bench.endpoint))).code).to.equal('CONTRACT_VIOLATED');
    expect(bench.connects()).to.equal(2);
  });

  it('disposes a session that it refuses', async () => {
    let disposed = 0;
    const bench = createBench({ parts: { capabilities: { atomicity: 'group' }, dispose: async () => void disposed++ } });
    await using host = bench.host;

    await failureOf(host.open(bench.endpoint));

    expect(disposed).to.equal(1);
  });

  it('does not wait for ever for a plugin that does not connect, and disposes what it gives too late', async () => {
    const late = Promise.withResolvers<Session>();
    const disposed = Promise.withResolvers<void>();
    const bench = createBench({ connect: () => late.promise });
    await using host = bench.host;

    const error = await bench.clock.runUntil(failureOf(host.open(bench.endpoint)));
    expect([error.code, error.message]).to.deep.equal(['TIMED_OUT', 'endpoint ep1 opened no session within 30 s']);

    late.resolve(session({ dispose: async () => disposed.resolve() }));
    await disposed.promise;
  });

  it('closes an endpoint: what is under way ends, what comes after is refused, and it may be opened again', async () => {
    let disposed = 0;
    const bench = createBench({ parts: { inventory: { getMachine: hang }, dispose: async () => void disposed++ } });
    await using host = bench.host;
    const old = await host.open(bench.endpoint);
    const waiting = failureOf(old.inventory.getMachine(m1, bench.call()));
    await turn();

    await host.close('ep1');
    await host.close('ep1');

    expect((await waiting).code).to.equal('STATE_CONFLICT');
    expect((await failureOf(old.check(bench.call()))).code).to.equal('STATE_CONFLICT');
    expect(disposed).to.equal(1);
    await (await host.open(bench.endpoint)).check(bench.call());
    expect(bench.connects()).to.equal(2);
  });

  it('ends a connect that is under way when it closes', async () => {
    const bench = createBench({ connect: hang });
    const opening = failureOf(bench.host.open(bench.endpoint));
    await turn();

    await bench.host[Symbol.asyncDispose]();

    expect((await opening).message).to.equal('endpoint ep1 is closed');
    expect((await failureOf(bench.host.open(bench.endpoint))).message).to.equal('endpoint ep1 cannot be opened: the host is closed');
    expect(bench.clock.pending).to.deep.equal([]);
  });

  it('closes all endpoints together, and does not wait for one that hangs', async () => {
    const closed: number[] = [];
    const connect = async (nth: number): Promise<Session> => session({ dispose: nth === 1 ? hang : async () => void closed.push(nth) });
    const bench = createBench({ connect });
    for (const id of ['a', 'b', 'c']) await bench.host.open({ ...bench.endpoint, id });
    const fromMs = bench.clock.now();

    await bench.clock.runUntil(Promise.resolve(bench.host[Symbol.asyncDispose]()));

    expect(closed).to.deep.equal([2, 3]);
    expect(bench.clock.now() - fromMs).to.equal(10_000);
    expect(bench.runtime.log.entries.at(-1)).to.deep.include({ level: 'warn', fields: { endpoint: 'a' } });
  });

  it('closes idle sessions when told to, and opens them again for the next call', async () => {
    const closed: number[] = [];
    const bench = createBench({ idleMs: 60_000, connect: async (nth) => session({ dispose: async () => void closed.push(nth) }) });
    await using host = bench.host;
    const opened = await host.open(bench.endpoint);
    await bench.clock.advance(59_999);
    expect(host.sweepIdle()).to.deep.equal([]);

    await bench.clock.advance(1);
    expect(host.sweepIdle()).to.deep.equal(['ep1']);
    await turn();
    expect(closed).to.deep.equal([1]);
    expect(host.sweepIdle()).to.deep.equal([]);

    await opened.inventory.getMachine(m1, bench.call());
    expect(bench.connects()).to.equal(2);
  });

  it('takes no session for idle on which something is open', async () => {
    const digests = async function* () {
      for (let offset = 0; ; offset += 4096) yield { offset, sha256: new Uint8Array(32) };
    };
    const bench = createBench({ idleMs: 1000, parts: { source: { openReader: async () => reader({ digests }) } } });
    await using host = bench.host;
    const opened = await host.open(bench.endpoint);
    const source = opened.source as SnapshotSource;
    const sweepAfter = async (close: () => unknown): Promise<void> => {
      await bench.clock.advance(5000);
      expect(host.sweepIdle()).to.deep.equal([]);
      await close();
      await bench.clock.advance(5000);
      expect(host.sweepIdle()).to.deep.equal(['ep1']);
    };

    const disk = await opened.target!.openReplicaDisk(m1, d1, bench.call({ fence }));
    await sweepAfter(() => disk[Symbol.asyncDispose]());

    const machines = opened.inventory.listMachines({}, bench.call())[Symbol.asyncIterator]();
    await machines.next();
    await sweepAfter(() => machines.return?.());

    const open = await source.openReader(s1, d1, bench.call());
    const stream = open.digests!(4096, 0, bench.call())[Symbol.asyncIterator]();
    await stream.next();
    await open[Symbol.asyncDispose]();
    await sweepAfter(() => stream.return?.()?.catch(() => {}));
  });
});

describe('the host and secrets', () => {
  const PASSWORD = 'tr0ub4dor&3 "quoted"';
  const config: readonly ConfigField[] = [{ name: 'password', type: 'secret', required: true, help: 'password' }];
  const endpoint = { config: { password: { env: 'PASSWORD' } } };

  it('gives the plugin the plain value at connect, resolved anew for each session', async () => {
    const given: unknown[] = [];
    let nth = 0;
    const bench = createBench({
      config,
      endpoint,
      idleMs: 0,
      resolveSecret: async () => new Secret(`password ${++nth}`),
      connect: async (_nth, { password }) => {
        given.push(password);
        return session();
      },
    });
    await using host = bench.host;
    const opened = await host.open(bench.endpoint);
    host.sweepIdle();
    await opened.check(bench.call());

    expect(given).to.deep.equal(['password 1', 'password 2']);
  });

  it('shows the value in no error, trace or log, whatever the plugin does with it', async () => {
    const leak = (): Error => new Error(`POST https://root:${PASSWORD}@vc/`, { cause: { headers: { authorization: PASSWORD } } });
    const chatty = (call: Call): never => {
      call.log.info(`login with ${PASSWORD}`, { request: { body: { password: PASSWORD } } });
      throw new DrError('PERMISSION_DENIED', `no right for ${PASSWORD}`, { hint: PASSWORD, context: { name: PASSWORD }, cause: leak() });
    };
    const bench = createBench({
      config,
      endpoint,
      resolveSecret: async () => new Secret(PASSWORD),
      parts: {
        check: async (call) => chatty(call),
        inventory: { getMachine: () => Promise.reject(leak()), listMachines: (_query, call) => chatty(call) },
        target: { openReplicaDisk: async () => replicaDisk({ flush: async (call) => chatty(call) }) },
        dispose: () => Promise.reject(leak()),
      },
    });
    const opened = await bench.host.open(bench.endpoint);
    const disk = await opened.target!.openReplicaDisk(m1, d1, bench.call({ fence }));

    const errors = [
      await failureOf(opened.check(bench.call())),
      await failureOf(opened.inventory.getMachine(m1, bench.call())),
      await failureOf(collect(opened.inventory.listMachines({}, bench.call()))),
      await failureOf(disk.flush(bench.call({ fence }))),
    ];
    await bench.host[Symbol.asyncDispose]();

    const said = inspect([errors, errors.map((error) => error.stack), bench.traces, bench.runtime.log.entries, opened, bench.host], {
      depth: 12,
      showHidden: true,
    });
    expect(said).to.contain('***');
    expect(said).not.to.contain('tr0ub4dor');
  });

  it('shows it in no error of a connect that fails', async () => {
    const connect = async (_nth: number, { password }: Readonly<Record<string, unknown>>): Promise<Session> => {
      throw new Error(`cannot log in with ${String(password)}`);
    };
    const bench = createBench({ config, endpoint, resolveSecret: async () => new Secret(PASSWORD), connect });
    await using host = bench.host;

    const error = await failureOf(host.open(bench.endpoint));

    expect(error.message).to.equal('plugin fake: connect failed on endpoint ep1: cannot log in with ***');
    expect(inspect(error, { depth: 12 })).not.to.contain('tr0ub4dor');
  });

  it('passes on that a secret is missing, without asking the plugin', async () => {
    const bench = createBench({ config, endpoint, resolveSecret: () => Promise.reject(new DrError('SECRET_MISSING', 'no secret')) });
    await using host = bench.host;

    expect((await failureOf(host.open(bench.endpoint))).code).to.equal('SECRET_MISSING');
    expect(bench.connects()).to.equal(0);
  });
});

describe('a host without plugins', () => {
  it('says that there are none', async () => {
    await using host = createHost({
      registry: new Registry(),
      runtime: createTestRuntime(),
      resolveSecret: async () => new Secret(''),
      ownerId: 'o',
      scratchDir: '/',
    });

    const error = await failureOf(host.open({ id: 'a', plugin: 'vmware', config: {} }));

    expect([error.message, error.hint]).to.deep.equal(['no plugin vmware', 'install a plugin']);
  });
});
