import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { Compared, EstateSpec, MachineSeed } from '../../../../adapters/lab/port.ts';
import type { MachineId } from '../../../../core/contract/index.ts';
import { temporary } from './lab-process.ts';

const MIB = 2 ** 20;
const DISKS = [{ sizeBytes: MIB, contentBytes: MIB / 8 }, { sizeBytes: MIB }];
const endpoint = (name: string, machine: MachineSeed, networks: readonly string[]) => ({
  ...{ name, profile: 'physical' as const, networks, storage: [{ name: 'store', capacityBytes: 64 * MIB }], machines: [machine] },
});

const SPEC: EstateSpec = {
  sites: [
    { name: 'site-a', endpoints: [endpoint('rack-a', { name: 'ledger', disks: DISKS, writesPerSecond: 20 }, ['production'])] },
    { name: 'site-b', endpoints: [endpoint('rack-b', { name: 'copy', disks: DISKS, workload: 'none', power: 'off' }, [])] },
  ],
};

/** A machine with writes behind it, and another that is off and has its disks. */
class Pair implements AsyncDisposable {
  readonly lab: InProcessEstate = createEstate({ spec: SPEC });

  get control() {
    return this.lab.control;
  }

  async id(name: string): Promise<MachineId> {
    return (await this.control.call('lab.find', { name })).machines[0]!.machine;
  }

  async disk(name: string, index: number) {
    return (await this.control.call('lab.machine', { machine: await this.id(name) })).spec.disks[index]!.id;
  }

  /** The copy becomes what the ledger is now. */
  async copy(): Promise<void> {
    using folder = temporary();
    for (const index of [0, 1]) {
      const path = join(folder.path, `${index}.raw`);
      await this.control.call('lab.exportDisk', { of: { machine: await this.id('ledger') }, disk: await this.disk('ledger', index), path });
      await this.control.call('lab.importDisk', { machine: await this.id('copy'), disk: await this.disk('copy', index), path });
    }
  }

  async write(name: string, index: number, offset: number): Promise<void> {
    const data = Buffer.alloc(1, 'x');
    await this.control.call('lab.write', { machine: await this.id(name), disk: await this.disk(name, index), offset, data });
  }

  async compared(): Promise<Compared> {
    const { against, copies } = await this.control.call('lab.compare', { machine: await this.id('copy') });
    expect([against.name, copies.length]).to.deep.equal(['ledger', 1]);
    return copies[0]!;
  }

  advance(ms: number) {
    return this.control.call('lab.advance', { ms });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }
}

const started = async (): Promise<Pair> => {
  const pair = new Pair();
  await pair.advance(10_000);
  await pair.copy();
  return pair;
};

describe('copies that are compared', () => {
  it('are equal where nothing was written since, and contained where their transactions went on', async () => {
    await using pair = await started();
    const equal = await pair.compared();
    await pair.advance(5_000);
    const older = await pair.compared();

    expect(equal).to.deep.include({ common: equal.transactions, differingBytes: 0, problems: [], production: false });
    expect(older).to.deep.include({ transactions: equal.transactions, common: equal.transactions, differingBytes: 0 });
  });

  it('went apart after the last transaction that both have', async () => {
    await using pair = await started();
    const { transactions } = await pair.compared();
    await pair.control.call('lab.power', { machine: await pair.id('copy'), to: 'on' });
    await pair.control.call('lab.setWorkload', { machine: await pair.id('copy'), writesPerSecond: 10 });
    await pair.advance(10_000);

    const apart = await pair.compared();

    expect(apart).to.deep.include({ common: transactions, differingBytes: 0, problems: [], power: 'on' });
    expect(apart.transactions).to.be.greaterThan(transactions);
  });

  it('show each sector that no transaction has written', async () => {
    await using pair = await started();
    // Between the configuration and the log, and behind the last page: neither is of the database.
    await pair.write('copy', 0, 32_768);
    await pair.write('ledger', 1, MIB - 512);
    await pair.advance(5_000);

    expect(await pair.compared()).to.deep.include({ differingBytes: 1024, problems: [] });
  });

  it('show a page that lacks its transaction as a problem', async () => {
    await using pair = await started();
    await pair.write('copy', 1, 65_536 + 100);

    const { problems, differingBytes } = await pair.compared();

    expect(problems).to.have.length(1);
    expect(problems[0]).to.match(/^R4 page 0 /);
    expect(differingBytes).to.equal(512);
  });

  it('have nothing in common that can be told once the log of one has gone round', async () => {
    await using pair = await started();
    for (let n = 0; n < 10; n++) await pair.advance(10_000);

    const { common, differingBytes } = await pair.compared();

    expect([common, differingBytes]).to.deep.equal([undefined, 0]);
  });
});
