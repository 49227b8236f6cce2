import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect } from 'chai';
import { openVim25 } from '../../../adapters/vsphere/vim25/client.ts';
import { openWire } from '../../../adapters/vsphere/wire.ts';
import { requireDrsim, startDrsim } from '../../support/drsim.ts';
import { Vim } from '../../support/vim.ts';

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('the simulator of govmomi as a process', () => {
  before(async function () {
    await requireDrsim(this);
  });

  it('has the inventory that is asked for, each time with an identity of its own', async () => {
    await using first = await startDrsim({ vms: 5, hosts: 3, datastores: 2, portGroups: 1, apiVersion: '7.0.3.0' });
    await using second = await startDrsim({ vms: 0, anyone: true, first: 5000 });
    await using client = await openVim25(openWire, first.config);
    await using other = await openVim25(openWire, { ...second.config, password: 'any' });
    const vim = new Vim(client);

    const counts = await Promise.all(
      ['VirtualMachine', 'HostSystem', 'Datastore'].map(async (type) => (await vim.list(type, 'name')).length),
    );

    expect(counts).to.deep.equal([5, 3, 2]);
    expect(client.about.apiVersion).to.equal('7.0.3.0');
    expect(client.about.instanceUuid).not.to.equal(other.about.instanceUuid);
    expect(await new Vim(other).list('VirtualMachine', 'name')).to.deep.equal([]);
  });

  it('takes its datastores with it when it is stopped', async () => {
    const vcenter = await startDrsim();
    const there = existsSync(vcenter.folder);

    await vcenter[Symbol.asyncDispose]();

    expect([there, existsSync(vcenter.folder), isRunning(vcenter.pid)]).to.deep.equal([true, false, false]);
  });

  it('ends, with its datastores, when the process that has started it is killed', async () => {
    const source = `import { startDrsim } from ${JSON.stringify(resolve('test/support/drsim.ts'))};
      const { pid, folder } = await startDrsim();
      console.log(JSON.stringify({ pid, folder }));
      await new Promise((resolve) => setTimeout(resolve, 60_000));`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const { pid, folder } = JSON.parse(String(line)) as { readonly pid: number; readonly folder: string };
    expect(isRunning(pid)).to.equal(true);

    parent.kill('SIGKILL');

    // Nobody is told of a grandchild's end; the test's own time limits the wait.
    while (isRunning(pid) || existsSync(folder)) await new Promise((next) => setImmediate(next));
  });
});
