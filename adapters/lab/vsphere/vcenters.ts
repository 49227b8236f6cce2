// The vCenters of an estate, one for each of its vmware endpoints, made when somebody first speaks to one.
import { DrError } from '../../../core/contract/index.ts';
import type { Gate } from '../gate.ts';
import type { EstateArgs, EstateResult } from '../port.ts';
import { applianceOf, equipVcenter } from './appliance.ts';
import { handleFile } from './files.ts';
import { machineHandlers } from './machine-handlers.ts';
import { leaseProperty, machineProperty, snapshotProperty } from './machine-properties.ts';
import { Vcenter, type VcenterParts } from './vcenter.ts';
import { vcenterOf } from './vms.ts';

const PARTS: VcenterParts = {
  handlers: machineHandlers,
  properties: { VirtualMachine: machineProperty, VirtualMachineSnapshot: snapshotProperty, HttpNfcLease: leaseProperty },
  exists: (at, ref) => ref.type === 'HttpNfcLease' && vcenterOf(at.endpoint).leases.some(({ id }) => id === ref.value),
  handleFile,
};

/** A vCenter that listens on an address. */
export interface Served extends AsyncDisposable {
  readonly address: string;
  /** SHA-256 of its certificate in hex. */
  readonly pin: string;
  /** Its old one is worth nothing from now on. */
  renewCertificate(): void;
}

export type Serve = (vcenter: Vcenter) => Promise<Served>;

export class Vcenters implements AsyncDisposable {
  readonly #gate: Gate;
  readonly #made = new Map<string, Vcenter>();
  readonly #served = new Map<string, Promise<Served>>();
  #serve: Serve | undefined;

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  /** Throws NOT_FOUND, or CAPABILITY_MISSING for an endpoint of another kind. */
  of(name: string): Vcenter {
    const known = this.#made.get(name);
    if (known) return known;
    const { estate } = this.#gate;
    const endpoint = estate.endpoint(name);
    if (endpoint.profile !== 'vmware')
      throw new DrError('CAPABILITY_MISSING', `endpoint ${name} is no vCenter`, { context: { endpoint: name } });
    equipVcenter(estate, endpoint);
    const made = new Vcenter(this.#gate, endpoint, PARTS);
    this.#made.set(name, made);
    return made;
  }

  /** Lets all there are listen; others as they are asked for. */
  async serve(serve: Serve): Promise<void> {
    this.#serve = serve;
    for (const { name, profile } of this.#gate.estate.endpoints.values()) if (profile === 'vmware') await this.#servedAt(name);
  }

  async describe(name: string): Promise<EstateResult<'lab.vcenter'>> {
    const { endpoint } = this.of(name);
    const served = await this.#servedAt(name);
    const appliance = applianceOf(this.#gate.estate, endpoint)?.id;
    return {
      ...(served ? { address: served.address, pin: served.pin } : { address: name }),
      ...(endpoint.username === undefined ? {} : { username: endpoint.username }),
      ...(appliance === undefined ? {} : { appliance }),
    };
  }

  async set(args: EstateArgs<'lab.setVcenter'>): Promise<void> {
    const vcenter = this.of(args.endpoint);
    const record = vcenter.endpoint.vsphere!;
    if (args.sessionIdleMs !== undefined) record.sessionIdleMs = args.sessionIdleMs;
    if (args.maxSessions !== undefined) record.maxSessions = args.maxSessions;
    if (args.missingPrivileges !== undefined) record.missingPrivileges = [...args.missingPrivileges];
    this.#gate.estate.revision++;
    if (args.newCertificate) {
      const served = await this.#servedAt(args.endpoint);
      if (!served) throw new DrError('CAPABILITY_MISSING', `${args.endpoint} has no certificate: it does not listen`);
      served.renewCertificate();
    }
    if (args.restart) vcenter.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const served of this.#served.values()) await (await served)[Symbol.asyncDispose]();
  }

  #servedAt(name: string): Promise<Served> | undefined {
    if (!this.#serve) return undefined;
    const known = this.#served.get(name) ?? this.#serve(this.of(name));
    this.#served.set(name, known);
    return known;
  }
}
