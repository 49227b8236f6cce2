// Sessions at simulated hosts through a true PowerShell: who may begin one, and how it ends.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { FaultRule } from '../../adapters/lab/port.ts';
import type { PowerShell } from '../../adapters/powershell/port.ts';
import { errorOf } from '../support/errors.ts';
import { hostSpec, step } from '../unit/adapters/lab-powershell/bench.ts';
import { mockModules } from './engine.ts';
import type { MockModules } from './mock/modules.ts';
import { createTrueEstate, type TrueEstate } from './mock/open.ts';

describe('a session at a host through a true PowerShell', function () {
  this.timeout(60_000);
  let modules: MockModules;
  let estate: TrueEstate;
  let shell: PowerShell;

  const open = (host: string, password: string): Promise<PowerShell> =>
    estate.openPowerShell({ host, transport: { kind: 'local', username: 'warmsite', password } });
  const once = (method: string, act: FaultRule['act']): Promise<unknown> =>
    estate.control.call('lab.addFault', { rule: { method, nth: 1, act } });

  before(async function () {
    modules = await mockModules(this);
    estate = await createTrueEstate(modules, { spec: { sites: [{ name: 'site', endpoints: [hostSpec()] }] } });
    shell = await open('hv-a', 'secret');
  });
  after(async () => {
    await estate?.[Symbol.asyncDispose]();
    await modules?.[Symbol.asyncDispose]();
  });

  it('does not begin with a wrong password, nor where there is no host', async () => {
    expect((await errorOf(open('hv-a', '$(wrong)'))).code).to.equal('AUTH_REJECTED');
    expect((await errorOf(open('nowhere', 'secret'))).code).to.equal('CONNECTION_REFUSED');
  });

  it('that the host cuts is lost, whether the cmdlet has had its effect or not, and the next request has another', async () => {
    for (const [cut, notes] of [
      ['before', ''],
      ['after', 'cut after'],
    ] as const) {
      await once('ps.Set-VM', { cut });

      const lost = await errorOf(shell.run([step('Get-VM'), step('Set-VM', { VM: { $step: 0 }, Notes: `cut ${cut}` })]));
      const [found] = await shell.run([step('Get-VM', {}, ['Notes'])]);

      expect(lost.code).to.equal('CONNECTION_LOST');
      expect(found?.rows).to.deep.equal([{ Notes: notes }]);
    }
  });

  it('in which a cmdlet never ends goes with its deadline', async () => {
    await once('ps.Get-VM', { stall: true });

    expect((await errorOf(shell.run([step('Get-VM')], { deadlineMs: 3_000 }))).code).to.equal('TIMED_OUT');
    expect((await shell.run([step('Get-VM')]))[0]?.count).to.equal(1);
  });

  it('tells an error that a host was asked for as the host would', async () => {
    await once('ps.Get-VMHost', { error: 'HOST_BUSY' });

    expect((await errorOf(shell.run([step('Get-VMHost')]))).code).to.equal('HOST_BUSY');
  });
});
