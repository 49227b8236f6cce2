import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ENUMS } from '../../../../adapters/lab/powershell/enums.ts';
import { idOnHosts } from '../../../../adapters/lab/powershell/fabric.ts';
import type { ReplicaServerRecord, ReplicationState } from '../../../../adapters/lab/powershell/replica/model.ts';
import type { MachineId, NativeSettings, NativeStep, NicId, PlaceId } from '../../../../core/contract/index.ts';
import { callOf } from '../../../support/calls.ts';
import { errorOf } from '../../../support/errors.ts';
import { type End, NativeGround, SETTINGS } from './pair.ts';

const NONE: ReadonlyMap<NicId, PlaceId | 'disconnected'> = new Map();
const HOUR = 3_600_000;
const THUMBPRINT = 'B2'.repeat(20);
const CERTIFICATES = { authentication: 'Certificate', certificates: [THUMBPRINT], thumbprint: THUMBPRINT } as const;

const act = (ground: NativeGround, end: End, step: NativeStep, call = callOf()) => ground.pair(end).act(ground.id, step, call);

const nicsOf = async (ground: NativeGround, end: End, id = ground.id) =>
  (await ground.session(end).inventory.getMachine(id, callOf())).spec.nics;

const digest = (ground: NativeGround, end: End, id = ground.id): string => {
  const { estate } = ground.estate;
  const machine = [...estate.machines.values()].find(
    (one) => one.endpoint === (end === 'source' ? 'endpoint' : 'other') && idOnHosts(one) === id,
  )!;
  return estate.live(machine, machine.spec.disks[0]!.id).digest();
};

const write = async (ground: NativeGround, end: End, fill: number): Promise<void> => {
  const { estate } = ground.estate;
  const machine = [...estate.machines.values()].find(
    (one) => one.endpoint === (end === 'source' ? 'endpoint' : 'other') && idOnHosts(one) === ground.id,
  )!;
  const disk = machine.spec.disks[0]!.id;
  await ground.estate.control.call('lab.write', { machine: machine.id, disk, offset: 16_384, data: Buffer.alloc(4096, fill) });
};

describe('what is in the way of a native pair', () => {
  const LISTENERS: readonly { readonly server: Partial<ReplicaServerRecord>; readonly code: string }[] = [
    { server: { enabled: false }, code: 'NATIVE_SERVER_DISABLED' },
    { server: { anyServer: false }, code: 'NATIVE_NOT_AUTHORIZED' },
    { server: { authentication: 'Certificate' }, code: 'NATIVE_CERTIFICATE_MISSING' },
  ];
  for (const { server, code } of LISTENERS) {
    it(`is found at the receiving end: ${code}`, async () => {
      await using ground = await NativeGround.open();
      await ground.setServer('replica', server);

      const { findings } = await ground.pair('replica').listener(callOf());

      expect(findings.map((one) => [one.code, one.level])).to.deep.equal([[code, 'blocks']]);
    });
  }

  const CHECKS: readonly {
    readonly what: string;
    readonly server?: Partial<ReplicaServerRecord>;
    readonly peer?: { readonly address?: string; readonly port?: number };
    readonly settings?: Partial<NativeSettings>;
    readonly code: string;
  }[] = [
    { what: 'an unknown name', peer: { address: 'nobody' }, code: 'NATIVE_NAME_UNKNOWN' },
    { what: 'a wrong port', peer: { port: 8080 }, code: 'NATIVE_NOT_LISTENING' },
    { what: 'a host that does not know the source', server: { anyServer: false }, code: 'NATIVE_NOT_AUTHORIZED' },
    {
      what: 'no certificate at the source',
      settings: { authentication: 'certificate' },
      server: CERTIFICATES,
      code: 'NATIVE_CERTIFICATE_MISSING',
    },
    { what: 'a frequency of 60 s', settings: { frequencySeconds: 60 as never }, code: 'NATIVE_SETTINGS_INVALID' },
    { what: '25 points', settings: { points: 25 }, code: 'NATIVE_SETTINGS_INVALID' },
    { what: 'application points without points', settings: { points: 0, applicationConsistentHours: 2 }, code: 'NATIVE_SETTINGS_INVALID' },
    { what: '13 hours', settings: { applicationConsistentHours: 13 }, code: 'NATIVE_SETTINGS_INVALID' },
    { what: 'itself', peer: { address: 'endpoint' }, code: 'NATIVE_CONNECTION_FAILED' },
  ];
  for (const { what, server = {}, peer, settings, code } of CHECKS) {
    it(`is found at the source, and nothing is changed: ${what}`, async () => {
      await using ground = await NativeGround.open();
      const to = { ...(await ground.peer('replica', settings)), ...peer };
      await ground.setServer('replica', server);

      const findings = await ground.pair('source').checkPair(ground.id, to, callOf());
      const enabled = await errorOf(ground.pair('source').enable(ground.id, to, callOf()));

      expect(findings.map((one) => [one.code, one.level])).to.deep.equal([[code, 'blocks']]);
      expect(enabled.hint).not.to.match(/vmms/);
      expect((await ground.status('source')).role).to.equal('none');
      expect(await ground.status('replica')).to.equal(undefined);
    });
  }

  it('is nothing where the source has no certificate of that name and its listener has one', async () => {
    await using ground = await NativeGround.open();
    for (const end of ['source', 'replica'] as const) await ground.setServer(end, CERTIFICATES);

    await ground.replicating({ authentication: 'certificate', certificateThumbprint: 'C3'.repeat(20) });

    expect((await ground.status('source')).vendorState).to.equal('Replicating');
  });
});

describe('a native pair', () => {
  it('is made once, however often it is told, and looked at before anything is told', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    const from = ground.requests.length;
    await ground.pair('source').enable(ground.id, await ground.peer(), callOf());
    await ground.pair('source').seed(ground.id, { by: 'network' }, callOf());

    expect(ground.cmdlets(from)).not.to.include.members(['Enable-VMReplication']);
    expect(ground.cmdlets(from)).not.to.include.members(['Start-VMInitialReplication']);
    expect((await ground.status('replica')).replicatedAt).to.be.a('string');
  });

  it('is told nothing by whoever holds an older epoch', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    const epoch = (number: number) => ({ item: 'item' as never, epoch: number, holder: 'site-b' });
    for (const end of ['source', 'replica'] as const) await ground.session(end).fence!.advance(ground.id, undefined, epoch(5), callOf());
    const old = () => callOf({ fence: epoch(4) });

    const to = await ground.peer();
    const codes: string[] = [];
    for (const call of [
      () => ground.pair('source').enable(ground.id, to, old()),
      () => ground.pair('source').seed(ground.id, { by: 'network' }, old()),
      () => act(ground, 'source', { do: 'pause' }, old()),
      () => act(ground, 'replica', { do: 'test', nics: NONE }, old()),
      () => ground.pair('replica').remove(ground.id, old()),
    ])
      codes.push((await errorOf(call())).code);

    expect(codes).to.deep.equal(Array(5).fill('FENCED'));
    expect([(await ground.status('source')).vendorState, (await ground.status('replica')).role]).to.deep.equal(['Replicating', 'replica']);
  });

  it('has a test machine whose cards are where the step says, and nowhere else', async () => {
    await using ground = await NativeGround.open({
      machines: [{ name: 'web', nics: 2, writesPerSecond: 0, disks: [{ sizeBytes: 2 ** 20 }] }],
    });
    await ground.replicating();
    const network = await ground.session('replica').network!.createTestNetwork('network/production' as PlaceId, callOf());
    const [first] = await nicsOf(ground, 'source');

    const { testMachine } = await act(ground, 'replica', { do: 'test', nics: new Map([[first!.id, network.id]]) });
    const cards = await nicsOf(ground, 'replica', testMachine!);
    await ground.session('replica').power!.set(testMachine!, 'on', callOf());
    const refused = await errorOf(act(ground, 'replica', { do: 'endTest' }));
    await ground.session('replica').power!.set(testMachine!, 'off', callOf());
    const after = await act(ground, 'replica', { do: 'endTest' });

    expect(cards.map((card) => card.network)).to.deep.equal([network.id, undefined]);
    expect(refused.code).to.equal('STATE_CONFLICT');
    expect(after.testMachine).to.equal(undefined);
    expect(ground.estate.estate.violations).to.deep.equal([]);
  });

  it('fails over to the point that is named, with the cards connected before, and to another after a cancel', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    const digests: string[] = [];
    for (let hour = 1; hour <= 3; hour++) {
      await write(ground, 'source', hour);
      await ground.pass(HOUR + 40_000);
      digests.push(digest(ground, 'source'));
    }
    await ground.session('source').power!.set(ground.id, 'off', callOf());
    const { points } = await ground.status('replica');
    const [nic] = await nicsOf(ground, 'source');
    const nics = new Map([[nic!.id, 'network/production' as PlaceId]]);

    await act(ground, 'replica', { do: 'failover', point: points.at(-1)!.id, nics });
    const connected = (await nicsOf(ground, 'replica')).map(({ network }) => network);
    const newest = digest(ground, 'replica');
    await act(ground, 'replica', { do: 'cancel' });
    await act(ground, 'replica', { do: 'failover', point: points.at(-2)!.id, nics });

    expect(points.map(({ consistency }) => consistency)).to.deep.equal(Array(points.length).fill('crash'));
    expect(connected).to.deep.equal(['network/production']);
    expect([newest, digest(ground, 'replica')]).to.deep.equal([digests.at(-1), digests.at(-2)]);
    expect((await errorOf(act(ground, 'replica', { do: 'failover', nics }))).code).to.equal('STATE_CONFLICT');
  });

  it('goes there and back: planned, committed as it stands, reversed with what differs, and the old source is not ours to delete', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    await write(ground, 'source', 9);
    await ground.session('source').power!.set(ground.id, 'off', callOf());
    const prepared = await act(ground, 'source', { do: 'prepare' });
    await act(ground, 'replica', { do: 'failover', nics: NONE });
    await ground.session('replica').power!.set(ground.id, 'on', callOf());
    const committed = await act(ground, 'replica', { do: 'commit' });
    await write(ground, 'replica', 10);
    const reversed = await act(ground, 'replica', { do: 'reverse', to: await ground.peer('source') });
    await ground.pass(60_000);
    const same = digest(ground, 'source') === digest(ground, 'replica');
    for (const end of ['source', 'replica'] as const) await ground.pair(end).remove(ground.id, callOf());
    const deleted = await errorOf(ground.session('source').target!.deleteReplica!(ground.id, callOf()));

    expect([prepared.vendorState, committed.vendorState]).to.deep.equal(['PreparedForFailover', 'FailedOverWaitingCompletion']);
    expect([reversed.role, reversed.vendorState, same]).to.deep.equal(['source', 'Replicating', true]);
    expect(deleted.code).to.equal('PERMISSION_DENIED');
  });

  it('comes back from an unplanned failover by a comparison', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    await ground.session('source').power!.set(ground.id, 'off', callOf());
    await act(ground, 'replica', { do: 'failover', nics: NONE });
    await ground.session('replica').power!.set(ground.id, 'on', callOf());
    await act(ground, 'replica', { do: 'commit' });
    await write(ground, 'replica', 44);
    const reversed = await act(ground, 'replica', { do: 'reverse', to: await ground.peer('source') });
    await act(ground, 'replica', { do: 'resync' });
    await ground.pass(120_000);

    expect(reversed.vendorState).to.equal('ReadyForInitialReplication');
    expect((await ground.status('replica')).vendorState).to.equal('Replicating');
    expect(digest(ground, 'source')).to.equal(digest(ground, 'replica'));
  });

  it('leaves a copy that it made to be deleted with its disks, once it is of no pair', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    await ground.pair('source').remove(ground.id, callOf());
    await ground.pair('replica').remove(ground.id, callOf());
    await ground.session('replica').target!.deleteReplica!(ground.id, callOf());

    expect(await ground.status('replica')).to.equal(undefined);
    expect(Object.keys(ground.estate.estate.endpoint('other').hyperv!.files)).to.deep.equal([]);
    expect((await ground.status('source')).role).to.equal('none');
    const [vm] = [...ground.estate.estate.machines.values()];
    expect(vm!.hv!.notes).to.equal('');
  });

  it('is removed at one end while the other is dead', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    await ground.estate.control.call('lab.burnSite', { site: 'site-b' });

    await ground.pair('source').remove(ground.id, callOf());

    expect((await ground.status('source')).role).to.equal('none');
  });
});

describe('the states of a native pair', () => {
  const STEPS: readonly NativeStep['do'][] = [
    'prepare',
    'pause',
    'resume',
    'resync',
    'failover',
    'test',
    'endTest',
    'cancel',
    'commit',
    'reverse',
  ];

  it('are told by their names, and what is not allowed in one is refused without a word to the host', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    const to = await ground.peer('source');
    for (const state of Object.keys(ENUMS.VMReplicationState) as ReplicationState[]) {
      for (const end of ['source', 'replica'] as const) {
        const endpoint = end === 'source' ? 'endpoint' : 'other';
        const machine = [...ground.estate.estate.machines.values()].find((one) => one.endpoint === endpoint)!;
        await ground.estate.control.call('lab.setReplication', { machine: machine.id, state });
        const status = await ground.status(end);
        for (const verb of STEPS.filter((one) => !status.allowed.includes(one))) {
          const from = ground.requests.length;
          const step = { do: verb, nics: NONE, to } as unknown as NativeStep;
          expect((await errorOf(act(ground, end, step))).code, `${verb} at the ${end} in ${state}`).to.equal('STATE_CONFLICT');
          expect(ground.cmdlets(from).filter((cmdlet) => !cmdlet.startsWith('Get-') && !cmdlet.startsWith('Measure-'))).to.deep.equal([]);
        }
        expect(status.vendorState).to.equal(state);
      }
    }
  });

  it('are looked up after an answer was lost', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating();
    await ground.estate.control.call('lab.addFault', { rule: { method: 'ps.Start-VMFailover', act: { cut: 'after' }, nth: 1 } });

    const lost = await errorOf(act(ground, 'replica', { do: 'test', nics: NONE }));
    await ground.connect('replica');
    const { testMachine, allowed } = await ground.status('replica');

    expect(lost.code).to.equal('CONNECTION_LOST');
    expect(testMachine).to.be.a('string');
    expect(allowed).to.deep.equal(['endTest']);
  });

  it('of many machines are read in one request at a source and two at a replica', async () => {
    const machines = Array.from({ length: 200 }, (_, n) => ({
      ...{ name: n === 0 ? 'web' : `m-${n}`, power: 'off' as const, workload: 'none' as const },
      disks: [{ sizeBytes: 2 ** 20 }],
    }));
    await using ground = await NativeGround.open({ machines });
    const ids = [...ground.estate.estate.machines.values()].map(({ id }) => id);
    const to = await ground.peer();
    for (const id of ids) await ground.pair('source').enable(id, to, callOf());
    const counted: [number, number][] = [];
    for (const end of ['source', 'replica'] as const) {
      const from = ground.requests.length;
      const seen = await Array.fromAsync(ground.pair(end).observe([...ids, 'not-there' as MachineId], callOf()));
      counted.push([seen.length, ground.requests.length - from]);
    }

    expect(counted).to.deep.equal([
      [200, 1],
      [200, 2],
    ]);
  });

  it('are found where a cluster has moved the replica, and an end that does not answer is no machine that is gone', async () => {
    await using ground = await NativeGround.open({ kind: 'cluster' });
    await ground.replicating();
    const replica = [...ground.estate.estate.machines.values()].find(({ endpoint }) => endpoint === 'other')!;
    await ground.estate.control.call('lab.migrate', { machine: replica.id });
    const moved = await act(ground, 'replica', { do: 'test', nics: NONE });
    const { testMachine } = moved;
    await ground.estate.control.call('lab.setHost', { endpoint: 'other', host: 'node-1', service: 'stopped' });
    await ground.estate.control.call('lab.setHost', { endpoint: 'other', host: 'node-2', service: 'stopped' });
    const silent = await errorOf(ground.status('replica'));

    expect(testMachine).to.be.a('string');
    expect(silent.code).to.equal('HOST_BUSY');
  });

  it('say what people did by hand', async () => {
    await using ground = await NativeGround.open();
    await ground.replicating({ ...SETTINGS });
    const shell = await ground.estate.openPowerShell({
      host: 'other',
      transport: { kind: 'local', username: 'kit', password: 'correct-horse-battery' },
    });
    await shell.run([
      { cmdlet: 'Get-VM', params: { Id: ground.id } },
      { cmdlet: 'Remove-VMReplication', params: { VM: { $step: 0 } } },
    ]);
    await ground.pass(60_000);
    const { vendorState, health, because, allowed } = await ground.status('source');

    expect([vendorState, health, allowed]).to.deep.equal(['Error', 'Critical', ['resume', 'resync']]);
    expect(because).to.be.a('string');
    expect((await ground.status('replica')).role).to.equal('none');
    await shell[Symbol.asyncDispose]();
  });
});
