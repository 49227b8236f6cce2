import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type Finding, isDrError, type Session } from '../../../../core/contract/index.ts';
import { callOf, epoch, errorOf, Ground, replicaOf } from './ground.ts';

const dataPaths = async (session: Session): Promise<Finding[]> =>
  (await session.check(callOf())).filter(({ code }) => code === 'DATA_PATH') as Finding[];

const nameAppliance = (ground: Ground, name: string): void => {
  ground.estate.estate.machines.get(ground.appliance)!.name = name;
};

describe('an endpoint whose appliance is not there', () => {
  it('still fences, isolates and powers its machines, and says what is missing', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect({ appliance: 'burnt' });
    const machine = await ground.machine(session, 'web');
    const fence = epoch(1);

    await session.fence!.advance(machine.id, undefined, fence, callOf());
    await session.fence!.isolate(machine.id, callOf({ fence }));
    expect((await ground.machine(session, 'web')).power).to.equal('off');
    await session.power!.set(machine.id, 'on', callOf({ fence }));
    expect((await ground.machine(session, 'web')).power).to.equal('on');

    for (const finding of await dataPaths(session)) {
      expect(finding).to.include({ level: 'blocks', hint: 'name the virtual machine that warmsite runs in' });
      expect(finding.message).to.match(/^disks cannot be (read|written) by hotadd: there is no machine "burnt" to be the appliance$/);
    }
    expect((await session.inventory.checkProtectable(machine.id, 'target', callOf())).at(-1)).to.include({
      code: 'DATA_PATH',
      level: 'blocks',
    });
  });

  it('does not look for it again for each of many machines', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect({ appliance: 'burnt' });
    const machine = await ground.machine(session, 'web');
    await session.inventory.checkProtectable(machine.id, 'source', callOf());
    const before = ground.count('CreateContainerView');

    for (let at = 0; at < 10; at++) await session.inventory.checkProtectable(machine.id, 'source', callOf());

    expect(ground.count('CreateContainerView')).to.equal(before);
  });

  it('reads and writes by the same session once it is there', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect({ appliance: 'burnt' });
    const machine = await ground.machine(session, 'web');
    const placed = await replicaOf(session, machine);
    const open = () => session.target!.openReplicaDisk(placed.machine.id, [...placed.disks.values()][0]!, callOf());
    expect((await errorOf(open())).code).to.equal('CONFIG_INVALID');

    nameAppliance(ground, 'burnt');
    await ground.estate.clock.sleep(10_000);
    await using disk = await open();

    await disk.write(0, new Uint8Array(65_536).fill(7), callOf());
    await disk.flush(callOf());
    expect(ground.attached()).to.have.length(1);
    expect((await dataPaths(session)).map(({ level }) => level)).to.deep.equal(['info', 'info']);
  });

  it('is opened for a caller although the one before it gives up in the middle', async () => {
    await using ground = await Ground.create();
    const session = await ground.connect({ appliance: 'burnt' });
    nameAppliance(ground, 'burnt');
    await ground.estate.clock.sleep(10_000);
    const giveUp = new AbortController();
    using _ = ground.before(({ method }) => {
      if (method === 'CreateContainerView') giveUp.abort(new Error('enough'));
    });

    const [first, second] = await Promise.allSettled([session.check(callOf({ signal: giveUp.signal })), session.check(callOf())]);

    expect(first).to.include({ status: 'rejected' });
    expect((first as PromiseRejectedResult).reason).to.satisfy((error: unknown) => !isDrError(error) && String(error).includes('enough'));
    expect(second.status).to.equal('fulfilled');
  });
});
