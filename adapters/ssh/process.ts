import { Readable, Writable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { DrError } from '../../core/contract/errors.ts';
import type { SshProcess } from './port.ts';

/** ssh2 keeps up to 2 MiB more for each channel: its window. */
const BUFFER_BYTES = 64 << 10;

/**
 * A command at the other side. The channel's own streams are not handed out: ssh2 1.17 ends them alike when the output is complete and when the connection
 * is gone, and forgets a write for which the other side no longer has a reader.
 * `ended` comes with the exit of the command; what it has written may still be on its way, and ends with the streams. The server frees the session a
 * moment later. stdout and stderr share one window: both must be read.
 */
export class RemoteProcess implements SshProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly ended: SshProcess['ended'];
  readonly #channel: ClientChannel;

  constructor(channel: ClientChannel, lost: AbortSignal) {
    this.#channel = channel;
    this.stdin = new Input(channel);
    this.stdout = new Output(channel);
    this.stderr = new Output(channel.stderr);
    this.ended = this.#watch(lost);
  }

  kill(): void {
    this.#channel.close();
    this.#stop(new DrError('ABORTED', 'the command was ended here'));
  }

  /** With an error, whoever reads knows that more was to come. */
  #stop(error: Error): void {
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.destroy(error);
  }

  #watch(lost: AbortSignal): SshProcess['ended'] {
    return new Promise((done) => {
      const over = new AbortController();
      const end = (code: number | null | undefined, signal?: string): void => {
        this.stdin.destroy();
        done({ ...(typeof code === 'number' && { code }), ...(signal !== undefined && { signal }) });
      };
      const onLost = (): void => {
        this.#stop(lost.reason);
        done({});
      };
      this.#channel.once('exit', end).once('close', () => {
        over.abort();
        end(undefined);
      });
      lost.addEventListener('abort', onLost, { signal: over.signal });
      if (lost.aborted) onLost();
    });
  }
}

const ignore = (): void => undefined;

/** Errors are told to whoever uses the stream, and end nothing when nobody does. */
class Output extends Readable {
  readonly #source: Readable;

  constructor(source: Readable) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#source = source;
    this.on('error', ignore);
    source.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) source.pause();
    });
    source.once('end', () => this.push(null));
    source.pause();
  }

  override _read(): void {
    this.#source.resume();
  }

  /** What nobody reads any more is let through, or the channel would never end. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#source.resume();
    done(error);
  }
}

class Input extends Writable {
  readonly #channel: ClientChannel;

  constructor(channel: ClientChannel) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#channel = channel;
    this.on('error', ignore);
    channel.on('error', ignore);
  }

  /** Called back when the other side's window has taken it. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#channel.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end();
    done();
  }
}
