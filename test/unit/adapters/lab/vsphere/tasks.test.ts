import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createEstate, type InProcessEstate } from '../../../../../adapters/lab/in-process.ts';
import { VimFaultError } from '../../../../../adapters/lab/vsphere/model.ts';
import { type NewTask, Tasks } from '../../../../../adapters/lab/vsphere/tasks.ts';
import type { MoRef } from '../../../../../adapters/vsphere/port.ts';

const ENTITY: MoRef = { type: 'VirtualMachine', value: 'vm-1' };
const RESULT: MoRef = { type: 'VirtualMachine', value: 'vm-2' };

class Bench implements AsyncDisposable {
  readonly lab: InProcessEstate = createEstate({ spec: { sites: [] }, clock: 'manual' });
  readonly told: string[] = [];
  readonly tasks = new Tasks(this.lab.estate, ({ value }) => this.told.push(value));
  readonly log: string[] = [];

  start(more: Partial<NewTask> = {}, cancelable = true): MoRef {
    const run = () => {
      this.log.push('run');
      return RESULT;
    };
    const work = { durationMs: 1000, cancelable, run, ended: () => this.log.push('ended') };
    return this.tasks.start({ descriptionId: 'VirtualMachine.clone', entity: ENTITY, userName: 'warmsite', work, stall: false, ...more });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }
}

const faultOf = (call: () => unknown): string => {
  try {
    call();
    return 'none';
  } catch (error) {
    return error instanceof VimFaultError ? error.type : String(error);
  }
};

describe('the tasks of a simulated vCenter', () => {
  it('take effect at their end, and tell of themselves and of what they were about', async () => {
    await using bench = new Bench();
    const task = bench.start();

    bench.lab.estate.timeline.advance(999);
    expect([bench.log, bench.tasks.running(ENTITY)]).to.deep.equal([[], task]);
    bench.lab.estate.timeline.advance(1);

    expect(bench.log).to.deep.equal(['run', 'ended']);
    expect(bench.tasks.info(task)).to.include({ state: 'success', result: RESULT, name: 'Clone_Task' });
    expect(bench.tasks.running(ENTITY)).to.equal(undefined);
    expect(bench.told.slice(-2)).to.deep.equal([task.value, ENTITY.value]);
  });

  it('end without an effect when they are cancelled', async () => {
    await using bench = new Bench();
    const task = bench.start();
    bench.lab.estate.timeline.advance(500);

    bench.tasks.cancel(task);
    bench.lab.estate.timeline.advance(5000);

    expect(bench.log).to.deep.equal(['ended']);
    const { error, ...info } = bench.tasks.info(task);
    expect(info).to.include({ state: 'error', cancelled: true });
    expect(error?.fault).to.include({ $type: 'RequestCanceled' });
    expect(faultOf(() => bench.tasks.cancel(task))).to.equal('InvalidState');
  });

  it('go on unseen when the server starts anew, but for one that would never end', async () => {
    await using bench = new Bench();
    const task = bench.start();
    bench.start({ stall: true, entity: RESULT });

    bench.tasks.forget();

    expect(faultOf(() => bench.tasks.info(task))).to.equal('ManagedObjectNotFound');
    expect(bench.log).to.deep.equal(['ended']);
    expect([bench.tasks.running(ENTITY), bench.tasks.running(RESULT)]).to.deep.equal([task, undefined]);
    bench.lab.estate.timeline.advance(1000);
    expect(bench.log).to.deep.equal(['ended', 'run', 'ended']);
    expect(bench.tasks.running(ENTITY)).to.equal(undefined);
  });
});
