// Who has a virtual disk's file open. Locks are not kept: they follow from which machines run and what is mounted.
import { isHv } from './fabric.ts';
import { HRESULT, win32 } from './failures.ts';
import type { At, HostRecord, Hv, MountRecord } from './model.ts';
import { chainOf, childrenOf, keyOf } from './paths.ts';

export interface Use {
  readonly host: string;
  readonly exclusive: boolean;
  readonly machine?: Hv;
  readonly mount?: MountRecord;
}

/** A machine's process lives a moment longer than its power. */
export const isOpen = ({ estate }: At, machine: Hv): boolean =>
  machine.power === 'on' || (machine.hv.closedAtMs !== undefined && machine.hv.closedAtMs > estate.timeline.now());

/** By key of the file: the top of a chain alone, what lies under it together with other readers. */
export const usesOf = (at: At, except?: Hv): Map<string, Use> => {
  const found = new Map<string, Use>();
  const note = (key: string, use: Omit<Use, 'exclusive'>, readOnly: boolean) => {
    for (const [depth, one] of chainOf(at, key).entries()) {
      const exclusive = depth === 0 && !readOnly;
      if (exclusive || !found.has(one)) found.set(one, { ...use, exclusive });
    }
  };
  const hosts = new Map(at.hyperv.hosts.map((host) => [host.place, host.name]));
  for (const machine of at.estate.machines.values()) {
    if (machine.endpoint !== at.endpoint.name || !isHv(machine) || machine === except || !isOpen(at, machine)) continue;
    const host = hosts.get(machine.host!) ?? at.hyperv.hosts[0]!.name;
    for (const { path } of machine.hv.drives) note(keyOf(path), { host, machine }, false);
  }
  for (const { name, mounts } of at.hyperv.hosts) for (const mount of mounts) note(mount.file, { host: name, mount }, mount.readOnly);
  return found;
};

const violated = (path: string) => win32(HRESULT.sharingViolation, `Failed to open '${path}'`);

/** Throws ERROR_SHARING_VIOLATION where the file cannot be opened so. */
export const assertOpens = (at: At, key: string, { readOnly, by }: { readonly readOnly: boolean; readonly by?: Hv }): void => {
  const uses = usesOf(at, by);
  for (const [depth, one] of chainOf(at, key).entries()) {
    const use = uses.get(one);
    if (use && (use.exclusive || (depth === 0 && !readOnly))) throw violated(at.hyperv.files[one]!.path);
  }
};

/** Throws ERROR_SHARING_VIOLATION when anybody has it open in any way. */
export const assertClosed = (at: At, key: string, except?: Hv): void => {
  if (usesOf(at, except).has(key)) throw violated(at.hyperv.files[key]!.path);
};

/** For a start: every disk of the machine is there, alone, and nothing stands on it. */
export const assertOpensAll = (at: At, machine: Hv): void => {
  for (const { path } of machine.hv.drives) {
    const key = keyOf(path);
    if (!at.hyperv.files[key]) throw win32(HRESULT.fileNotFound, `'${machine.name}' failed to start: ${path}`);
    assertOpens(at, key, { readOnly: false, by: machine });
    // The host itself would start it, and what stands on the disk would be worth nothing from then on.
    if (childrenOf(at, key).length > 0) throw violated(path);
  }
};

export const mountOf = ({ mounts }: HostRecord, key: string): MountRecord | undefined => mounts.find(({ file }) => file === key);
