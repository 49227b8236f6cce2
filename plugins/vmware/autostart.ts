import { isFault, type MoRef } from '../../adapters/vsphere/port.ts';
import type { Call, MachineId } from '../../core/contract/index.ts';
import { type Vcenter, vmRef } from './vcenter.ts';

/** A machine that its host would start by itself after a power cut. Hosts of a cluster with HA have no such list, and simulators may not either. */
export const noAutostart = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const { 'runtime.host': host } = await vcenter.props(vmRef(id), ['runtime.host'], call);
  if (!host) return;
  const { 'configManager.autoStartManager': manager } = await vcenter.props(host as MoRef, ['configManager.autoStartManager'], call);
  if (!manager) return;
  const entry = {
    key: vmRef(id),
    startOrder: -1,
    startDelay: -1,
    waitForHeartbeat: 'systemDefault' as const,
    startAction: 'none',
    stopDelay: -1,
    stopAction: 'systemDefault',
  };
  try {
    await vcenter.call('ReconfigureAutostart', manager as MoRef, { spec: { powerInfo: [entry] } }, call);
  } catch (error) {
    if (!isFault(error, 'ManagedObjectNotFound', 'NotSupported', 'MethodNotFound')) throw error;
  }
};
