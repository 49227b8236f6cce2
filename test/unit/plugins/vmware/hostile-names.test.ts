import { expect } from 'chai';
import { describe, it } from 'mocha';
import { SoapReader } from '../../../../adapters/vsphere/vim25/decode.ts';
import { ENVELOPE_CLOSE, ENVELOPE_OPEN, encodeElement } from '../../../../adapters/vsphere/vim25/encode.ts';
import { fromVcenter, toVcenter } from '../../../../plugins/vmware/names.ts';
import { callOf, codesOf, Ground, snapshotSource } from './ground.ts';

const PIECES = [
  ...['$(reboot)', '`id`', '; rm -rf /', '&& true', '| cat', "' OR '1'='1", '"; DROP TABLE x; --', '../../etc/passwd', '..\\..\\boot.ini'],
  ...[
    '<script>',
    ']]>',
    '<!--',
    '&lt;',
    '&#10;',
    '<![CDATA[',
    '%2f',
    '%25',
    '%',
    '%00',
    '{jndi:ldap://x}',
    '{{7*7}}',
    '[store] x.vmdk',
    '__proto__',
  ],
  ...['日本語', 'ñandú', '😀', 'é', '\u202egnp.exe', '\u200b', '\u0007', '\n', '\t', ' ', '.', '-', '--help', 'CON', 'a'.repeat(30)],
];
/** The n-th of a long row of names, each of them another. */
const hostile = (n: number): string => {
  const parts = [`${n}`];
  for (let at = n; at > 0; at = Math.floor(at / PIECES.length)) parts.push(PIECES[at % PIECES.length]!);
  return n % 3 === 0 ? parts.reverse().join('') : parts.join('/');
};

const machines = Array.from({ length: 1000 }, (_, n) => ({
  name: hostile(n),
  disks: [{ sizeBytes: 512 }],
  nics: 0,
  workload: 'none' as const,
  power: 'off' as const,
  writesPerSecond: 0,
}));

describe('machines with hostile names', () => {
  it('are 1,000 that are listed, looked at and snapshotted as what they are', async () => {
    await using ground = await Ground.create({ machines });
    const session = await ground.connect();

    const found = await Array.fromAsync(session.inventory.listMachines({}, callOf()));

    expect(found.map(({ name }) => name).sort()).to.deep.equal(machines.map(({ name }) => name).sort());
    const source = snapshotSource(session);
    for (const { id, name } of found.filter((_, index) => index % 20 === 0)) {
      expect((await session.inventory.getMachine(id, callOf())).name).to.equal(name);
      const operationId = `cycle of ${name}`;
      const snapshot = await source.createSnapshot(
        [id],
        { consistency: 'crash', orElse: 'crash', since: new Map() },
        callOf({ operationId }),
      );
      expect(snapshot.operationId).to.equal(operationId);
      await source.releaseSnapshot(snapshot.id, 'abandoned', callOf());
    }
    expect(await ground.leftovers()).to.deep.equal([]);
  }).timeout(30_000);

  it('get replicas of their names, else of shortened ones with a finding, in folders of plain characters', async () => {
    await using ground = await Ground.create({ machines: machines.slice(0, 1) });
    const session = await ground.connect();
    const source = await ground.machine(session, machines[0]!.name);
    for (let n = 1; n <= 300; n++) {
      const name = `replica ${hostile(n * 37)}`;
      const { machine, findings } = await session.target!.createReplica!(source.spec, { name, nics: new Map() }, callOf());
      if (codesOf(findings).includes('NAME_CHANGED'))
        expect(machine.name)
          .to.equal(fromVcenter(toVcenter(name)))
          .and.not.equal(name);
      else expect(machine.name).to.equal(name);
    }

    const homes = Object.keys(ground.estate.estate.endpoint('endpoint').vsphere!.files).filter((path) => path.includes('replica'));
    expect(homes.length).to.be.at.least(600);
    for (const path of homes) expect(path).to.match(/^\[store\] [A-Za-z0-9._-]+\/[A-Za-z0-9._-]+$/);
  }).timeout(30_000);

  it('are 10,000 that go through escape and envelope and come back', () => {
    for (let n = 0; n < 10_000; n++) {
      const name = hostile(n);
      const escaped = toVcenter(name);
      const reader = new SoapReader('FindByInventoryPath');
      const value = encodeElement('returnval', 'ManagedObjectReference', { type: 'VirtualMachine', value: escaped });
      reader.push(`${ENVELOPE_OPEN}<FindByInventoryPathResponse xmlns="urn:vim25">${value}</FindByInventoryPathResponse>${ENVELOPE_CLOSE}`);
      const decoded = reader.end();
      const back = (decoded as { result: { value: string } }).result.value;
      if (back !== escaped) expect.fail(`${JSON.stringify(escaped)} came back as ${JSON.stringify(back)}`);
      const expected = escaped.length < 80 ? name : fromVcenter(escaped);
      if (fromVcenter(back) !== expected) expect.fail(`${JSON.stringify(name)} came back as ${JSON.stringify(fromVcenter(back))}`);
    }
  }).timeout(10_000);
});
