// Start-VM, Stop-VM and what the guest's integration services say.
import { object, type Shape } from './cells.ts';
import { specFromHv } from './equipment.ts';
import { idOnHosts } from './fabric.ts';
import { invalidState, PsFailure } from './failures.ts';
import { eachMachine, type Handlers, nothing, placeOf } from './handlers.ts';
import { mergeAnew, needsMerging } from './merging.ts';
import type { AdapterRecord, Hv, PsContext } from './model.ts';
import { assertStarts } from './replica/refusals.ts';
import { assertOpensAll } from './usage.ts';
import type { OfMachine } from './vm-object.ts';

/** Stop-VM may be back before the process of the machine has closed its files. */
const CLOSE_MS = 150;
/** What a guest gets before -Force pulls the plug (Stop-VM, Windows Server 2022). */
const FORCE_MS = 5 * 60_000;

export const power: Handlers = {
  'Start-VM': (context, args) =>
    eachMachine(context, args, (machine) => {
      if (machine.power === 'on') {
        context.warn('The virtual machine is already in the specified state.');
        return nothing;
      }
      assertStarts(machine);
      assertOpensAll(context, machine);
      delete machine.hv.closedAtMs;
      context.estate.thaw(machine);
      giveAddresses(context, machine);
      context.estate.powerOn(machine);
      return nothing;
    }),

  'Stop-VM': (context, args) =>
    eachMachine(context, args, async (machine) => {
      if (machine.power === 'off') {
        context.warn('The virtual machine is already in the specified state.');
        return nothing;
      }
      if (args.flag('TurnOff')) turnOff(context, machine);
      else await shutDown(context, machine, args.flag('Force'));
      return nothing;
    }),

  'Get-VMIntegrationService': (context, args) =>
    eachMachine(context, args, (machine) => SERVICES.map((name) => object(SERVICE, { at: placeOf(context), machine, name }, machine.id))),
};

/** A dynamic address is given at the first start. */
const giveAddresses = (context: PsContext, machine: Hv): void => {
  const { estate } = context;
  if (!machine.hv.adapters.some(isBlank)) return;
  const digits = () => estate.random.below(256).toString(16).padStart(2, '0').toUpperCase();
  machine.hv.adapters = machine.hv.adapters.map((one) => (isBlank(one) ? { ...one, mac: `00155D${digits()}${digits()}${digits()}` } : one));
  specFromHv(context, machine);
};

const isBlank = ({ dynamicMac, mac }: AdapterRecord): boolean => dynamicMac && /^0+$/.test(mac);

const turnOff = (context: PsContext, machine: Hv): void => {
  context.estate.powerOff(machine);
  closed(context, machine);
};

const closed = (context: PsContext, machine: Hv): void => {
  machine.hv.closedAtMs = context.estate.timeline.now() + CLOSE_MS;
  if (needsMerging(context, machine)) mergeAnew(context, machine);
};

const shutDown = async (context: PsContext, machine: Hv, force: boolean): Promise<void> => {
  const { estate, signal } = context;
  const boot = machine.bootedAtMs;
  const answers = estate.guests.has(machine.id);
  if (!answers || machine.refusesShutdown) {
    if (!force) {
      throw new PsFailure({
        category: 'InvalidOperation',
        id: 'OperationFailed',
        message: `Failed to shut down virtual machine '${machine.name}': ${answers ? 'the guest refuses' : 'the device is not ready for use'}.`,
      });
    }
    if (answers) await estate.timeline.sleep(FORCE_MS, signal);
    if (machine.power === 'on' && machine.bootedAtMs === boot) turnOff(context, machine);
    return;
  }
  askGuest(context, machine);
  await estate.timeline.sleep(machine.shutdownDelayMs, signal);
  if (machine.power === 'on') throw invalidState(`The state of '${machine.name}' has changed meanwhile.`);
};

/** Once it is asked, it goes down, whether the session that has asked is still there or not. */
const askGuest = (context: PsContext, machine: Hv): void => {
  const { estate } = context;
  const boot = machine.bootedAtMs;
  const goDown = () => {
    if (machine.bootedAtMs !== boot || !estate.guests.has(machine.id)) return;
    estate.shutDown(machine);
    closed(context, machine);
  };
  estate.timeline.schedule(machine.shutdownDelayMs, goDown, true);
};

const SERVICES = ['Guest Service Interface', 'Heartbeat', 'Key-Value Pair Exchange', 'Shutdown', 'Time Synchronization', 'VSS'] as const;

const SERVICE: Shape<OfMachine & { readonly name: (typeof SERVICES)[number] }> = {
  type: 'Microsoft.HyperV.PowerShell.VMIntegrationComponent',
  text: ({ name }) => name,
  properties: {
    VMId: ({ machine }) => idOnHosts(machine),
    VMName: ({ machine }) => machine.name,
    Name: ({ name }) => name,
    Enabled: ({ name }) => name !== 'Guest Service Interface',
    PrimaryOperationalStatus: ({ at, machine }) => (at.estate.guests.has(machine.id) ? 'Ok' : 'NoContact'),
    PrimaryStatusDescription: ({ at, machine }) => (at.estate.guests.has(machine.id) ? 'OK' : 'No Contact'),
  },
};
