// Ways to break the lab, as a person names them.
import { type FaultAct, LIES } from '../../adapters/lab/model.ts';
import type { EstatePort } from '../../adapters/lab/port.ts';
import { DrError, ERRORS, type ErrorCode, type MachineId } from '../../core/contract/index.ts';
import { usage } from '../cli.ts';
import { numberOption, type OptionSpec, type Options, textOption } from '../command.ts';

export interface Break {
  readonly name: string;
  readonly args: string;
  readonly about: string;
  readonly example: string;
  readonly options?: readonly OptionSpec[];
  /** Answers what was done, in words. */
  run(lab: EstatePort, subject: string, options: Options): Promise<string>;
}

/** By name or id; NOT_FOUND, or USAGE when several that run have the name, or none of several does. */
export const findMachine = async (lab: EstatePort, name: string): Promise<MachineId> => {
  const { machines } = await lab.call('lab.status', {});
  const named = machines.filter((machine) => machine.machine === name || machine.name === name);
  // A replica has its source's name; what is done to a machine is meant for the one that runs.
  const running = named.filter(({ power }) => power === 'on');
  const matching = running.length > 0 ? running : named;
  const [only, second] = matching;
  if (only && !second) return only.machine;
  if (only)
    throw usage(
      `${matching.length} machines of the lab are called ${JSON.stringify(name)}`,
      `name one by its id: ${matching.map((machine) => machine.machine).join(', ')}`,
    );
  throw new DrError('NOT_FOUND', `the lab has no machine ${JSON.stringify(name)}`, {
    context: { kind: 'machine', name },
    hint: 'run lab status to see the machines',
  });
};

const parseAct = (text: string): FaultAct => {
  const [kind = '', value = ''] = text.split('=', 2);
  if (kind === 'error' && value in ERRORS) return { error: value as ErrorCode };
  if (kind === 'delay' && Number(value) > 0) return { delayMs: Number(value) };
  if (kind === 'cut' && (value === 'before' || value === 'after')) return { cut: value };
  if (kind === 'crash' && (value === 'before' || value === 'after')) return { crash: value };
  if (kind === 'vim' && /^\w+$/.test(value)) return { vimFault: value };
  if (kind === 'stall' && value === '') return { stall: true };
  const lie = LIES.find((candidate) => candidate === value);
  if (kind === 'lie' && lie) return { lie };
  throw usage(
    `there is no fault ${JSON.stringify(text)}`,
    `write error=CODE, vim=FAULT (a vCenter's own), delay=MS, stall, cut=before|after, crash=before|after or lie=${LIES.join('|')}`,
  );
};

export const BREAKS: readonly Break[] = [
  {
    name: 'burn',
    args: '<site>',
    about: 'Burn a site: all its machines lose power, none of its endpoints answers',
    example: 'warmsite lab break burn site-a',
    run: async (lab, site) => {
      await lab.call('lab.burnSite', { site });
      return `${site} has burned`;
    },
  },
  {
    name: 'restore',
    args: '<site>',
    about: 'Bring a burned site back; machines with autostart start by themselves',
    options: [{ flags: '--no-autostart', about: 'leave the machines off' }],
    example: 'warmsite lab break restore site-a',
    run: async (lab, site, options) => {
      await lab.call('lab.restoreSite', { site, autostart: options['autostart'] !== false });
      return `${site} is back`;
    },
  },
  {
    name: 'cut-link',
    args: '<site>',
    about: 'Cut the link of a site, until join-link',
    options: [{ flags: '--silent', about: 'what is sent into the cut is lost, as when a site is dark; else it is refused at once' }],
    example: 'warmsite lab break cut-link site-a --silent',
    run: async (lab, site, options) => {
      await lab.call('lab.setLink', { site, up: false, silent: options['silent'] === true });
      return `the link of ${site} is cut`;
    },
  },
  {
    name: 'join-link',
    args: '<site>',
    about: 'Join the link of a site again',
    example: 'warmsite lab break join-link site-a',
    run: async (lab, site) => {
      await lab.call('lab.setLink', { site, up: true });
      return `the link of ${site} is up`;
    },
  },
  {
    name: 'power-cut',
    args: '<machine>',
    about: 'Cut the power of one machine: what it had not flushed is lost in part',
    example: 'warmsite lab break power-cut erp-db',
    run: async (lab, name) => {
      await lab.call('lab.powerCut', { machine: await findMachine(lab, name) });
      return `${name} has lost its power`;
    },
  },
  {
    name: 'reset-tracker',
    args: '<machine>',
    about: 'Make the change tracking of a machine forget everything',
    example: 'warmsite lab break reset-tracker shop-db',
    run: async (lab, name) => {
      await lab.call('lab.resetTracker', { machine: await findMachine(lab, name) });
      return `the tracker of ${name} has begun anew`;
    },
  },
  {
    name: 'fill',
    args: '<endpoint>',
    about: 'Let files of somebody else fill the storage of an endpoint, until it is emptied again',
    options: [
      { flags: '--left <bytes>', about: 'what stays free (0 unless told)', kind: 'integer' },
      { flags: '--empty', about: 'take them away again' },
    ],
    example: 'warmsite lab break fill vcenter-a --left 1000000',
    run: async (lab, endpoint, options) => {
      const freeBytes = options['empty'] === true ? undefined : (numberOption(options, 'left') ?? 0);
      await lab.call('lab.fill', { endpoint, freeBytes });
      return freeBytes === undefined ? `the storage of ${endpoint} has room again` : `${freeBytes} bytes are free at ${endpoint}`;
    },
  },
  {
    name: 'migrate',
    args: '<machine>',
    about: 'Move a machine of a cluster to another node while it runs',
    example: 'warmsite lab break migrate crm-db',
    run: async (lab, name) => {
      await lab.call('lab.migrate', { machine: await findMachine(lab, name) });
      return `${name} moves to another node`;
    },
  },
  {
    name: 'add-fault',
    args: '<method>',
    about: 'Let calls of a method fail: a name of the port of the lab, or a beginning of one with *',
    options: [
      {
        flags: '--act <what>',
        about: 'error=CODE, vim=FileLocked, delay=MS, stall, cut=before, crash=after, lie=skipDirtyRange, …',
        required: true,
      },
      { flags: '--endpoint <id>', about: 'only at this endpoint' },
      { flags: '--nth <n>', about: 'only the n-th call', kind: 'integer' },
      { flags: '--times <n>', about: 'so many times', kind: 'integer' },
    ],
    example: 'warmsite lab break add-fault device.read --act delay=200 --endpoint vcenter-a',
    run: async (lab, method, options) => {
      const [endpoint, nth, times] = [textOption(options, 'endpoint'), numberOption(options, 'nth'), numberOption(options, 'times')];
      const rule = {
        method,
        act: parseAct(textOption(options, 'act') ?? ''),
        ...(endpoint ? { endpoint } : {}),
        ...(nth ? { nth } : {}),
        ...(times ? { times } : {}),
      };
      const { id } = await lab.call('lab.addFault', { rule });
      return `fault ${id} is set`;
    },
  },
  {
    name: 'clear-faults',
    args: '[id]',
    about: 'Take back one fault, or all',
    example: 'warmsite lab break clear-faults',
    run: async (lab, id) => {
      await lab.call('lab.clearFaults', id ? { id } : {});
      return id ? `fault ${id} is gone` : 'no fault is set any more';
    },
  },
];

export const breakLab = (lab: EstatePort, kind: Break, args: readonly string[], options: Options): Promise<string> =>
  kind.run(lab, args[0] ?? '', options);
