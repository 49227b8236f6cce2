// Defaults of a user: flag, environment, project file, user file, system file, in this order.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { homeDirectory } from '../core/engine/home.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface Setting {
  readonly value: string;
  /** 'flag', 'environment', 'default', or the path of a file. */
  readonly from: string;
}

export interface Settings {
  readonly home: Setting;
  readonly output: Setting;
}

const findProjectFile = (folder: string): string | undefined => {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const path = join(at, 'warmsite.yaml');
    if (existsSync(path)) return path;
    if (dirname(at) === at) return undefined;
  }
};

export const settingFiles = (env: Env, folder: string): readonly string[] => {
  const user = join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'warmsite', 'warmsite.yaml');
  const project = findProjectFile(folder);
  return [...(project ? [project] : []), user, '/etc/warmsite/warmsite.yaml'].filter((path) => existsSync(path));
};

const readSettings = async (path: string): Promise<{ readonly home?: string; readonly output?: string }> => {
  const { readConfig } = await import('./documents.ts');
  return readConfig(readFileSync(path, 'utf8'), path);
};

/** CONFIG_INVALID with line and column when one of the files is not right. */
export const loadSettings = async (
  flags: { readonly home?: string | undefined; readonly output?: string | undefined },
  env: Env,
  folder: string,
): Promise<Settings> => {
  const files = await Promise.all(settingFiles(env, folder).map(async (path) => ({ path, content: await readSettings(path) })));
  const choose = (key: 'home' | 'output', variable: string, fallback: string): Setting => {
    const flag = flags[key];
    if (flag !== undefined) return { value: flag, from: 'flag' };
    const inEnvironment = env[variable];
    if (inEnvironment) return { value: inEnvironment, from: 'environment' };
    for (const { path, content } of files) {
      const value = content[key];
      if (value !== undefined) return { value: key === 'home' ? resolve(dirname(path), value) : value, from: path };
    }
    return { value: fallback, from: 'default' };
  };
  const home = choose('home', 'WARMSITE_HOME', homeDirectory(env));
  return { home: { ...home, value: resolve(folder, home.value) }, output: choose('output', 'WARMSITE_OUTPUT', 'table') };
};
