// The language's library knows it only together with a browser's.
declare const WebAssembly: {
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer };
};

const WASM_PAGE = 64 << 10;

/**
 * Buffers for direct I/O, which wants them to begin at a sector's border. Memory of an ArrayBuffer begins anywhere; that of WebAssembly begins at a page.
 * They also part the kernel from the caller: what the kernel reads or writes is never the caller's buffer, so that an aborted call returns at once.
 */
export class Slots {
  readonly #free: Uint8Array[];
  readonly #waiting: ((slot: Uint8Array) => void)[] = [];

  constructor(count: number, bytes: number) {
    const pages = (count * bytes) / WASM_PAGE;
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#free = Array.from({ length: count }, (_, index) => new Uint8Array(buffer, index * bytes, bytes));
  }

  async take(signal: AbortSignal | undefined): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const slot = this.#free.pop();
    if (slot) return slot;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const onAbort = () => {
      this.#waiting.splice(this.#waiting.indexOf(resolve), 1);
      reject(signal?.reason);
    };
    this.#waiting.push(resolve);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  give(slot: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next) next(slot);
    else this.#free.push(slot);
  }
}
