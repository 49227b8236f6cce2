// What the plugin leaves on a vCenter's objects, as far as the lab's control has to recognise it.
import { hash } from 'node:crypto';
import type { Vm } from './vms.ts';

export interface Tag {
  readonly owner: string;
  readonly operationId: string;
  readonly kind: 'cycle' | 'fork';
}

const parse = (text: string): Record<string, unknown> | undefined => {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
};

/** In a snapshot's description. */
export const tagOf = (description: string): Tag | undefined => {
  const tag = parse(description);
  if (!tag || tag['warmsite'] === undefined || (tag['kind'] !== 'cycle' && tag['kind'] !== 'fork')) return undefined;
  return { owner: String(tag['owner']), operationId: String(tag['operationId']), kind: tag['kind'] };
};

/** In a machine's configuration. */
export const replicaOf = ({ vm }: Vm): { readonly owner: string; readonly adopted: boolean } | undefined => {
  const replica = parse(vm.extraConfig['warmsite.replica'] ?? '');
  return replica && { owner: vm.extraConfig['warmsite.owner'] ?? '', adopted: replica['adopted'] === true };
};

/** In the configuration of a clone that runs in a replica's place: its copy of the replica's tag is empty then. */
export const cloneOf = ({ vm }: Vm): { readonly owner: string } | undefined =>
  parse(vm.extraConfig['warmsite.fork'] ?? '') && { owner: vm.extraConfig['warmsite.owner'] ?? '' };

/** The snapshot that a fork stands on. */
export const forkOf = ({ vm }: Vm): Vm['vm']['snapshots'][number] | undefined =>
  vm.snapshots.find((snapshot) => tagOf(snapshot.description)?.kind === 'fork');

const short = (text: string): string => hash('sha256', text, 'hex').slice(0, 8);

/** `ws-<owner>-<operation>`: a test network says by hashes whose it is. */
export const isTestNetworkOf = (name: string, owner: string): boolean => name.startsWith(`ws-${short(owner)}-`);
export const operationInName = (name: string): string | undefined => /^ws-[0-9a-f]{8}-([0-9a-f]{8})$/.exec(name)?.[1];
