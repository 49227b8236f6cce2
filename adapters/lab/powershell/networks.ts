// Cmdlets about virtual switches and network cards.
import type { PlaceId } from '../../../core/contract/index.ts';
import type { Bound } from './arguments.ts';
import { member, object, type PsObject, type Shape } from './cells.ts';
import { hvMachinesOf, specFromHv } from './equipment.ts';
import { guidFrom, hostOf } from './fabric.ts';
import { invalidArgument, invalidState, unknownId } from './failures.ts';
import { each, eachMachine, type Handlers, nothing, placeOf, stillThere } from './handlers.ts';
import { testNetworkIn } from './marks.ts';
import type { AdapterRecord, At, Hv, PsContext, SwitchRecord } from './model.ts';
import { isOpen } from './usage.ts';
import { ADAPTER, adapterObject, type OfAdapter, vlanObject } from './vm-object.ts';

interface OfSwitch {
  readonly at: At;
  readonly of: SwitchRecord;
}

const SWITCH: Shape<OfSwitch> = {
  type: 'Microsoft.HyperV.PowerShell.VMSwitch',
  text: ({ of }) => `VMSwitch (Name = '${of.name}') [Id = '${of.id}']`,
  properties: {
    Id: ({ of }) => of.id,
    Name: ({ of }) => of.name,
    SwitchType: ({ of }) => member('VMSwitchType', of.type),
    Notes: ({ of }) => of.notes,
    ComputerName: ({ of }) => of.host,
    AllowManagementOS: ({ of }) => of.type !== 'Private',
    IsDeleted: ({ at, of }) => !at.hyperv.switches.includes(of),
  },
};

export const networks: Handlers = {
  'Get-VMSwitch': (context, args) => {
    const ours = context.hyperv.switches.filter(({ host }) => host === context.host.name);
    if (!args.has('Id')) return ours.map((of) => switchObject(context, of));
    return each(context, args.texts('Id'), (id) => {
      const of = ours.find((one) => one.id === id);
      if (!of) throw unknownId('virtual switch', id);
      return [switchObject(context, of)];
    });
  },

  'New-VMSwitch': (context, args) => {
    const type = args.maybeText('SwitchType') as SwitchRecord['type'] | undefined;
    if (type === undefined) throw invalidArgument('An external switch needs a network adapter of the host.');
    const name = args.text('Name');
    if (name === '') throw invalidArgument('A switch needs a name.');
    const notes = args.maybeText('Notes') ?? '';
    const { estate, endpoint, hyperv, host } = context;
    const place = estate.nextId('network') as PlaceId;
    // Nothing on it reaches production, whoever made it.
    endpoint.places.push({ id: place, kind: 'network', name, isolated: testNetworkIn(notes) ?? { owner: '', operationId: '' } });
    const of: SwitchRecord = { id: estate.random.uuid(), host: host.name, name, type, notes, place };
    hyperv.switches.push(of);
    estate.revision++;
    return [switchObject(context, of)];
  },

  'Remove-VMSwitch': (context, args) =>
    each(context, args.records('VMSwitch', SWITCH), ({ of }) => {
      removeSwitch(context, of);
      return nothing;
    }),

  'Get-VMNetworkAdapter': (context, args) =>
    eachMachine(context, args, (machine) =>
      machine.hv.adapters.map((adapter) => adapterObject({ at: placeOf(context), machine, adapter })),
    ),

  'Add-VMNetworkAdapter': (context, args) =>
    eachMachine(context, args, (machine) => {
      if (machine.hv.generation === 1 && isOpen(context, machine))
        throw invalidState('A network adapter cannot be added to a generation 1 virtual machine that is running.');
      const adapter = newAdapter(context, machine, args);
      machine.hv.adapters = [...machine.hv.adapters, adapter];
      specFromHv(context, machine);
      return args.flag('Passthru') ? [adapterObject({ at: placeOf(context), machine, adapter })] : nothing;
    }),

  'Remove-VMNetworkAdapter': (context, args) =>
    eachAdapter(context, args, ({ machine, adapter }) => {
      if (machine.hv.generation === 1 && isOpen(context, machine))
        throw invalidState('A network adapter of a generation 1 virtual machine cannot be removed while it is running.');
      machine.hv.adapters = machine.hv.adapters.filter((one) => one !== adapter);
      specFromHv(context, machine);
    }),

  'Connect-VMNetworkAdapter': (context, args) => {
    const { of } = args.record('VMSwitch', SWITCH);
    if (!context.hyperv.switches.includes(of) || of.host !== context.host.name) throw unknownId('virtual switch', of.id);
    return eachAdapter(context, args, (one) => change(context, one, { switchName: of.name }));
  },

  'Disconnect-VMNetworkAdapter': (context, args) =>
    eachAdapter(context, args, (one) => {
      const { switchName: _, ...rest } = one.adapter;
      replace(context, one, rest);
    }),

  'Set-VMNetworkAdapter': (context, args) =>
    eachAdapter(context, args, (one) => {
      const testSwitch = args.maybeText('TestReplicaSwitchName');
      if (testSwitch !== undefined) change(context, one, { testSwitch });
    }),

  'Get-VMNetworkAdapterVlan': (context, args) =>
    each(context, args.records('VMNetworkAdapter', ADAPTER), (of) => [vlanObject({ at: placeOf(context), ...current(context, of) })]),

  'Set-VMNetworkAdapterVlan': (context, args) => {
    const vlan = args.maybeNumber('VlanId');
    if (args.flag('Access') === args.flag('Untagged')) throw invalidArgument('Exactly one mode of operation must be named.');
    if (args.flag('Access') && (vlan === undefined || vlan < 1 || vlan > 4094)) throw invalidArgument('A VLAN is a number from 1 to 4094.');
    return eachAdapter(context, args, (one) => {
      const { vlan: _, ...rest } = one.adapter;
      replace(context, one, args.flag('Access') ? { ...rest, vlan: vlan! } : rest);
    });
  },

  'Set-VMNetworkAdapterFailoverConfiguration': (context, args) =>
    eachAdapter(context, args, (one) => {
      const given = [...args.values()]
        .filter(([name]) => name !== 'VMNetworkAdapter')
        .map(([name, value]) => [name, String(value)] as const);
      change(context, one, { failover: { ...one.adapter.failover, ...Object.fromEntries(given) } });
    }),
};

const switchObject = (context: At, of: SwitchRecord): PsObject => object(SWITCH, { at: placeOf(context), of });

const removeSwitch = (context: PsContext, of: SwitchRecord): void => {
  const { estate, endpoint, hyperv, host } = context;
  if (!hyperv.switches.includes(of)) throw unknownId('virtual switch', of.id);
  const user = hvMachinesOf(context).find(
    (machine) =>
      machine.power === 'on' && hostOf(context, machine) === host && machine.hv.adapters.some(({ switchName }) => switchName === of.name),
  );
  if (user) throw invalidState(`The switch '${of.name}' is used by the running virtual machine '${user.name}'.`);
  hyperv.switches = hyperv.switches.filter((one) => one !== of);
  // An adapter keeps the name of what it was connected to, as the host shows it.
  if (of.type !== 'External') endpoint.places = endpoint.places.filter(({ id }) => id !== of.place);
  for (const machine of hvMachinesOf(context))
    if (machine.spec.nics.some(({ network }) => network === of.place)) specFromHv(context, machine);
  estate.revision++;
};

const newAdapter = (context: PsContext, machine: Hv, args: Bound): AdapterRecord => {
  const mac = args.maybeText('StaticMacAddress')?.replaceAll(/[-:.]/g, '').toUpperCase();
  if (mac !== undefined && !/^[0-9A-F]{12}$/.test(mac)) throw invalidArgument(`'${mac}' is no MAC address.`);
  return {
    id: guidFrom(machine.id, 'adapter', context.estate.nextId('adapter')),
    name: args.maybeText('Name') ?? 'Network Adapter',
    mac: mac ?? '000000000000',
    dynamicMac: mac === undefined,
  };
};

interface Current {
  readonly machine: Hv;
  readonly adapter: AdapterRecord;
}

/** As it is now: an object is what it was when its step ran. */
const current = (context: PsContext, of: OfAdapter): Current => {
  const machine = stillThere(context, of);
  const adapter = machine.hv.adapters.find(({ id }) => id === of.adapter.id);
  if (!adapter) throw unknownId('network adapter', of.adapter.id);
  return { machine, adapter };
};

const eachAdapter = (context: PsContext, args: Bound, work: (one: Current) => void): Promise<readonly PsObject[]> =>
  each(context, args.records('VMNetworkAdapter', ADAPTER), (of) => {
    work(current(context, of));
    return nothing;
  });

const change = (context: PsContext, one: Current, more: Partial<AdapterRecord>): void => replace(context, one, { ...one.adapter, ...more });

const replace = (context: PsContext, { machine, adapter }: Current, next: AdapterRecord): void => {
  machine.hv.adapters = machine.hv.adapters.map((one) => (one === adapter ? next : one));
  specFromHv(context, machine);
  context.estate.checkTwoLive();
};
