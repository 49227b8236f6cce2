// What is changed host by host: virtual switches, port groups, shares, and what starts by itself.
import type { PlaceId } from '../../../core/contract/index.ts';

import type { PlaceRecord } from '../records.ts';
import { isCard, networkOf } from './devices.ts';
import { machineAt } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import { type VimContext, VimFaultError, type VimHandlers } from './model.ts';
import { hostOf, placeOf, refOf } from './objects.ts';
import { isTestNetworkOf, operationInName, replicaOf, tagOf } from './tags.ts';
import { vcenterOf, vmsOf } from './vms.ts';

/** Of a share whose server does not say. */
const NAS_BYTES = 2 ** 40;

export const hostChanges: VimHandlers = {
  AddVirtualSwitch: (context, on, { vswitchName, spec }) => {
    const vcenter = vcenterOf(context.endpoint);
    const { id: host } = hostOf(context.endpoint, on);
    if (vcenter.switches.some((one) => one.host === host && one.name === vswitchName))
      throw vimFault('AlreadyExists', { name: vswitchName });
    const { nicDevice = [] } = (spec?.bridge ?? {}) as { readonly nicDevice?: readonly string[] };
    vcenter.switches.push({ host, name: vswitchName, uplinks: nicDevice });
    context.estate.revision++;
    return undefined;
  },

  RemoveVirtualSwitch: (context, on, { vswitchName }) => {
    const vcenter = vcenterOf(context.endpoint);
    const { id: host } = hostOf(context.endpoint, on);
    if (!vcenter.switches.some((one) => one.host === host && one.name === vswitchName)) throw vimFault('NotFound');
    const groups = vcenter.portGroups.filter((one) => one.host === host && one.vswitch === vswitchName);
    for (const { name } of groups) assertUnused(context, host, name);
    for (const { name } of groups) removeGroup(context, host, name);
    vcenter.switches = vcenter.switches.filter((one) => one.host !== host || one.name !== vswitchName);
    context.estate.revision++;
    return undefined;
  },

  AddPortGroup: (context, on, { portgrp }) => {
    const vcenter = vcenterOf(context.endpoint);
    const { id: host } = hostOf(context.endpoint, on);
    if (vcenter.portGroups.some((one) => one.host === host && one.name === portgrp.name))
      throw vimFault('AlreadyExists', { name: portgrp.name });
    const vswitch = vcenter.switches.find((one) => one.host === host && one.name === portgrp.vswitchName);
    if (!vswitch) throw vimFault('NotFound');
    vcenter.portGroups.push({ host, name: portgrp.name, vswitch: vswitch.name, vlanId: portgrp.vlanId });
    addNetwork(context, portgrp.name, vswitch.uplinks.length === 0);
    context.estate.revision++;
    return undefined;
  },

  RemovePortGroup: (context, on, { pgName }) => {
    const { id: host } = hostOf(context.endpoint, on);
    if (!vcenterOf(context.endpoint).portGroups.some((one) => one.host === host && one.name === pgName)) throw vimFault('NotFound');
    assertUnused(context, host, pgName);
    removeGroup(context, host, pgName);
    context.estate.revision++;
    return undefined;
  },

  CreateNasDatastore: (context, on, { spec }) => refOf(addShare(context, hostOf(context.endpoint, on).id, spec)),

  RemoveDatastore: (context, on, { datastore }) => {
    const { endpoint } = context;
    const place = placeOf(endpoint, datastore);
    const { id: host } = hostOf(endpoint, on);
    const user = Object.keys(vcenterOf(endpoint).files).find((path) => path.startsWith(`[${place.name}]`));
    if (user !== undefined && vmsOf(context).some(({ vm }) => vm.homePath.startsWith(`[${place.name}]`)))
      throw vimFault('ResourceInUse', { type: 'Datastore', name: place.name });
    if (!place.nas) throw vimFault('NotSupported');
    const hosts = place.nas.hosts.filter((one) => one !== host);
    endpoint.places = endpoint.places.flatMap((one) =>
      one !== place ? [one] : hosts.length > 0 ? [{ ...place, nas: { ...place.nas!, hosts } }] : [],
    );
    context.estate.revision++;
    return undefined;
  },

  ReconfigureAutostart: (context, on, { spec }) => {
    hostOf(context.endpoint, on);
    for (const { key, startAction } of spec.powerInfo ?? []) {
      const machine = machineAt(context, key);
      machine.autostart = startAction.toLowerCase() === 'poweron';
      context.estate.touch(machine);
    }
    return undefined;
  },
};

/** Cards of machines on this host that are on the network. */
const assertUnused = (context: VimContext, host: PlaceId, name: string): void => {
  const network = networkNamed(context, name);
  const user = vmsOf(context).find(
    (machine) => machine.host === host && machine.vm.devices.filter(isCard).some((card) => networkOf(card)?.value === network?.id),
  );
  if (!user) return;
  throw new VimFaultError('ResourceInUse', `The resource '${name}' is in use.`, { type: 'PortGroup', name });
};

const networkNamed = ({ endpoint }: VimContext, name: string): PlaceRecord | undefined =>
  endpoint.places.find((place) => place.kind === 'network' && place.name === name);

/** A network is one object in the datacenter however many hosts have a port group of its name. */
const addNetwork = (context: VimContext, name: string, cutOff: boolean): void => {
  if (networkNamed(context, name)) return;
  const { estate, endpoint } = context;
  const isolated = cutOff ? { isolated: { owner: ownerOf(context, name), operationId: operationInName(name) ?? '' } } : {};
  endpoint.places.push({ id: estate.nextId('network') as PlaceId, kind: 'network', name, ...isolated });
};

const removeGroup = (context: VimContext, host: PlaceId, name: string): void => {
  const vcenter = vcenterOf(context.endpoint);
  vcenter.portGroups = vcenter.portGroups.filter((one) => one.host !== host || one.name !== name);
  if (vcenter.portGroups.some((one) => one.name === name)) return;
  const network = networkNamed(context, name);
  context.endpoint.places = context.endpoint.places.filter((place) => place !== network);
};

/** Whose test network it is: the name holds a hash of the owner only. */
const ownerOf = (context: VimContext, name: string): string => {
  const owners = new Set([
    ...[...context.estate.snapshots.values()].map(({ owner }) => owner),
    ...vmsOf(context).flatMap((machine) =>
      [replicaOf(machine)?.owner ?? [], machine.vm.snapshots.flatMap(({ description }) => tagOf(description)?.owner ?? [])].flat(),
    ),
    /\((.+)\)$/.exec(context.session?.userAgent ?? '')?.[1] ?? '',
  ]);
  return [...owners].find((owner) => isTestNetworkOf(name, owner)) ?? '';
};

const addShare = (
  { estate, endpoint }: VimContext,
  host: PlaceId,
  spec: { readonly localPath: string; readonly remoteHost: string; readonly remotePath: string },
): PlaceRecord => {
  const known = endpoint.places.find((place) => place.kind === 'storage' && place.name === spec.localPath);
  const same = known?.nas?.remoteHost === spec.remoteHost && known.nas.remotePath === spec.remotePath;
  if (known && (!same || known.nas?.hosts.includes(host))) throw vimFault('DuplicateName', { name: spec.localPath, object: refOf(known) });
  const { remoteHost, remotePath } = spec;
  const id = known?.id ?? (estate.nextId('datastore') as PlaceId);
  const place: PlaceRecord = {
    id,
    kind: 'storage',
    name: spec.localPath,
    capacityBytes: NAS_BYTES,
    nas: { remoteHost, remotePath, hosts: [...(known?.nas?.hosts ?? []), host] },
  };
  endpoint.places = [...endpoint.places.filter((one) => one !== known), place];
  estate.revision++;
  return place;
};
