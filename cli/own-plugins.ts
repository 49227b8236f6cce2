// Plugins of somebody else: named in the home's plugins.json and imported by that name, never found by scanning.
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DrError, type Plugin } from '../core/contract/index.ts';

const listPath = (home: string): string => join(home, 'plugins.json');

export const isPlugin = (value: unknown): value is Plugin =>
  typeof value === 'object' && value !== null && 'manifest' in value && typeof (value as Partial<Plugin>).connect === 'function';

/** A file, or a folder with an index. */
export const entryOf = (path: string): string => {
  if (!existsSync(path))
    throw new DrError('NOT_FOUND', `there is no plugin at ${path}`, {
      context: { path, kind: 'file' },
      hint: 'name the file or the folder of the plugin',
    });
  if (!statSync(path).isDirectory()) return path;
  const found = ['index.ts', 'index.js', 'plugin.ts', 'plugin.js']
    .map((name) => join(path, name))
    .find((candidate) => existsSync(candidate));
  if (found) return found;
  throw new DrError('NOT_FOUND', `${path} has no index.ts or index.js`, {
    context: { path, kind: 'file' },
    hint: 'name the file of the plugin',
  });
};

export const importModule = async (path: string): Promise<Record<string, unknown>> => {
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    throw new DrError('CONFIG_INVALID', `cannot load ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      context: { path },
      hint: 'correct the module until node can load it',
      cause: error,
    });
  }
};

/** The first plugin that the module exports. */
export const importPlugin = async (path: string): Promise<Plugin> => {
  const plugin = Object.values(await importModule(path)).find(isPlugin);
  if (plugin) return plugin;
  throw new DrError('CONFIG_INVALID', `${path} exports no plugin`, { context: { path }, hint: 'export what definePlugin gives' });
};

/** Absolute paths. */
export const listOwnPlugins = (home: string): string[] => {
  const path = listPath(home);
  if (!existsSync(path)) return [];
  try {
    const { plugins } = JSON.parse(readFileSync(path, 'utf8')) as { plugins?: unknown };
    if (Array.isArray(plugins) && plugins.every((entry) => typeof entry === 'string')) return plugins;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new DrError('CONFIG_INVALID', `${path} is not {"plugins": ["/path/of/a/plugin.ts"]}`, {
    context: { path },
    hint: 'correct the file, or remove it and run plugin add again',
  });
};

export const writeOwnPlugins = (home: string, plugins: readonly string[]): void => {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeFileSync(`${listPath(home)}.tmp`, `${JSON.stringify({ plugins }, null, 1)}\n`);
  renameSync(`${listPath(home)}.tmp`, listPath(home));
};

export const loadOwnPlugins = (home: string): Promise<Plugin[]> => Promise.all(listOwnPlugins(home).map((path) => importPlugin(path)));
