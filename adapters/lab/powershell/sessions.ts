// Sessions at simulated hosts: who may open one, and the way of each step of a request.
import { DrError } from '../../../core/contract/index.ts';
import type { Step } from '../../powershell/port.ts';
import type { Asked, Connection, Gate } from '../gate.ts';
import type { EndpointRecord } from '../records.ts';
import type { Value } from './arguments.ts';
import { PsObject } from './cells.ts';
import { CMDLET_HANDLERS } from './cmdlets.ts';
import { type Addressed, addressed, isClustered, isHv } from './fabric.ts';
import { asPsFailure, failureOf, HRESULT, injectedError, PsFailure } from './failures.ts';
import { cmdletRow } from './interface.ts';
import type { At, HostRecord, PsContext, PsSession } from './model.ts';
import { atOf, forgetHost, move, stopService, takeDown } from './nodes.ts';
import { type Ran, type Reply, type Request, runRequest } from './request.ts';
import { bind } from './strict.ts';
import { machinesIn } from './subjects.ts';

export interface Credential {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export class Hosts {
  readonly gate: Gate;
  readonly #sessions = new Set<HostSession>();

  constructor(gate: Gate) {
    this.gate = gate;
    const { estate } = gate;
    estate.changed.on('unreachable', (site) => this.#cutWhere(({ endpoint }) => endpoint.site === site));
    estate.changed.on('powerCut', (name) => {
      const endpoint = estate.endpoint(name);
      if (!endpoint.hyperv) return;
      this.#cutWhere((at) => at.endpoint === endpoint);
      for (const host of endpoint.hyperv.hosts) forgetHost(atOf(estate, endpoint), host);
    });
  }

  /** `onCut` is told when the host ends it. Throws AUTH_REJECTED or CONNECTION_REFUSED. */
  async open(
    target: string,
    credential: Credential,
    options: { readonly signal?: AbortSignal; readonly onCut?: () => void },
  ): Promise<HostSession> {
    const { estate } = this.gate;
    estate.timeline.noteActivity();
    const at = addressed(estate, target);
    const { name } = at.endpoint;
    const connection = this.gate.connect(options.onCut, [name]);
    try {
      const call = { connection, method: 'ps.Connect', endpoint: name, args: {}, signal: options.signal };
      return await this.gate.pass({ ...call, assertAllowed: () => assertCredential(at.endpoint, credential) }, () => {
        const session: HostSession = new HostSession(this.gate, connection, at, () => this.#sessions.delete(session));
        this.#sessions.add(session);
        return session;
      });
    } catch (error) {
      this.gate.disconnect(connection);
      throw error;
    }
  }

  /** Its power goes, and whoever is in session there is cut off. */
  takeDown(at: At, host: HostRecord): void {
    this.#cutWhere((session) => session.host === host);
    takeDown(at, host);
  }

  #cutWhere(matches: (at: Addressed) => boolean): void {
    for (const session of [...this.#sessions]) if (matches(session.at)) session.cut();
  }
}

const assertCredential = ({ name, username = '', password }: EndpointRecord, given: Credential): void => {
  if (password === undefined || (given.password === password && (given.username ?? '') === username)) return;
  throw new DrError('AUTH_REJECTED', `${name} rejects the credential`, { context: { endpoint: name } });
};

/** One PowerShell on a host. */
export class HostSession {
  readonly at: Addressed;
  readonly #gate: Gate;
  readonly #connection: Connection;
  readonly #closed: () => void;
  readonly #session: PsSession = { vmm: false };

  constructor(gate: Gate, connection: Connection, at: Addressed, closed: () => void) {
    this.#gate = gate;
    this.#connection = connection;
    this.at = at;
    this.#closed = closed;
  }

  get alive(): boolean {
    return !this.#connection.cut;
  }

  /** Rejects with a Reach error where the session ends, or with the signal's reason. */
  run(request: Request, signal: AbortSignal): Promise<Reply> {
    return this.#untilEnd((ended) => runRequest(request, (step, given) => this.#step(step, given, ended)), signal);
  }

  /** One cmdlet, for a shell that runs the steps of a request itself. Throws PsFailure for what the cmdlet ends with; rejects otherwise as `run` does. */
  runCmdlet(step: Step, given: ReadonlyMap<string, Value>, signal: AbortSignal): Promise<Ran> {
    return this.#untilEnd((ended) => this.#step(step, given, ended), signal);
  }

  cut(): void {
    this.#closed();
    this.#gate.drop(this.#connection);
  }

  close(): void {
    this.#closed();
    this.#gate.disconnect(this.#connection);
  }

  async #untilEnd<T>(work: (ended: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const ended = AbortSignal.any([this.#connection.ended, signal]);
    try {
      return await raced(work(ended), ended);
    } catch (error) {
      if (!ended.aborted && asPsFailure(error)) throw error;
      this.close();
      signal.throwIfAborted();
      throw error;
    }
  }

  async #step(step: Step, given: ReadonlyMap<string, Value>, signal: AbortSignal): Promise<Ran> {
    signal.throwIfAborted();
    const { endpoint } = this.at;
    this.#gate.estate.timeline.noteActivity();
    const method = methodOf(step, given);
    const call = { connection: this.#connection, method, endpoint: endpoint.name, signal, toError: injectedError };
    return this.#gate.pass(
      { ...call, args: { machines: machinesIn(this.at, given) }, startsTask: step.cmdlet === 'Invoke-CimMethod' },
      (asked) => this.#work(step, given, { asked, signal }),
    );
  }

  async #work(step: Step, given: ReadonlyMap<string, Value>, { asked, signal }: { asked: Asked; signal: AbortSignal }): Promise<Ran> {
    const { cmdlet } = step;
    const { at } = this;
    this.#assertInstalled(step);
    assertServed(at, asked, cmdlet);
    const handler = CMDLET_HANDLERS[cmdlet];
    if (!handler) throw failureOf('CAPABILITY_MISSING', `${cmdlet} does nothing on a simulated host`);
    const warnings: string[] = [];
    const failures: PsFailure[] = [];
    const context: PsContext = {
      ...at,
      session: this.#session,
      ...{ lies: asked.lies, stall: asked.stall, acts: asked.acts, signal },
      ...(asked.taskError ? { taskError: asked.taskError } : {}),
      warn: (text) => warnings.push(text),
      report: (error) => {
        const failure = asPsFailure(error);
        if (!failure || !step.collect) throw error;
        failures.push(failure);
      },
    };
    this.#move('before', asked, given);
    const found = await handler(context, bind(cmdlet, given));
    this.#move('after', asked, given);
    return { found, warnings, failures };
  }

  #move(when: 'before' | 'after', { acts }: Asked, given: ReadonlyMap<string, Value>): void {
    if (!acts.some((act) => 'moves' in act && act.moves === when)) return;
    for (const id of machinesIn(this.at, given)) {
      const machine = this.at.estate.machines.get(id);
      if (machine && isHv(machine)) move(this.at, machine);
    }
  }

  /** Hosts and VMM servers have other modules. */
  #assertInstalled({ cmdlet }: Step): void {
    const { role, hyperv } = this.at;
    const { module } = cmdletRow(cmdlet);
    if (module === 'virtualmachinemanager' ? role === 'vmm' : role === 'host' && (module !== 'FailoverClusters' || isClustered(hyperv)))
      return;
    const target = `${module}\\${cmdlet}`;
    throw new PsFailure({
      ...{ category: 'ObjectNotFound', id: 'CommandNotFoundException', source: 'Microsoft.PowerShell.Commands.GetCommandCommand', target },
      message: `The term '${target}' is not recognized as a name of a cmdlet, function, script file, or executable program.\nCheck the spelling of the name, or if a path was included, verify that the path is correct and try again.`,
      type: 'System.Management.Automation.CommandNotFoundException',
      hresult: HRESULT.systemException,
    });
  }
}

const SERVED = ['Hyper-V', 'CimCmdlets'];

/** While the management service is stopped, whatever it serves answers so. */
const assertServed = (at: Addressed, { acts }: Asked, cmdlet: Step['cmdlet']): void => {
  const { host, estate } = at;
  for (const act of acts) if ('vmmsStopsMs' in act) stopService(at, host, act.vmmsStopsMs);
  const { vmmsStoppedUntilMs } = host;
  if (vmmsStoppedUntilMs === undefined || vmmsStoppedUntilMs <= estate.timeline.now()) return;
  if (SERVED.includes(cmdletRow(cmdlet).module))
    throw failureOf('HOST_BUSY', 'The Hyper-V Virtual Machine Management service is not running.');
};

/** `ps.Get-VM`, `ps.Msvm_VirtualSystemSnapshotService.CreateSnapshot`. */
const methodOf = ({ cmdlet }: Step, given: ReadonlyMap<string, Value>): string => {
  const on = given.get('InputObject');
  if (cmdlet === 'Invoke-CimMethod' && on instanceof PsObject) return `ps.${on.type}.${String(given.get('MethodName'))}`;
  return `ps.${cmdlet}`;
};

/** A session that ends does not wait for what its host goes on with. */
const raced = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
