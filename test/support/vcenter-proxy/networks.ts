// Port groups of hosts. The simulator knows a standard network at the first host that has it only; the model knows them all.
import { hostSystem } from '../../../adapters/lab/vsphere/objects.ts';
import { vcenterOf } from '../../../adapters/lab/vsphere/vms.ts';
import type { MoRef, VimArgs } from '../../../adapters/vsphere/port.ts';
import { encodeElement } from '../../../adapters/vsphere/vim25/encode.ts';
import type { MachineId } from '../../../core/contract/index.ts';
import { answerTo, type Element, toElement } from './elements.ts';
import { type Reply, type Rule, refusal, type Step } from './step.ts';
import type { Twin } from './twin.ts';

const placeNamed = (twin: Twin, name: string) => twin.endpoint.places.find((place) => place.kind === 'network' && place.name === name);

/** Hosts that have the network, as the value of its property `host`. False: it is not the model's. */
export const networksOf = (twin: Twin, on: MoRef): Element | false => {
  const place = twin.endpoint.places.find(({ kind, id }) => kind === 'network' && id === on.value);
  if (!place) return false;
  const hosts = vcenterOf(twin.endpoint)
    .portGroups.filter(({ name }) => name === place.name)
    .map(({ host }): MoRef => ({ type: 'HostSystem', value: host }));
  return toElement(encodeElement('val', 'anyType', Object.assign(hosts, { $element: 'ManagedObjectReference' })));
};

/** The network system as the model calls it. */
const inTheModel = ({ hosts, call }: Step): MoRef =>
  hostSystem('networkSystem', hosts.find(({ networkSystem }) => networkSystem.value === call.on.value)!.host);

const done = ({ call }: Step): Reply => ({ status: 200, xml: answerTo(call.method, '') });

export const addVirtualSwitch: Rule = async (step) => {
  const reply = await step.forward();
  if (reply.status !== 200) return reply;
  const outcome = await step.twin.run('AddVirtualSwitch', inTheModel(step), step.call.args as VimArgs<'AddVirtualSwitch'>);
  return 'fault' in outcome ? refusal(step.call, outcome) : reply;
};

/** The switch under a network at the host where the simulator has it stays there until the network is gone everywhere. */
export const removeVirtualSwitch: Rule = async (step) => {
  const { call, twin } = step;
  const args = call.args as VimArgs<'RemoveVirtualSwitch'>;
  const outcome = await twin.run('RemoveVirtualSwitch', inTheModel(step), args);
  if ('fault' in outcome) return refusal(call, outcome);
  const anchor = [...twin.anchors.values()].find(
    ({ networkSystem, vswitchName }) => networkSystem.value === call.on.value && vswitchName === args.vswitchName,
  );
  const reply = anchor ? done(step) : await step.agreed(await step.forward());
  if (anchor) anchor.switchGone = true;
  await dropUnused(step);
  return reply;
};

/** The simulator looks the name up in the whole datacenter, and so refuses it to every host but the first. */
export const addPortGroup: Rule = async (step) => {
  const { own, twin, call } = step;
  const args = call.args as VimArgs<'AddPortGroup'>;
  const { name, vswitchName } = args.portgrp;
  const known = placeNamed(twin, name);
  const reply = known ? done(step) : await step.forward();
  if (reply.status !== 200) return reply;
  const made = known ? undefined : (await own.list('Network', 'name')).find((row) => row['name'] === name);
  if (made) twin.anchors.set(name, { networkSystem: call.on, vswitchName, switchGone: false });
  const outcome = await twin.run('AddPortGroup', inTheModel(step), args, made ? { network: [made.obj.value] } : {});
  if (!('fault' in outcome)) return reply;
  await dropUnused(step);
  return refusal(call, outcome);
};

export const removePortGroup: Rule = async (step) => {
  const { twin, call } = step;
  const outcome = await twin.run('RemovePortGroup', inTheModel(step), call.args as VimArgs<'RemovePortGroup'>);
  if ('fault' in outcome) return refusal(call, outcome);
  await dropUnused(step);
  return done(step);
};

/** Networks that no host of the model has any more. */
const dropUnused = async ({ own, twin }: Step): Promise<void> => {
  for (const [pgName, { networkSystem, vswitchName, switchGone }] of [...twin.anchors]) {
    if (placeNamed(twin, pgName)) continue;
    twin.anchors.delete(pgName);
    await own.client.call('RemovePortGroup', networkSystem, { pgName });
    if (switchGone) await own.client.call('RemoveVirtualSwitch', networkSystem, { vswitchName });
  }
};

/** The simulator's hosts name a manager that is not there. */
export const reconfigureAutostart: Rule = async (step) => {
  const { spec } = step.call.args as VimArgs<'ReconfigureAutostart'>;
  for (const { key, startAction } of spec.powerInfo ?? []) {
    const machine = step.twin.estate.machines.get(key.value as MachineId);
    if (machine) machine.autostart = /^powerOn$/i.test(startAction);
  }
  return done(step);
};
