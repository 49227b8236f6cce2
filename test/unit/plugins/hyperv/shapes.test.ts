import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DiskSpec, MachineSpec } from '../../../../core/contract/index.ts';
import { callOf, codesOf, epoch, errorOf, forkOf, forks, Ground, MIB, made, WEB } from './ground.ts';

const diskSpec = (id: string, more: Partial<DiskSpec> = {}): DiskSpec => ({
  id: id as never,
  sizeBytes: MIB,
  bus: 'scsi',
  slot: '0:0',
  boot: false,
  logicalSectorBytes: 512,
  physicalSectorBytes: 4096,
  ...more,
});

const spec = (more: Partial<MachineSpec> = {}): MachineSpec => ({
  firmware: 'uefi',
  secureBoot: true,
  cpuCount: 2,
  memoryBytes: 64 * MIB,
  guest: { family: 'windows' },
  disks: [diskSpec('a', { boot: true })],
  nics: [{ id: 'nic-a' as never, mac: '00:15:5d:01:02:03' }],
  ...more,
});

const build = async (ground: Ground, of: MachineSpec, more: { readonly nics?: ReadonlyMap<never, never> } = {}) => {
  const session = await ground.connect();
  const placed = await session.target!.createReplica!(of, { name: 'copy', nics: new Map(), ...more }, callOf());
  return { session, placed, machine: placed.machine, hv: ground.hv(placed.machine.id) };
};

describe('a replica', () => {
  it('of a machine of Hyper-V has its dynamic memory, secure boot template, VLANs and configuration version', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const source = ground.estate.estate.machine(id).hv!;
    source.memory = { dynamic: true, startup: 64 * MIB, minimum: 32 * MIB, maximum: 128 * MIB };
    source.secureBoot = true;
    source.secureBootTemplate = 'MicrosoftUEFICertificateAuthority';
    (source as { version: string }).version = '9.0';
    source.adapters = source.adapters.map((one) => ({ ...one, vlan: 42 }));
    const { spec: of } = await session.inventory.getMachine(id, callOf());

    const { hv, placed } = await build(ground, JSON.parse(JSON.stringify(of)) as MachineSpec);

    expect(hv.memory).to.deep.equal(source.memory);
    expect(hv.secureBootTemplate).to.equal('MicrosoftUEFICertificateAuthority');
    expect(hv.version).to.equal('9.0');
    expect(hv.adapters.map(({ vlan }) => vlan)).to.deep.equal(source.adapters.map(() => 42));
    expect(codesOf(placed.findings)).not.to.include('VERSION_NOT_KEPT');
    const vendor = placed.machine.spec.vendor?.['hyperv'];
    expect(vendor).to.deep.include({ generation: 2, version: '9.0', memory: { minimum: 32 * MIB, maximum: 128 * MIB } });
    const fork = await forkOf({ session, source: { spec: of } as never, replica: placed.machine.id });
    expect(ground.hv(fork.machine.id).memory.dynamic).to.equal(true);
  });

  it('of a host with a newer configuration version is made, and says so before its source is touched', async () => {
    await using ground = await Ground.create();
    const { placed, hv } = await build(ground, spec({ vendor: { hyperv: { version: '12.0' } } }));

    expect(codesOf(placed.findings)).to.include('VERSION_NOT_KEPT');
    expect(hv.version).to.equal('10.0');
  });

  it('trusts nothing of what another endpoint says of itself', async () => {
    await using ground = await Ground.create();
    const vendor = {
      hyperv: { version: '9.0; reboot', memory: { minimum: -1, maximum: 'x' }, secureBootTemplate: "x'", vlans: { 'nic-a': 9999 } },
    };

    const { hv } = await build(ground, spec({ vendor }));

    expect(hv.memory.dynamic).to.equal(false);
    expect(hv.secureBootTemplate).to.equal('MicrosoftWindows');
    expect(hv.adapters[0]!.vlan).to.equal(undefined);
  });

  it('of a Linux that starts securely elsewhere starts with the authority that signs Linux', async () => {
    await using ground = await Ground.create();
    const { hv } = await build(ground, spec({ guest: { family: 'linux' } }));

    expect(hv.secureBootTemplate).to.equal('MicrosoftUEFICertificateAuthority');
  });

  it('of generation 1 boots from IDE, and has what does not fit there on SCSI', async () => {
    await using ground = await Ground.create();
    const disks = ['a', 'b', 'c', 'd', 'e', 'f'].map((id) => diskSpec(id, { bus: 'ide', boot: id === 'e' }));

    const { hv, placed } = await build(ground, spec({ firmware: 'bios', disks }));

    const boot = hv.drives.find(({ disk }) => disk === placed.disks.get('e' as never))!;
    expect(hv.generation).to.equal(1);
    expect(boot).to.include({ type: 'IDE', number: 0, location: 0 });
    expect(hv.drives.filter(({ type }) => type === 'IDE')).to.have.length(4);
    expect(hv.drives.filter(({ type }) => type === 'SCSI')).to.have.length(2);
    expect(placed.machine.spec.disks.find(({ boot: boots }) => boots)!.id).to.equal(boot.disk);
  });

  it('boots from the disk that its definition names, not from the first', async () => {
    await using ground = await Ground.create();
    const { placed } = await build(ground, spec({ disks: [diskSpec('a'), diskSpec('b', { boot: true })] }));

    expect(placed.machine.spec.disks.find(({ boot }) => boot)!.id).to.equal(placed.disks.get('b' as never));
  });

  it('has seventy disks over several controllers, and disks of 4,096-byte sectors as such', async () => {
    await using ground = await Ground.create();
    const disks = Array.from({ length: 70 }, (_, n) =>
      diskSpec(`disk-${n}`, { boot: n === 0, ...(n === 69 ? { logicalSectorBytes: 4096 as const } : {}) }),
    );

    const { hv, placed } = await build(ground, spec({ disks }));

    expect(placed.disks.size).to.equal(70);
    expect(hv.scsiControllers).to.equal(2);
    const last = placed.machine.spec.disks.find(({ id }) => id === placed.disks.get('disk-69' as never))!;
    expect(last.logicalSectorBytes).to.equal(4096);
  }).timeout(20_000);

  it('has no card where its source has none, and says what becomes of a legacy one', async () => {
    await using ground = await Ground.create();
    const none = await build(ground, spec({ nics: [] }));
    expect(none.hv.adapters).to.deep.equal([]);

    const legacy = await build(ground, spec({ nics: [{ id: 'l' as never, model: 'legacy' }] }));

    expect(codesOf(legacy.placed.findings)).to.include('NIC_MODEL_CHANGED');
  });

  it('gets a disk where nothing hangs: not on a DVD, and not on a disk that cannot be opened', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB, power: 'off' }] });
    const session = await ground.connect();
    const { id, spec: of } = await ground.machine(session, 'web');
    const hv = ground.estate.estate.machine(id).hv!;
    hv.dvds = [{ id: 'dvd', type: 'SCSI', number: 0, location: 2 }];

    const placed = await session.target!.adoptReplica(id, { ...of, disks: [...of.disks, diskSpec('more')] }, callOf());

    expect(placed.disks.size).to.equal(3);
    const slots = [...ground.hv(id).drives, ...hv.dvds].map(({ type, number, location }) => `${type}${number}:${location}`);
    expect(new Set(slots).size).to.equal(slots.length);
  });

  it('that was adopted is held still: no start, no checkpoint by itself, and one of ours whatever people had chosen', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB, power: 'off' }] });
    const session = await ground.connect();
    const { id, spec: of } = await ground.machine(session, 'web');
    Object.assign(ground.hv(id), { checkpointType: 'Disabled', automaticCheckpoints: true, startAction: 'Start' });

    await session.target!.adoptReplica(id, of, callOf());

    expect(ground.hv(id)).to.include({ checkpointType: 'Standard', automaticCheckpoints: false, startAction: 'Nothing' });
    const fork = await forkOf({ session, source: { spec: of } as never, replica: id });
    await forks(session).discard(fork.id, callOf());
  });

  it('of which the storage is full leaves no machine and no file', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const before = ground.files();
    await ground.fault({ method: 'ps.New-VHD', nth: 2, act: { error: 'TARGET_FULL' } as never });
    const disks = [diskSpec('a', { boot: true }), diskSpec('b'), diskSpec('c')];

    const error = await errorOf(session.target!.createReplica!(spec({ disks }), { name: 'copy', nics: new Map() }, callOf()));

    expect(error.code).to.equal('TARGET_FULL');
    expect(ground.files()).to.deep.equal(before);
    expect(await Array.fromAsync(session.inventory.listMachines({}, callOf()))).to.have.length(1);
  });

  it('is not adopted with a smaller disk, while it is suspended, or under a fork', async () => {
    await using one = await made();
    const { session, replica, source } = one;
    const larger = { ...source.spec, disks: source.spec.disks.map((row) => ({ ...row, sizeBytes: 2 * MIB })) };
    expect((await errorOf(session.target!.adoptReplica(replica, larger, callOf()))).code).to.equal('STATE_CONFLICT');
    using saved = one.ground.rewrite((row) => ('State' in row ? { ...row, State: { name: 'Saved', value: 6 } } : row));
    expect((await errorOf(session.target!.adoptReplica(replica, source.spec, callOf()))).message).to.include('not known to be off');
    saved[Symbol.dispose]();
    await forkOf(one);

    expect((await errorOf(session.target!.adoptReplica(replica, source.spec, callOf()))).hint).to.equal(
      'discard or promote the fork first',
    );
  });
});

describe('power', () => {
  it('in a state that this plugin does not know is not off', async () => {
    await using one = await made();
    const { ground, session, replica, source } = one;
    using _ = ground.rewrite((row) => ('State' in row ? { ...row, State: { name: 'Quantum', value: 99 } } : row));

    expect((await session.inventory.getMachine(replica, callOf())).power).to.equal('unknown');
    expect((await errorOf(forkOf(one))).code).to.equal('STATE_CONFLICT');
    expect((await errorOf(session.target!.adoptReplica(replica, source.spec, callOf()))).code).to.equal('STATE_CONFLICT');
    expect((await errorOf(session.target!.deleteReplica!(replica, callOf()))).code).to.equal('STATE_CONFLICT');
    expect(ground.cmdlets()).not.to.include('Remove-VM');
  });

  for (const what of ['refuses', 'has no integration services'] as const) {
    it(`stays on when the guest ${what}`, async () => {
      await using ground = await Ground.create();
      const session = await ground.connect();
      const { id } = await ground.machine(session, 'web');
      if (what === 'refuses') await ground.estate.control.call('lab.setGuest', { machine: id, refusesShutdown: true });
      else ground.estate.estate.guests.delete(id);

      const error = await errorOf(session.power!.set(id, 'shutdown', callOf({ deadlineMs: 5_000 })));

      expect(error.code).to.equal('SHUTDOWN_REFUSED');
      expect((await session.inventory.getMachine(id, callOf())).power).to.equal('on');
      expect(ground.seen.some(({ step }) => step.cmdlet === 'Stop-VM' && 'Force' in step.params)).to.equal(false);
    });
  }

  it('is off when the files are closed: what comes next does not find them locked', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect();
    const { id, spec: of } = await ground.machine(session, 'web');
    await session.power!.set(id, 'off', callOf());

    await session.target!.adoptReplica(id, of, callOf());
    const fork = await forkOf({ session, source: { spec: of } as never, replica: id });
    await session.power!.set(id, 'on', callOf());
    await session.power!.set(id, 'off', callOf());
    await using disk = await forks(session).openDisk(fork.id, fork.machine.spec.disks[0]!.id, callOf());

    expect(disk.sizeBytes).to.equal(MIB);
  });

  it('is refused to a replica under a test, and told as what it is', async () => {
    await using one = await made();
    const { session, replica } = one;
    await forkOf(one, { purpose: 'test' });

    expect((await errorOf(session.power!.set(replica, 'on', callOf()))).code).to.equal('FILE_LOCKED');
  });

  it('of a machine that is none of ours leaves attached what somebody else has attached', async () => {
    await using ground = await Ground.create({ machines: [{ ...WEB, power: 'off' }] });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    await ground.byHand([{ cmdlet: 'Mount-VHD', params: { Path: ground.hv(id).drives[0]!.path } }]);

    expect((await errorOf(session.power!.set(id, 'on', callOf({ fence: epoch(1) })))).code).to.equal('FILE_LOCKED');

    expect(ground.mounts()).to.have.length(1);
  });
});
