import { asDrError, DrError } from '../../core/contract/index.ts';
import type { Estate } from './estate.ts';
import { type Connection, Gate, lost } from './gate.ts';
import { control } from './operations/control.ts';
import { device } from './operations/device.ts';
import { disk } from './operations/disk.ts';
import { forks } from './operations/forks.ts';
import type { Context } from './operations/handlers.ts';
import { hyperv } from './operations/hyperv.ts';
import { inventory } from './operations/inventory.ts';
import { network } from './operations/network.ts';
import { source } from './operations/source.ts';
import { stream } from './operations/stream.ts';
import { target } from './operations/target.ts';
import { vcenter } from './operations/vcenter.ts';
import type { EstateArgs, EstateMethod, EstateResult } from './port.ts';
import { HostDevices } from './powershell/devices.ts';
import { Hosts } from './powershell/sessions.ts';
import { Shells } from './powershell/shells.ts';
import { Vcenters } from './vsphere/vcenters.ts';

type Handler = (context: Context, args: object) => object | Promise<object>;

/** The way of every call of an EstatePort into the estate, the same in process and over the socket: credential, gate, then the operation. */
export class Dispatcher {
  readonly estate: Estate;
  readonly gate: Gate;
  readonly vcenters: Vcenters;
  /** Of hyperv endpoints, as PowerShell reaches them. */
  readonly hosts: Hosts;
  readonly #devices: HostDevices;
  readonly #shells: Shells;
  readonly #handlers: Readonly<Record<EstateMethod, Handler>>;

  /** Path of the executable that stands in for PowerShell, once there is one. */
  powerShell: string | undefined;

  /** `msPerCall`: what a vendor-like call costs on a manual clock. */
  constructor(estate: Estate, msPerCall: number) {
    this.estate = estate;
    this.gate = new Gate(estate, msPerCall);
    this.vcenters = new Vcenters(this.gate);
    this.hosts = new Hosts(this.gate);
    this.#devices = new HostDevices(this.gate);
    this.#shells = new Shells(this.hosts);
    const all = {
      ...inventory,
      ...source,
      ...stream,
      ...target,
      ...forks,
      ...disk,
      ...device,
      ...network,
      ...control(this.gate.faults, (endpoint) => this.gate.cutAll(endpoint)),
      ...vcenter(this.vcenters),
      ...hyperv(this.hosts, () => this.powerShell),
    };
    this.#handlers = all as unknown as Readonly<Record<EstateMethod, Handler>>;
  }

  connect(onCut?: () => void): Connection {
    return this.gate.connect(onCut);
  }

  disconnect(connection: Connection): void {
    this.gate.disconnect(connection);
  }

  async call<M extends EstateMethod>(
    connection: Connection,
    method: M,
    args: EstateArgs<M>,
    signal?: AbortSignal,
  ): Promise<EstateResult<M>> {
    signal?.throwIfAborted();
    this.estate.timeline.noteActivity();
    const handler = this.#handlers[method] ?? this.#ofSession(connection, method, signal);
    if (!handler) throw new DrError('PROTOCOL_ERROR', `the lab has no method ${JSON.stringify(method)}`, { context: { method } });
    if (connection.cut) throw lost(method);
    try {
      return (await this.#run(connection, method, handler, args, signal)) as EstateResult<M>;
    } catch (error) {
      signal?.throwIfAborted();
      throw translate(error);
    }
  }

  async #run(connection: Connection, method: EstateMethod, handler: Handler, args: object, signal?: AbortSignal): Promise<object> {
    if (/^(lab|agent|powershell)\./.test(method)) return handler({ estate: this.estate, lies: new Set(), signal }, args);
    const { endpoint } = args as { endpoint: string };
    const assertAllowed = () => this.#assertAccepted(connection, method, endpoint);
    return this.gate.pass({ connection, method, endpoint, args, signal, assertAllowed }, async ({ lies }) => {
      const result = await handler({ estate: this.estate, lies, signal }, args);
      if (method === 'session.open') connection.accepted.add(endpoint);
      return result;
    });
  }

  /** What belongs to the connection: it asks for its endpoint's gate by itself. */
  #ofSession(connection: Connection, method: EstateMethod, signal: AbortSignal | undefined): Handler | undefined {
    if (method.startsWith('agent.')) return (_, args) => this.#devices.call(connection, method as 'agent.flush', args as never, signal);
    if (method === 'powershell.open') return (_, args) => this.#shells.open(connection, args as EstateArgs<'powershell.open'>, signal);
    if (method === 'powershell.run') return (_, args) => this.#shells.run(connection, args as EstateArgs<'powershell.run'>, signal);
    return undefined;
  }

  /** A block device asks nobody for a credential: whoever is on the appliance has it. */
  #assertAccepted(connection: Connection, method: string, name: string): void {
    if (
      method === 'session.open' ||
      method.startsWith('device.') ||
      this.estate.endpoint(name).password === undefined ||
      connection.accepted.has(name)
    )
      return;
    throw new DrError('AUTH_REJECTED', `nobody has logged in at endpoint ${name} on this connection`, { context: { endpoint: name } });
  }
}

/** The files under the disks can fail too. */
const translate = (error: unknown): DrError => {
  if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ENOSPC') return asDrError(error);
  return new DrError('TARGET_FULL', 'the file system that the lab keeps its disks on is full', { cause: error });
};
