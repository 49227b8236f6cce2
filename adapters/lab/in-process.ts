import type { Clock } from '../../core/ports/runtime.ts';
import type { OpenPowerShell } from '../powershell/port.ts';
import type { OpenWire } from '../vsphere/port.ts';
import { type BackingStore, memoryStore } from './backing.ts';
import { build } from './build.ts';
import { Dispatcher } from './dispatch.ts';
import { Estate } from './estate.ts';
import type { Connection } from './gate.ts';
import type { EstateArgs, EstateMethod, EstatePort, EstateResult, EstateSpec } from './port.ts';
import { openInProcessPowerShell } from './powershell/open.ts';
import type { ClockMode } from './timeline.ts';
import { openInProcessWire } from './vsphere/wire.ts';

export interface InProcessOptions {
  readonly spec: EstateSpec;
  readonly seed?: number | string;
  /** `jump` (the default) never takes real time; see ClockMode. */
  readonly clock?: ClockMode;
  readonly startMs?: number;
  readonly msPerCall?: number;
  readonly store?: BackingStore;
}

export interface InProcessEstate extends AsyncDisposable {
  /** A new connection each time. */
  open(): EstatePort;
  /** A connection of its own for the control, which no fault cuts. */
  readonly control: EstatePort;
  /** The estate's clock, for an engine that shares its time. */
  readonly clock: Clock;
  readonly estate: Estate;
  /** Speaks to the vCenters of the estate; a vmware endpoint's name is its address. */
  readonly openWire: OpenWire;
  /** Sessions at the hosts of hyperv endpoints; a host's name is its address. */
  readonly openPowerShell: OpenPowerShell;
}

/** The lab without a process: cheap enough for a sweep to make thousands. */
export const createEstate = (options: InProcessOptions): InProcessEstate => {
  const estate = new Estate({ seed: options.seed, clock: options.clock, startMs: options.startMs, store: options.store ?? memoryStore() });
  build(estate, options.spec);
  return serveInProcess(new Dispatcher(estate, options.msPerCall ?? 1));
};

/** An estate that somebody else keeps. */
export const serveInProcess = (dispatcher: Dispatcher): InProcessEstate => {
  const { estate } = dispatcher;
  estate.timeline.start();
  const open = () => new InProcessPort(dispatcher);
  return {
    open,
    control: open(),
    clock: { now: () => estate.timeline.now(), sleep: (ms, signal) => estate.timeline.sleep(ms, signal) },
    estate,
    openPowerShell: openInProcessPowerShell(dispatcher.hosts),
    openWire: openInProcessWire((endpoint) => dispatcher.vcenters.of(endpoint)),
    [Symbol.asyncDispose]: async () => {
      estate.timeline.stop();
      for (const { volume } of estate.layers.values()) volume.close();
    },
  };
};

class InProcessPort implements EstatePort {
  readonly #dispatcher: Dispatcher;
  readonly #connection: Connection;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
    this.#connection = dispatcher.connect();
  }

  call<M extends EstateMethod>(method: M, args: EstateArgs<M>, options: { readonly signal?: AbortSignal } = {}): Promise<EstateResult<M>> {
    return this.#dispatcher.call(this.#connection, method, args, options.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dispatcher.disconnect(this.#connection);
  }
}
