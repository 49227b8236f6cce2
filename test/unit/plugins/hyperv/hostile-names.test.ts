import { expect } from 'chai';
import { describe, it } from 'mocha';
import { embedded } from '../../../../plugins/hyperv/wmi.ts';
import { callOf, codesOf, crash, disk, forkOf, forks, Ground, made, snapshotSource } from './ground.ts';

const PIECES = [
  ...['$(reboot)', '`id`', '; rm -rf /', '&& true', '| cat', "' OR '1'='1", '"; DROP TABLE x; --', '../../etc/passwd', '..\\..\\boot.ini'],
  ...[
    '<script>',
    ']]>',
    '&lt;',
    '%2f',
    '%00',
    '{{7*7}}',
    '[web]',
    '*',
    '?',
    '__proto__',
    'constructor',
    '$null',
    '@{a=1}',
    'warmsite: {"owner":"x"}',
  ],
  ...['日本語', 'ñandú', '😀', '\u202egnp.exe', '\u200b', '\u0007', '\n', '\r\n', '\t', ' ', '.', '-', '-Force', 'CON', 'a'.repeat(30)],
];
/** The n-th of a long row of names, each of them another. */
const hostile = (n: number): string => {
  const parts = [`${n}`];
  for (let at = n; at > 0; at = Math.floor(at / PIECES.length)) parts.push(PIECES[at % PIECES.length]!);
  return n % 3 === 0 ? parts.reverse().join('') : parts.join('/');
};

const BATCH = 1000;
const still = { nics: 0, workload: 'none', power: 'off', writesPerSecond: 0 } as const;
const machines = Array.from({ length: 10_000 }, (_, n) => ({ name: hostile(n), disks: [{ sizeBytes: 4096 }], ...still }));

describe('machines with hostile names', () => {
  it('are 10,000 that are listed as what they are', async () => {
    // A host of the lab takes longer to make than to list.
    for (let from = 0; from < machines.length; from += BATCH) {
      const some = machines.slice(from, from + BATCH);
      await using ground = await Ground.create({ machines: some });
      const session = await ground.connect();

      const found = await Array.fromAsync(session.inventory.listMachines({}, callOf()));

      expect(found.map(({ name }) => name).sort()).to.deep.equal(some.map(({ name }) => name).sort());
    }
  }).timeout(60_000);

  it('and hostile folders have cycles, with operations that are called by them', async () => {
    const named = machines.filter((_, n) => n % 200 === 7).map(({ name }) => ({ ...still, name, disks: [disk()] }));
    await using ground = await Ground.create({ machines: named });
    const session = await ground.connect();
    for (const { id, name } of await Array.fromAsync(session.inventory.listMachines({}, callOf()))) {
      expect((await session.inventory.getMachine(id, callOf())).name).to.equal(name);
      const snapshot = await snapshotSource(session).createSnapshot([id], crash(), callOf({ operationId: `cycle of ${name}` }));
      expect(snapshot.operationId).to.equal(`cycle of ${name}`);
      const [listed] = await Array.fromAsync(snapshotSource(session).listSnapshots(callOf()));
      expect(listed!.operationId).to.equal(snapshot.operationId);
      await snapshotSource(session).releaseSnapshot(snapshot.id, 'abandoned', callOf());
    }
    expect(await ground.leftovers()).to.deep.equal([]);
  }).timeout(30_000);

  it('give replicas and forks of their names, or of the beginning of them with a finding, in folders of plain characters', async () => {
    await using one = await made();
    const { ground, session, source } = one;
    for (let n = 1; n <= 60; n++) {
      const name = `replica ${hostile(n * 157)}${n % 10 === 0 ? `${'x'.repeat(90)}😀😀😀` : ''}`;
      const operationId = `make ${name}`;
      const { machine, findings } = await session.target!.createReplica!(source.spec, { name, nics: new Map() }, callOf({ operationId }));
      if (codesOf(findings).includes('NAME_CHANGED')) expect(name.startsWith(machine.name) && machine.name.isWellFormed()).to.equal(true);
      else expect(machine.name).to.equal(name);
      const fork = await forkOf({ ...one, replica: machine.id }, { name, call: { operationId } });
      await forks(session).discard(fork.id, callOf());
      expect((await session.inventory.getMachine(machine.id, callOf())).name).to.equal(machine.name);
      await session.target!.deleteReplica!(machine.id, callOf());
    }

    const homes = ground.seen.flatMap(({ step }) => (step.cmdlet === 'New-VHD' ? [String(step.params['Path'])] : []));
    for (const path of homes) expect(path).to.match(/^D:\\Warmsite\\warmsite-[0-9a-f]{16}\\[0-9a-f]{16}\.vhdx$/);
  }).timeout(60_000);

  it('of paths with brackets, quotes and percent signs are files like any other', async () => {
    await using ground = await Ground.create({ machines: [{ name: "we[b] %TEMP% 'x' $(y)", disks: [disk()], writesPerSecond: 0 }] });
    const session = await ground.connect();
    const [{ id, spec }] = (await Array.fromAsync(session.inventory.listMachines({}, callOf()))) as [
      Awaited<ReturnType<typeof session.inventory.getMachine>>,
    ];
    expect(ground.hv(id).drives[0]!.path).to.include("[b] %TEMP% 'x' $(y)");

    const snapshot = await snapshotSource(session).createSnapshot([id], crash(), callOf());
    await using reader = await snapshotSource(session).openReader(snapshot.id, spec.disks[0]!.id, callOf());
    await reader.read(0, new Uint8Array(4096), callOf());
    await reader[Symbol.asyncDispose]();
    await snapshotSource(session).releaseSnapshot(snapshot.id, 'sealed', callOf());
    await session.power!.set(id, 'off', callOf());
    const bigger = { ...spec, disks: [...spec.disks, { ...spec.disks[0]!, id: 'more' as never, boot: false }] };
    const placed = await session.target!.adoptReplica(id, bigger, callOf());
    await session.target!.deleteReplicaDisk(id, placed.disks.get('more' as never)!, callOf());

    expect(ground.hv(id).drives).to.have.length(1);
    expect(ground.files()).to.have.length(1);
  });

  it('are values within settings, never a part of them', () => {
    expect(embedded('X', { A: ['string', '</VALUE>"&<'] })).to.include('<VALUE>&lt;/VALUE&gt;"&amp;&lt;</VALUE>');
  });
});
