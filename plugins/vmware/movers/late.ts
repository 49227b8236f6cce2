// A way that could not be opened yet. Only the data waits for it: power, fencing and the start of a replica must go on without, on the day
// when the appliance is what has burnt.
import { type Call, type DiskReader, type DrError, isDrError, type MachineId, type ReplicaDisk } from '../../../core/contract/index.ts';
import type { Time } from '../../../core/plugin-kit/index.ts';
import type { DiskFile, Mover, MoverName } from './mover.ts';

type Writer = Mover & Required<Pick<Mover, 'openWrite'>>;
type Open = (call: Call) => Promise<Writer>;

/** A thousand machines that are assessed one after the other do not each look for an appliance that was not there a moment ago. */
const RETRY_MS = 5_000;

interface Trying {
  readonly time: Time;
  readonly call: Call;
}

/** What `open` gives, or in its place one that tries again at each use. */
export const openOrLate = async (name: MoverName, open: Open, { time, call }: Trying): Promise<Writer> => {
  try {
    return await open(call);
  } catch (error) {
    call.signal.throwIfAborted();
    if (!isDrError(error)) throw error;
    return new Late(name, open, time);
  }
};

class Late implements Mover {
  readonly name: MoverName;
  readonly #open: Open;
  #opening: Promise<Writer> | undefined;
  #mover: Writer | undefined;
  readonly #time: Time;
  #failed: { readonly error: DrError; readonly atMs: number } | undefined;

  constructor(name: MoverName, open: Open, time: Time) {
    this.name = name;
    this.#open = open;
    this.#time = time;
  }

  describe(): string {
    return this.#mover?.describe() ?? `by ${this.name}`;
  }

  async trouble(call: Call): Promise<DrError | undefined> {
    try {
      await this.#get(call);
      return undefined;
    } catch (error) {
      call.signal.throwIfAborted();
      if (!isDrError(error)) throw error;
      return error;
    }
  }

  async openRead(file: DiskFile, call: Call): Promise<DiskReader> {
    return (await this.#get(call)).openRead(file, call);
  }

  async openWrite(file: DiskFile, call: Call): Promise<ReplicaDisk> {
    return (await this.#get(call)).openWrite(file, call);
  }

  /** What a process before us has left may hold the machine's files. Where the way still does not open, the next step tells what is locked. */
  async release(machine: MachineId, call: Call): Promise<void> {
    if ((await this.trouble(call)) === undefined) await this.#mover?.release(machine, call);
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#mover?.close();
  }

  async #get(call: Call): Promise<Writer> {
    if (!this.#mover && this.#failed && this.#time.now() - this.#failed.atMs < RETRY_MS) throw this.#failed.error;
    while (!this.#mover) {
      const others = this.#opening;
      // Whoever opens may give up for a reason that is not ours: then we open.
      if (others) await others.catch(() => call.signal.throwIfAborted());
      else await this.#openOnce(call);
    }
    return this.#mover;
  }

  async #openOnce(call: Call): Promise<void> {
    this.#opening = this.#open(call);
    try {
      this.#mover = await this.#opening;
    } catch (error) {
      if (isDrError(error) && !call.signal.aborted) this.#failed = { error, atMs: this.#time.now() };
      throw error;
    } finally {
      this.#opening = undefined;
    }
  }
}
