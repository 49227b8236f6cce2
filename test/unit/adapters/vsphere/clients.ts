import { describe } from 'mocha';
import { createOpenVsphere, type VsphereClientName } from '../../../../adapters/vsphere/open.ts';
import type { MoRef, OpenVsphere, VsphereClient } from '../../../../adapters/vsphere/port.ts';
import type { HostileServer } from './hostile-server.ts';

export const SERVICE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
export const MACHINE: MoRef = { type: 'VirtualMachine', value: 'vm-101' };

export const open = (name: VsphereClientName): OpenVsphere => createOpenVsphere()(name);

/** The same tests for both clients of the port. */
export const eachClient = (title: string, tests: (openClient: OpenVsphere, name: VsphereClientName) => void): void => {
  for (const name of ['vim25', 'node-vsphere-soap'] as const) describe(`${title}, by ${name}`, () => tests(open(name), name));
};

/** One log-in for a block of tests. */
export const shared = (
  openClient: OpenVsphere,
  start: () => Promise<HostileServer>,
): { readonly server: HostileServer; readonly client: VsphereClient } => {
  const there: { server?: HostileServer; client?: VsphereClient } = {};
  before(async () => {
    there.server = await start();
    there.client = await openClient(there.server.config);
  });
  after(async () => {
    await there.client?.[Symbol.asyncDispose]();
    await there.server?.[Symbol.asyncDispose]();
  });
  return {
    get server() {
      return there.server!;
    },
    get client() {
      return there.client!;
    },
  };
};

export const rejection = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => {
      throw new Error('it was expected to reject');
    },
    (error: unknown) => error,
  );
