// Where the plugins of a world reach its lab: each call is counted, and can fail, lose its answer, or be the last one of the process.
import type { InProcessEstate } from '../../adapters/lab/in-process.ts';
import type { EstatePort, StateRef } from '../../adapters/lab/port.ts';
import { addressed, vmAt } from '../../adapters/lab/powershell/fabric.ts';
import type { PowerShell, RunOptions, Step } from '../../adapters/powershell/port.ts';
import type { OpenWire, WireRequest } from '../../adapters/vsphere/port.ts';
import { DrError, type MachineId } from '../../core/contract/index.ts';
import { type CallName, CrashError, type Faults } from './memory-files.ts';

/** What the plugins of a world do goes through here: each call can be the last one of the process. */
export type Around = <T>(name: string, effect: () => Promise<T> | T) => Promise<T>;

/** Dies at the chosen call: before its effect, or after it. */
export type CrashMoment = 'before' | 'after';

interface Watched {
  readonly lab: InProcessEstate;
  readonly crashMoment: CrashMoment;
  readonly startedFrom: Map<string, string[]>;
  digests(of: StateRef): Promise<string[]>;
}

/** Of one life of the engine. */
export class Wires {
  readonly #world: Watched;
  readonly #faults: Faults;

  constructor(world: Watched, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
  }

  /** A call of a plugin: it can fail, be the last one of the process, or lose its answer. */
  async #call<T>(name: string, effect: (isLost: boolean) => Promise<T> | T): Promise<T> {
    const dies = this.#faults.enter(`plugin.${name}` as CallName);
    const isLost = this.#faults.calls === this.#faults.loseAt;
    this.#faults.check();
    if (dies && this.#world.crashMoment === 'before') throw new CrashError();
    const result = await effect(isLost);
    if (this.#faults.crashed) throw new CrashError();
    if (isLost) throw answerLost(name);
    return result;
  }

  /** Each request to a host is a call, named by the cmdlet that it is sent for. */
  shell(shell: PowerShell): PowerShell {
    return {
      host: shell.host,
      run: (steps, options) => {
        const last = steps.findLast(({ cmdlet }) => !cmdlet.startsWith('Get-')) ?? steps.at(-1);
        const name = `ps.${last?.params['MethodName'] ?? last?.cmdlet ?? 'nothing'}`;
        return this.#call(name, async (isLost) => {
          await this.#noteStart(shell.host, steps);
          return isLost ? this.#cutOff(name, (signal) => shell.run(steps, withSignal(options, signal))) : shell.run(steps, options);
        });
      },
      [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
    };
  }

  /** What takes its time is still at work when the session ends, and goes on. */
  async #cutOff<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const cut = new AbortController();
    const callOff = this.#world.lab.estate.timeline.schedule(CUT_AFTER_MS, () => cut.abort(answerLost(name)), true);
    try {
      return await work(cut.signal);
    } finally {
      callOff();
    }
  }

  /** The fork is the replica itself: how an earlier one began says nothing of this one. Both ends of a pair have one id on their hosts. */
  async #noteStart(host: string, steps: readonly Step[]): Promise<void> {
    const id = steps.find(({ cmdlet }) => cmdlet === 'Get-VM')?.params['Id'];
    const does = (...cmdlets: readonly Step['cmdlet'][]) => steps.some(({ cmdlet }) => cmdlets.includes(cmdlet));
    if (typeof id !== 'string' || !does('Checkpoint-VM', 'Start-VM', 'Start-VMFailover')) return;
    const machine = vmAt(addressed(this.#world.lab.estate, host), id);
    if (!machine) return;
    if (!does('Start-VM')) this.#world.startedFrom.delete(machine.id);
    else if (machine.power === 'off') this.#world.startedFrom.set(machine.id, await this.#world.digests({ machine: machine.id }));
  }

  /** Each request to a vCenter is a call that can fail or be the last. */
  wire(): OpenWire {
    return (config) => {
      const wire = this.#world.lab.openWire(config);
      return {
        ...wire,
        send: (request) => {
          const { method, on } = soapCall(request);
          return this.#call(`vim.${method}`, async () => {
            // The fork is the replica itself: how an earlier one began says nothing of this one.
            if (method === 'CreateSnapshot_Task') this.#world.startedFrom.delete(on);
            if (method === 'PowerOnVM_Task') this.#world.startedFrom.set(on, await this.#world.digests({ machine: on as MachineId }));
            return wire.send(request);
          });
        },
      };
    };
  }

  around: Around = (name, effect) => this.#call(name, effect);

  port(port: EstatePort): EstatePort {
    return {
      call: (method, args, options) =>
        this.#call(method, async () => {
          if (method === 'power.set' && (args as { to: string }).to === 'on') {
            const { machine } = args as { machine: MachineId };
            this.#world.startedFrom.set(machine, await this.#world.digests({ machine }));
          }
          return port.call(method, args, options);
        }),
      [Symbol.asyncDispose]: () => port[Symbol.asyncDispose](),
    };
  }
}

/** Before the quickest of what hosts take their time for has ended. */
const CUT_AFTER_MS = 20;

const answerLost = (name: string): DrError => new DrError('CONNECTION_LOST', `the answer of ${name} was lost`);

const withSignal = (options: RunOptions = {}, signal: AbortSignal): RunOptions => ({
  ...options,
  signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal,
});

/** Name and subject of the call in an envelope; of a request for a file its HTTP method. */
const soapCall = ({ method, body }: WireRequest): { readonly method: string; readonly on: string } => {
  const found = typeof body === 'string' ? /<soapenv:Body><(\w+) [^>]*><_this type="[^"]*">([^<]*)</.exec(body) : null;
  return { method: found?.[1] ?? method, on: found?.[2] ?? '' };
};
