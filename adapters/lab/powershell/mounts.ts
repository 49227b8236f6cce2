// Mount-VHD, Dismount-VHD and Set-Disk: virtual disks as disks of the host.
import { HRESULT, invalidState, PsFailure, win32 } from './failures.ts';
import { each, type Handlers, nothing, placeOf } from './handlers.ts';
import type { At, HostRecord, MountRecord, PsContext } from './model.ts';
import { fileAt, keyOf } from './paths.ts';
import { assertOpens, mountOf, usesOf } from './usage.ts';
import { vhdObject } from './vhd-object.ts';

export const mounts: Handlers = {
  'Mount-VHD': (context, args) =>
    each(context, args.texts('Path'), (path) => {
      const key = mount(context, path, args.flag('ReadOnly'));
      if (!args.flag('Passthru')) return nothing;
      return [
        vhdObject({ at: placeOf(context), host: context.host, key, file: context.hyperv.files[key]!, use: usesOf(context).get(key) }),
      ];
    }),

  'Dismount-VHD': (context, args) =>
    each(context, args.texts('Path'), (path) => {
      fileAt(context, path);
      const one = mountOf(context.host, keyOf(path));
      if (!one) throw invalidState(`'${path}' is not mounted on this host.`);
      dismount(context, context.host, one);
      return nothing;
    }),

  'Set-Disk': (context, args) => {
    const number = args.number('Number');
    const one = context.host.mounts.find((other) => other.number === number);
    if (!one) {
      const message = `No MSFT_Disk objects found with property 'Number' equal to '${number}'.`;
      throw new PsFailure({ category: 'ObjectNotFound', id: 'CmdletizationQuery_NotFound_Number', message });
    }
    one.offline = args.maybeFlag('IsOffline') ?? one.offline;
    context.estate.revision++;
    return nothing;
  },
};

const mount = (context: PsContext, path: string, readOnly: boolean): string => {
  fileAt(context, path);
  const key = keyOf(path);
  const { host } = context;
  if (mountOf(host, key)) throw win32(HRESULT.sharingViolation, `Failed to mount '${path}'`);
  assertOpens(context, key, { readOnly });
  const taken = new Set(host.mounts.map(({ number }) => number));
  let number = 1;
  // A number that was given back is given again: whoever still writes to the disk by its number writes to another one.
  while (taken.has(number)) number++;
  host.mounts.push({ number, file: key, readOnly, offline: false });
  context.estate.revision++;
  return key;
};

/** What was written is on the disk then. */
const dismount = ({ estate, hyperv }: At, host: HostRecord, one: MountRecord): void => {
  const layer = hyperv.files[one.file]?.layer;
  if (layer !== undefined) {
    estate.layer(layer).volume.sync();
    estate.caches.get(layer as never)?.flush();
    estate.caches.delete(layer as never);
  }
  host.mounts = host.mounts.filter((other) => other !== one);
  estate.revision++;
};

/** The host loses its power: nothing is mounted when it comes back, and what was not flushed is lost in part. */
export const loseMounts = ({ estate, hyperv }: At, host: HostRecord): void => {
  for (const { file } of host.mounts) {
    const layer = hyperv.files[file]?.layer;
    if (layer === undefined) continue;
    estate.caches.get(layer as never)?.crash(estate.layer(layer).volume, estate.random);
    estate.caches.delete(layer as never);
  }
  if (host.mounts.length === 0) return;
  host.mounts = [];
  estate.revision++;
};
