// Whether the endpoint can do its work: each host, its role, its agent.
import { type Call, DATA_PATH, type Finding, isDrError } from '../../core/contract/index.ts';
import type { Disks } from './disks.ts';
import type { Fabric } from './fabric.ts';
import { cloudSteps } from './places.ts';
import { maybeNumber, text } from './rows.ts';

const finding = (code: string, level: Finding['level'], message: string, hint = 'nothing to do'): Finding => ({
  code,
  level,
  message,
  hint,
});

export const check = async (fabric: Fabric, disks: Disks, call: Call): Promise<readonly Finding[]> => {
  const hosts = await fabric.hosts(call);
  const manager = fabric.kind === 'vmm' ? [await managerFinding(fabric, call)] : [];
  const found = await Promise.all(hosts.map((host) => checkHost({ fabric, disks }, host, call)));
  const down = fabric.silent.map((host) =>
    finding(
      'HOST_SILENT',
      'warning',
      `${host} is down: nobody sees its machines`,
      'bring the host back, or evict it when it is gone for good',
    ),
  );
  const all = [...manager, ...found.flat(), ...down];
  const agents = all.filter(({ code }) => code === 'AGENT').length;
  return [...all, agents === 0 ? NO_PATH : PATH];
};

const PATH = finding(
  DATA_PATH,
  'info',
  'disks are read and written by the agent on the Hyper-V host, over virtual disks that the host attaches',
  'nothing to do: the agent must run on every host that may have a protected machine',
);
const NO_PATH = finding(
  DATA_PATH,
  'warning',
  'no agent answers on any host: disks can be neither read nor written, native replication only is possible',
  'install the agent on the hosts (docs/operator/agent.md)',
);

const managerFinding = async (fabric: Fabric, call: Call): Promise<Finding> => {
  try {
    const clouds = (await fabric.rows(fabric.center, cloudSteps, call)).map((row) => text(row, 'Name')).sort();
    return finding('MANAGER', 'info', `${fabric.center}: VMM, ${clouds.length === 0 ? 'no cloud' : `clouds ${clouds.join(', ')}`}`);
  } catch (error) {
    if (!isDrError(error) || call.signal.aborted) throw error;
    return finding('MANAGER_SILENT', 'warning', `VMM on ${fabric.center} does not name its clouds: ${error.message}`, error.hint);
  }
};

const checkHost = async (
  { fabric, disks }: { readonly fabric: Fabric; readonly disks: Disks },
  host: string,
  call: Call,
): Promise<Finding[]> => {
  try {
    const select = ['Name', 'LogicalProcessorCount', 'MemoryCapacity'];
    const [row] = await fabric.rows(host, [{ cmdlet: 'Get-VMHost', params: {}, select }], call);
    const gib = Math.round((maybeNumber(row ?? {}, 'MemoryCapacity') ?? 0) / 2 ** 30);
    const said = `${text(row ?? {}, 'Name') || host}: Hyper-V, ${maybeNumber(row ?? {}, 'LogicalProcessorCount') ?? '?'} processors, ${gib} GiB`;
    return [finding('HOST', 'info', said), await agentFinding(disks, host, call), ...(await clusterFinding(fabric, host, call))];
  } catch (error) {
    if (!isDrError(error) || call.signal.aborted) throw error;
    return [finding('HOST_SILENT', 'warning', `${host} cannot be used: ${error.message}`, error.hint)];
  }
};

const agentFinding = async (disks: Disks, host: string, call: Call): Promise<Finding> => {
  try {
    const { info } = await disks.agent(host, call);
    return finding('AGENT', 'info', `${host}: agent ${info.version}`);
  } catch (error) {
    if (!isDrError(error) || call.signal.aborted) throw error;
    return finding('AGENT_SILENT', 'warning', `the agent on ${host} does not answer: ${error.message}`, error.hint);
  }
};

/** A host that was added alone and is of a cluster: its machines would be lost from view with the next move. */
const clusterFinding = async (fabric: Fabric, host: string, call: Call): Promise<Finding[]> => {
  if (fabric.kind !== 'host') return [];
  try {
    const [row] = await fabric.rows(host, [{ cmdlet: 'Get-Cluster', params: {}, select: ['Name'] }], call);
    if (!row) return [];
    const message = `${host} is a node of the cluster ${text(row, 'Name')}: machines that move to another node are lost from view`;
    return [finding('IS_CLUSTER_NODE', 'warning', message, 'add the cluster as the endpoint instead (kind cluster)')];
  } catch (error) {
    if (!isDrError(error) || call.signal.aborted) throw error;
    return [];
  }
};
