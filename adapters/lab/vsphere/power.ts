// Power, and addresses that a guest takes at its next start.
import type { CustomizationFixedIp, CustomizationSpec } from '../../vsphere/port.ts';
import { setGuestAddresses } from '../guest.ts';
import { switchOn } from '../operations/inventory.ts';
import { isCard } from './devices.ts';
import { machineAt } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import { assertOpensAll } from './locks.ts';
import { type VimContext, VimFaultError, type VimHandlers } from './model.ts';
import { placeOf } from './objects.ts';
import { stun } from './tracking.ts';
import { invalidPowerState, powerStateOf, startVmTask, type Vm } from './vms.ts';

const POWER_MS = 30;

export const power: VimHandlers = {
  PowerOnVM_Task: (context, on, { host }) => {
    const machine = machineAt(context, on);
    return startVmTask(context, machine, {
      description: 'VirtualMachine.powerOn',
      durationMs: POWER_MS,
      run: () => {
        if (machine.power === 'on') throw invalidPowerState('poweredOn', 'poweredOn');
        machineAt(context, on);
        assertOpensAll(context, machine);
        if (host) machine.host = placeOf(context.endpoint, host).id;
        customize(context, machine);
        switchOn(context.estate, machine);
        stun(context.estate, machine);
        machineAt(context, on);
      },
    });
  },

  PowerOffVM_Task: (context, on) => {
    const machine = machineAt(context, on);
    return startVmTask(context, machine, {
      description: 'VirtualMachine.powerOff',
      durationMs: POWER_MS,
      run: () => {
        if (machine.power === 'off') throw invalidPowerState('poweredOff', 'poweredOff');
        context.estate.powerOff(machine);
        machineAt(context, on);
      },
    });
  },

  /** Answers at once: whether the guest does it is seen by the power state. */
  ShutdownGuest: (context, on) => {
    const machine = machineAt(context, on);
    const { estate } = context;
    if (machine.power === 'off') throw invalidPowerState('poweredOff', 'poweredOff');
    if (!estate.guests.has(machine.id)) throw vimFault('ToolsUnavailable');
    if (machine.refusesShutdown) return undefined;
    const boot = machine.bootedAtMs;
    estate.timeline.schedule(machine.shutdownDelayMs, () => {
      if (machine.bootedAtMs === boot && estate.guests.has(machine.id)) estate.shutDown(machine);
    });
    return undefined;
  },

  CheckCustomizationSpec: (context, on, { spec }) => {
    assertCustomizable(context, machineAt(context, on), spec);
    return undefined;
  },

  CustomizeVM_Task: (context, on, { spec }) => {
    const machine = machineAt(context, on);
    return startVmTask(context, machine, {
      description: 'VirtualMachine.customize',
      durationMs: POWER_MS,
      run: () => {
        if (machine.power === 'on') throw invalidPowerState(powerStateOf(machine), 'poweredOff');
        assertCustomizable(context, machine, spec);
        machine.vm.customization = { addresses: addressesIn(spec) };
        machine.vm.changeVersion++;
        context.estate.touch(machine);
      },
    });
  },
};

const IDENTITIES = { linux: 'CustomizationLinuxPrep', windows: 'CustomizationSysprep', other: '' } as const;

const assertCustomizable = ({ estate }: VimContext, machine: Vm, spec: CustomizationSpec): void => {
  const { family } = machine.spec.guest;
  const [boot] = estate.guestDisks(machine);
  const ours = boot !== undefined && estate.layers.has(machine.volumes[machine.spec.disks[0]!.id]!);
  if (spec.identity.$type !== IDENTITIES[family] || !ours) {
    const guest = machine.vm.guestId;
    throw new VimFaultError(
      'UncustomizableGuest',
      `Customization of the guest operating system '${guest}' is not supported in this configuration.`,
      { uncustomizableGuestOS: guest },
    );
  }
  const cards = machine.vm.devices.filter(isCard).length;
  const asked = spec.nicSettingMap?.length ?? 0;
  if (asked === cards) return;
  throw new VimFaultError(
    'NicSettingMismatch',
    `The number of network interfaces in the specification (${asked}) does not match those of the virtual machine (${cards}).`,
    {
      numberOfNicsInSpec: asked,
      numberOfNicsInVM: cards,
    },
  );
};

const addressesIn = (spec: CustomizationSpec): string[] =>
  (spec.nicSettingMap ?? []).flatMap(({ adapter }) => {
    const v6 = adapter.ipV6Spec?.ip ?? [];
    return [adapter.ip, ...v6].flatMap((one) => {
      const { ipAddress } = one as Partial<CustomizationFixedIp>;
      return ipAddress === undefined ? [] : [ipAddress];
    });
  });

const customize = ({ estate }: VimContext, machine: Vm): void => {
  const { customization } = machine.vm;
  const [boot] = estate.guestDisks(machine);
  if (customization && boot) setGuestAddresses(boot, customization.addresses);
  delete machine.vm.customization;
};
