import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Shared } from '../../../../plugins/hyperv/shared.ts';

interface Thing extends AsyncDisposable {
  disposed: boolean;
}

const thing = (): Thing => ({
  disposed: false,
  async [Symbol.asyncDispose]() {
    this.disposed = true;
  },
});

const signal = () => new AbortController().signal;

/** Opens at `open()`, unless it is called off. */
const slow = () => {
  const opening = Promise.withResolvers<Thing>();
  const make = (abort: AbortSignal): Promise<Thing> => {
    abort.addEventListener('abort', () => opening.reject(abort.reason), { once: true });
    return opening.promise;
  };
  return { make, open: () => opening.resolve(thing()) };
};

describe('what is opened once and used by all', () => {
  it('is not taken from the others by who calls off, although that one has asked first', async () => {
    await using shared = new Shared<Thing>();
    const { make, open } = slow();
    const abort = new AbortController();
    const first = shared.get('a', make, abort.signal);
    const second = shared.get('a', make, signal());

    abort.abort(new Error('called off'));
    open();

    expect(await first.catch((error: unknown) => error)).to.equal(abort.signal.reason);
    expect((await second).disposed).to.equal(false);
  });

  it('is tried again when it could not be opened', async () => {
    await using shared = new Shared<Thing>();
    const failure = new Error('refused');

    const failed = await shared.get('a', () => Promise.reject(failure), signal()).catch((error: unknown) => error);

    expect(failed).to.equal(failure);
    expect(await shared.get('a', async () => thing(), signal())).to.be.an('object');
  });

  it('is closed with its session, and called off while it is opened', async () => {
    const shared = new Shared<Thing>();
    const open = await shared.get('a', async () => thing(), signal());
    const opening = shared.get('b', slow().make, signal());
    opening.catch(() => undefined);

    await shared[Symbol.asyncDispose]();

    expect(open.disposed).to.equal(true);
    expect((await opening.catch((error: unknown) => error)) as Error).to.have.property('message', 'the session is closed');
  });
});
