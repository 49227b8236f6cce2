import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import type { Log } from '../core/contract/index.ts';

export interface LogFile extends Log {
  close(): void;
}

/** Names of fields that hold secrets at vendors; the host's own masking of values comes before this. */
const SECRET_FIELDS = ['password', 'passphrase', 'token', 'secret', 'privateKey', 'authorization', 'cookie'];

/** JSON lines in `engine.log`, readable by its owner only; with `debug` on stderr too. Writes are synchronous: the last line before a crash is the one that matters. */
export const openLog = (folder: string, debug: boolean): LogFile => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = pino.destination({ dest: join(folder, 'engine.log'), sync: true, mode: 0o600 });
  const streams = [
    { level: 'debug' as const, stream: file },
    ...(debug ? [{ level: 'debug' as const, stream: pino.destination({ dest: 2, sync: true }) }] : []),
  ];
  const logger = pino(
    {
      level: debug ? 'debug' : 'info',
      base: { pid: process.pid },
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '***' },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.multistream(streams),
  );
  const at = (level: 'debug' | 'info' | 'warn') => (message: string, fields?: object) => logger[level](fields ?? {}, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), close: () => file.end() };
};
