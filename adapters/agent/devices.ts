import { DrError } from '../../core/contract/errors.ts';
import { deviceError, OpenDevice } from '../block/device.ts';
import type { BlockDevice } from '../block/port.ts';
import type { OpenedDisk, Platform } from './platform.ts';
import { plain } from './wire.ts';

/** Opens a device of this host for a session; disposing of the device gives it back. */
export type OpenForSession = (path: string, forWriting: boolean) => Promise<BlockDevice>;

/** What opening means where there is nothing: the disk was detached, or was never attached. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ENXIO', 'ENODEV', 'ENOMEDIUM', 'ELOOP'];

/** The disks of this host as all sessions of this process share them: many readers, or one writer alone. */
export class HostDevices {
  readonly #platform: Platform;
  /** How many read, or the writer. */
  readonly #users = new Map<string, number | 'writer'>();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  readonly open: OpenForSession = async (asked, forWriting) => {
    try {
      const disk = await this.#platform.find(asked);
      this.#enter(disk.key, disk.path, forWriting);
      try {
        return new SharedDevice(await this.#platform.open(disk, forWriting), forWriting, () => this.#leave(disk.key));
      } catch (error) {
        this.#leave(disk.key);
        throw error;
      }
    } catch (error) {
      throw openError(error, plain(asked, 200), this.#platform.name);
    }
  };

  #enter(key: string, path: string, forWriting: boolean): void {
    const users = this.#users.get(key);
    if (users === 'writer' || (forWriting && users !== undefined)) {
      throw new DrError('FILE_LOCKED', `another session has ${path} open${users === 'writer' ? ' for writing' : ''}`, {
        hint: 'end the other session, or wait: an agent gives up the devices of a client that has gone silent within a minute',
        context: { path },
      });
    }
    this.#users.set(key, forWriting ? 'writer' : (users ?? 0) + 1);
  }

  #leave(key: string): void {
    const users = this.#users.get(key);
    if (typeof users === 'number' && users > 1) this.#users.set(key, users - 1);
    else this.#users.delete(key);
  }
}

/** It is free for others only when the kernel has done all that this one was asked for. */
class SharedDevice extends OpenDevice {
  readonly #release: (() => Promise<void>) | undefined;
  readonly #leave: () => void;
  #given: Promise<void> | undefined;

  constructor({ file, geometry, release }: OpenedDisk, forWriting: boolean, leave: () => void) {
    super(file, geometry, forWriting);
    this.#release = release;
    this.#leave = leave;
  }

  override [Symbol.asyncDispose](): Promise<void> {
    this.#given ??= this.#give();
    return this.#given;
  }

  async #give(): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#release?.();
      this.#leave();
    }
  }
}

const openError = (error: unknown, path: string, system: Platform['name']): DrError => {
  if (error instanceof DrError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  const context = { path, vendorCode: code };
  if (ABSENT.includes(code))
    return new DrError('NOT_FOUND', `there is no disk ${path}`, { cause: error, context: { ...context, kind: 'disk' } });
  if (system === 'windows' && (code === 'EPERM' || code === 'EACCES')) {
    const hint = 'start the agent as a member of Administrators, with its full rights';
    return new DrError('PERMISSION_DENIED', `opening ${path} failed with ${code}`, { cause: error, context, hint });
  }
  return deviceError(error, `opening ${path}`, { path });
};
