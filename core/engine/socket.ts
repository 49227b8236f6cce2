// The engine's socket: HTTP with JSON over a Unix socket of mode 0600, the same operations that an API will serve.
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { DrError, type ErrorRecord, fromErrorRecord, toErrorRecord } from '../contract/index.ts';
import type { Engine } from '../engine.ts';

const MAX_BODY_BYTES = 4 * 1024 * 1024;

interface Request {
  readonly operation: string;
  readonly input: unknown;
  readonly actor: string;
  readonly reason?: string;
}
type Answer = { readonly result: unknown } | { readonly error: ErrorRecord };

export interface EngineSocket extends AsyncDisposable {
  readonly path: string;
}

/** Whoever may write to the home may command the engine: the socket's mode is the check. */
export const serveSocket = async (engine: Engine, path: string): Promise<EngineSocket> => {
  // The home is locked by this process: a socket that is there belongs to an engine that died.
  rmSync(path, { force: true });
  const server = createServer((incoming, outgoing) => {
    void answer(engine, incoming).then((body) => send(outgoing, body));
  });
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    },
  };
};

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });

const answer = async (engine: Engine, incoming: IncomingMessage): Promise<Answer> => {
  try {
    const { operation, input, actor, reason } = JSON.parse(await readBody(incoming)) as Request;
    if (operation === 'job.settled') return { result: await engine.settled((input as { id: string }).id) };
    return { result: (await engine.call(operation, input, { actor, ...(reason ? { reason } : {}) })) ?? null };
  } catch (error) {
    return { error: toErrorRecord(error) };
  }
};

const readBody = async (incoming: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of incoming) {
    size += (part as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new DrError('USAGE', `a request is longer than ${MAX_BODY_BYTES} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString();
};

const send = (outgoing: ServerResponse, body: Answer): void => {
  outgoing.writeHead('error' in body ? 400 : 200, { 'content-type': 'application/json' });
  outgoing.end(JSON.stringify(body));
};

/** Asks a running engine. CONNECTION_REFUSED when none listens, CONNECTION_LOST when it dies meanwhile. */
export const askEngine = (path: string, body: Request, signal?: AbortSignal): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: path,
        method: 'POST',
        path: '/operations',
        headers: { 'content-type': 'application/json' },
        ...(signal ? { signal } : {}),
      },
      (incoming) => {
        readBody(incoming)
          .then((text) => {
            const parsed = JSON.parse(text) as Answer;
            if ('error' in parsed) reject(fromErrorRecord(parsed.error));
            else resolve(parsed.result);
          })
          .catch((error: unknown) =>
            reject(
              new DrError('CONNECTION_LOST', 'the engine went away before it answered', {
                context: { path },
                hint: 'run warmsite serve again; jobs go on by themselves',
                cause: error,
              }),
            ),
          );
      },
    );
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) reject(signal.reason);
      else if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
        reject(
          new DrError('CONNECTION_REFUSED', `no engine listens at ${path}`, { context: { path }, hint: 'start one with warmsite serve' }),
        );
      else
        reject(
          new DrError('CONNECTION_LOST', `the engine at ${path} went away: ${error.message}`, {
            context: { path },
            hint: 'run the command again: jobs go on by themselves',
            cause: error,
          }),
        );
    });
    outgoing.end(JSON.stringify(body));
  });
