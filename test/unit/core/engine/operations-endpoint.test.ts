import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DiskId, ItemId, MachineId } from '../../../../core/contract/index.ts';
import type { EndpointRecord } from '../../../../core/domain/policy.ts';
import type { EndpointIdentity } from '../../../../core/engine/operations-endpoint.ts';
import { Engine } from '../../../../core/engine.ts';
import { Registry } from '../../../../core/host/registry.ts';
import { openEndpoint } from '../../../../core/replication/core.ts';
import { openStore, type Store } from '../../../../core/state/database.ts';
import { listAudit, listEvents } from '../../../../core/state/events.ts';
import { insertItem } from '../../../../core/state/items.ts';
import { listEndpoints, putGroup } from '../../../../core/state/records.ts';
import { MemoryFiles } from '../../../support/memory-files.ts';
import { closed, opened, pinned, type Shown } from '../../../support/pinned-plugin.ts';
import { createTestRuntime } from '../../../support/runtime.ts';
import { failureOf } from '../host/fake-plugin.ts';

const FIRST = '11'.repeat(32);
const SECOND = '22'.repeat(32);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const colons = (pin: string): string => pin.match(/../g)?.join(':') ?? '';

/** An engine, and one endpoint whose file can be rewritten. */
class Bench implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'ws-pin-'));
  readonly address = join(this.#folder, 'endpoint.json');
  readonly engine: Engine;
  readonly store: Store;

  private constructor(engine: Engine, store: Store) {
    this.engine = engine;
    this.store = store;
  }

  static async create(shown: Shown): Promise<Bench> {
    const store = await openStore(':memory:');
    const engine = await Engine.open({
      home: '/home',
      runtime: createTestRuntime(),
      files: new MemoryFiles(),
      store,
      registry: new Registry([pinned as never]),
      resolveSecret: () => Promise.reject(new Error('there are no secrets')),
      scratchDir: '/scratch',
    });
    const bench = new Bench(engine, store);
    bench.show(shown);
    opened.length = 0;
    closed.length = 0;
    await engine.call('site.add', { id: 'site-a' });
    return bench;
  }

  show(shown: Shown): void {
    writeFileSync(this.address, JSON.stringify(shown));
  }

  add(more: object = {}): Promise<unknown> {
    return this.engine.call('endpoint.add', { id: 'vc', site: 'site-a', plugin: 'pinned', config: { address: this.address }, ...more });
  }

  async record(): Promise<EndpointRecord | undefined> {
    return (await listEndpoints(this.store.db))[0];
  }

  /** A machine of the endpoint, as if it had been protected. */
  async protect(disk: string): Promise<void> {
    await putGroup(this.store.db, {
      id: 'g1',
      name: 'g1',
      policy: 'default',
      fromSite: 'site-a',
      toSite: 'site-b',
      createdAt: '2026-01-01T00:00:00Z',
    });
    await insertItem(this.store.db, {
      id: 'i1' as ItemId,
      name: 'erp',
      groupId: 'g1',
      method: 'journaled',
      state: {
        protection: 'EnablingFailed',
        sync: { is: 'None' },
        test: 'None',
        active: { site: 'site-a' },
        direction: { from: 'site-a', to: 'site-b' },
      },
      source: { site: 'site-a', endpoint: 'vc', machine: 'm1' as MachineId, name: 'erp' },
      disks: [{ key: 'disk0', sizeBytes: 1, sourceDisk: disk as DiskId }],
      nics: [],
      epoch: { item: 'i1' as ItemId, epoch: 1, holder: 'here' },
      traits: { targetForks: false, plannedPossible: false, sourceStreams: false, replicaAdopted: false },
      baselines: {},
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await this.store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe('adding an endpoint', () => {
  it('stores nothing when nobody vouches for it, and says which fingerprint to compare', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });

    const error = await failureOf(bench.add());

    expect([error.code, error.context.actual]).to.deep.equal(['CERTIFICATE_UNTRUSTED', FIRST]);
    expect(error.hint).to.include(colons(FIRST)).and.to.include('then give it as pin');
    expect(await bench.record()).to.equal(undefined);
    expect(opened).to.deep.equal([]);
  });

  it('accepts it by the pin that was given, in the form in which tools show it, and records who did', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });

    await bench.add({ pin: colons(FIRST).toUpperCase() });

    expect((await bench.record())?.config).to.deep.equal({ address: bench.address, pin: FIRST });
    expect((await listAudit(bench.store.db)).at(-1)).to.include({ action: 'endpoint.add', target: 'vc' });
    expect((await listAudit(bench.store.db)).at(-1)?.data).to.include(FIRST);
  });

  it('refuses another pin than the one that the endpoint shows, and never falls back to what it shows', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST, signed: true });

    const error = await failureOf(bench.add({ pin: SECOND }));

    expect(error.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect(error.hint).to.include('ask its administrator why');
    expect(await bench.record()).to.equal(undefined);
  });

  it('leaves no session open when the endpoint cannot be used', async () => {
    await using bench = await Bench.create({
      fingerprint: FIRST,
      signed: true,
      checks: [{ code: '', level: 'info', message: '', hint: '' }],
    });

    const error = await failureOf(bench.add());

    expect(error.code).to.equal('CONTRACT_VIOLATED');
    expect(closed).to.deep.equal([undefined]);
  });
});

describe('trusting an endpoint', () => {
  it('tells whether it still is who it was, from a connection of its own', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });
    await openEndpoint(bench.engine.core, 'vc');

    const before = (await bench.engine.call('endpoint.identity', { id: 'vc' })) as EndpointIdentity;
    bench.show({ fingerprint: SECOND });
    const after = (await bench.engine.call('endpoint.identity', { id: 'vc' })) as EndpointIdentity;

    expect(before).to.deep.equal({ id: 'vc', plugin: 'pinned', pinned: FIRST, trusted: true });
    expect(after).to.include({ trusted: false, pinned: FIRST });
    expect(after.refusal).to.include({ code: 'CERTIFICATE_UNTRUSTED', actual: SECOND });
    expect((await bench.record())?.config).to.include({ pin: FIRST });
  });

  it('stores the new pin, records it, and ends what was opened with the old one', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });
    const old = await openEndpoint(bench.engine.core, 'vc');
    bench.show({ fingerprint: SECOND });

    const change = await bench.engine.call('endpoint.trust', { id: 'vc', pin: SECOND }, { actor: 'ada', reason: 'renewed' });

    expect(change).to.deep.include({ changed: ['pin'] });
    expect((await bench.record())?.config).to.deep.equal({ address: bench.address, pin: SECOND });
    // Both sessions of the old pin are closed, that of the add and that which was open, before anybody asks for another one.
    await turn();
    expect(closed.filter((pin) => pin === FIRST)).to.have.length(2);
    expect(await openEndpoint(bench.engine.core, 'vc')).not.to.equal(old);
    expect(opened.at(-1)).to.equal(SECOND);
    const audit = (await listAudit(bench.store.db)).at(-1);
    expect(audit).to.include({ action: 'endpoint.trust', actor: 'ada', reason: 'renewed' });
    expect(JSON.parse(audit?.data ?? '')).to.deep.equal({ before: FIRST, after: SECOND });
    expect((await listEvents(bench.store.db)).at(-1)).to.include({ kind: 'endpoint.trusted', level: 'warning', subject: 'vc' });
  });

  it('refuses a fingerprint that the endpoint does not show, and changes nothing', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });

    const error = await failureOf(bench.engine.call('endpoint.trust', { id: 'vc', pin: SECOND }));
    const typo = await failureOf(bench.engine.call('endpoint.trust', { id: 'vc', pin: 'yes' }));

    expect([error.code, error.context.actual]).to.deep.equal(['CERTIFICATE_UNTRUSTED', FIRST]);
    expect([typo.code, typo.context.key]).to.deep.equal(['CONFIG_INVALID', 'pin']);
    expect((await bench.record())?.config).to.include({ pin: FIRST });
    expect((await listAudit(bench.store.db)).map(({ action }) => action)).not.to.include('endpoint.trust');
  });

  it('changes nothing when the fingerprint is known already', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });

    expect(await bench.engine.call('endpoint.trust', { id: 'vc', pin: colons(FIRST) })).to.deep.include({ changed: [] });
  });

  it('works the same for the key of a host, in the form of OpenSSH', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST, refusal: 'HOST_KEY_MISMATCH' });
    const openssh = `SHA256:${Buffer.from(FIRST, 'hex').toString('base64').replace(/=+$/, '')}`;

    const error = await failureOf(bench.add());
    await bench.add({ pin: openssh });

    expect([error.code, error.context.actual]).to.deep.equal(['HOST_KEY_MISMATCH', FIRST]);
    expect(error.hint).to.include(openssh);
    expect((await bench.record())?.config).to.include({ pin: FIRST });
  });

  it('tells in a check of the endpoint which command to run when it has changed', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });
    bench.show({ fingerprint: SECOND });

    const [check] = (await bench.engine.call('endpoint.check', {})) as { reachable: boolean; findings: { code: string; hint: string }[] }[];

    expect(check?.reachable).to.equal(false);
    expect(check?.findings[0]?.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect(check?.findings[0]?.hint).to.include('warmsite endpoint trust vc');
  });
});

describe('changing the configuration of an endpoint', () => {
  it('connects with it once and stores it, and names the changed fields only', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });
    const old = await openEndpoint(bench.engine.core, 'vc');

    const change = await bench.engine.call('endpoint.set', { id: 'vc', set: { user: 'hunter2' } });

    expect(change).to.deep.include({ id: 'vc', changed: ['user'] });
    expect((await bench.record())?.config).to.deep.equal({ address: bench.address, pin: FIRST, user: 'hunter2' });
    expect(await openEndpoint(bench.engine.core, 'vc')).not.to.equal(old);
    const written = JSON.stringify([(await listAudit(bench.store.db)).at(-1), (await listEvents(bench.store.db)).at(-1)]);
    expect(written).to.include('endpoint.set').and.to.include('endpoint.changed').and.not.to.include('hunter2');
  });

  it('stores nothing when the endpoint refuses it, and leaves the open session as it is', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST });
    await bench.add({ pin: FIRST });
    const old = await openEndpoint(bench.engine.core, 'vc');

    const unpinned = await failureOf(bench.engine.call('endpoint.set', { id: 'vc', unset: ['pin'] }));
    const unknown = await failureOf(bench.engine.call('endpoint.set', { id: 'vc', set: { usr: 'x' } }));

    expect(unpinned.code).to.equal('CERTIFICATE_UNTRUSTED');
    expect([unknown.code, unknown.context.key]).to.deep.equal(['CONFIG_INVALID', 'usr']);
    expect((await bench.record())?.config).to.deep.equal({ address: bench.address, pin: FIRST });
    expect(await openEndpoint(bench.engine.core, 'vc')).to.equal(old);
  });

  it('lets a pin go where an authority vouches for the endpoint', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST, signed: true });
    await bench.add({ pin: FIRST });

    await bench.engine.call('endpoint.set', { id: 'vc', unset: ['pin'] });

    expect((await bench.record())?.config).to.deep.equal({ address: bench.address });
  });

  it('refuses an address where none of the protected machines is: ids mean other machines there', async () => {
    await using bench = await Bench.create({ fingerprint: FIRST, signed: true, disk: 'ours' });
    await bench.add();
    await bench.protect('ours');

    await bench.engine.call('endpoint.set', { id: 'vc', set: { user: 'a' } });
    bench.show({ fingerprint: FIRST, signed: true, disk: 'of somebody else' });
    const error = await failureOf(bench.engine.call('endpoint.set', { id: 'vc', set: { user: 'b' } }));

    expect(error.code).to.equal('STATE_CONFLICT');
    expect(error.message).to.include('another estate');
    expect((await bench.record())?.config).to.include({ user: 'a' });
  });
});
