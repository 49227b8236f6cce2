import { existsSync, readFileSync } from 'node:fs';

/** From the package's own description, which lies one folder further up when the published JavaScript runs. */
export const readVersion = (): string => {
  const beside = new URL('../package.json', import.meta.url);
  const path = existsSync(beside) ? beside : new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
};
