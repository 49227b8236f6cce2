import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { methodPrivilege } from '../../../../adapters/vsphere/vim25/schema.ts';
import { PRIVILEGES, privilegesFor } from '../../../../plugins/vmware/privileges.ts';

const FOLDER = join(import.meta.dirname, '..', '..', '..', '..', 'plugins', 'vmware');

/** What the server asks for depends on the arguments: the vendor's table has no one privilege for these. */
const BY_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  ReconfigVM_Task: [
    'VirtualMachine.Config.AddExistingDisk',
    'VirtualMachine.Config.AddNewDisk',
    'VirtualMachine.Config.AddRemoveDevice',
    'VirtualMachine.Config.AdvancedConfig',
    'VirtualMachine.Config.ChangeTracking',
    'VirtualMachine.Config.CPUCount',
    'VirtualMachine.Config.DiskExtend',
    'VirtualMachine.Config.EditDevice',
    'VirtualMachine.Config.Memory',
    'VirtualMachine.Config.RemoveDisk',
    'VirtualMachine.Config.Settings',
    'VirtualMachine.Interact.DeviceConnection',
    'Network.Assign',
  ],
  Rename_Task: ['VirtualMachine.Config.Rename'],
  CloneVM_Task: ['VirtualMachine.Provisioning.Clone', 'VirtualMachine.Inventory.CreateFromExisting', 'Datastore.AllocateSpace'],
  Destroy_Task: ['VirtualMachine.Inventory.Delete'],
};

/** Every method that the plugin names in its source. */
const methodsOf = (folder: string): string[] => {
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  const named = sources.flatMap((path) => [...readFileSync(join(folder, path), 'utf8').matchAll(/\.(?:call|task)\(\s*'(\w+)'/g)]);
  return [...new Set(named.map(([, method = '']) => method))];
};

const needsOf = (method: string): readonly string[] => {
  const one = methodPrivilege(method);
  return one === undefined ? (BY_ARGUMENTS[method] ?? [`(what ${method} needs is not known here)`]) : [one];
};

describe('the privileges that the vmware plugin asks for', () => {
  it('hold those of every method that it calls', () => {
    const methods = methodsOf(FOLDER);
    const known = new Set(['System.Anonymous', ...PRIVILEGES.map(({ id }) => id)]);

    const missing = methods.flatMap((method) => needsOf(method).filter((id) => !known.has(id)));

    expect(methods).to.include('QueryChangedDiskAreas').and.to.include('ReconfigVM_Task').and.to.include('AddVirtualSwitch');
    expect(missing).to.deep.equal([]);
  });

  it('include, to protect and to recover, those to look', () => {
    expect(privilegesFor('protect')).to.include.members(privilegesFor('assess'));
    expect(privilegesFor('recover')).to.include.members(privilegesFor('assess'));
  });

  it('are each listed once', () => {
    const ids = PRIVILEGES.map(({ id }) => id);

    expect(ids).to.deep.equal([...new Set(ids)]);
  });
});
