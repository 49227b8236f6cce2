// The conformance kit from the command line: what is checked is a module, a folder with an index, or a plugin of this program by its id.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { LEVELS, type Level, type Report, runConformance, type Selection, type Subject, selectCases } from '../core/conformance/index.ts';
import { DrError, type Plugin } from '../core/contract/index.ts';
import { createSecretResolver, parseSecretReference } from '../core/host/secrets.ts';
import { usage } from './cli.ts';
import { createRegistry } from './container.ts';
import { entryOf, importModule, isPlugin } from './own-plugins.ts';

export interface PluginCheck {
  readonly what: string;
  readonly folder: string;
  /** Fields of the configuration; secrets as references. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly against?: 'lab' | 'site' | undefined;
  readonly levels?: readonly string[] | undefined;
  readonly only?: readonly string[] | undefined;
}

export const checkPlugin = async (check: PluginCheck): Promise<Report> => {
  const selection = selectionOf(check);
  await using stack = new AsyncDisposableStack();
  const subject = await subjectOf(check, stack);
  return runConformance(subject, selection);
};

const selectionOf = ({ levels, only, against }: PluginCheck): Selection => {
  const chosen = levels?.map((text) => {
    const level = LEVELS.find((candidate) => String(candidate) === text);
    if (level === undefined) throw usage(`there is no level ${JSON.stringify(text)}`, `choose of: ${LEVELS.join(', ')}`);
    return level;
  });
  const allowed: readonly Level[] = against === 'site' ? LEVELS.filter((level) => level < 4) : LEVELS;
  const selection = { levels: (chosen ?? allowed).filter((level) => allowed.includes(level)), ...(only ? { only } : {}) };
  if (selectCases(selection).length === 0) throw usage('no case of the kit is selected', 'leave out --level or --only, or name others');
  return selection;
};

const subjectOf = async (check: PluginCheck, stack: AsyncDisposableStack): Promise<Subject> => {
  const config = await revealSecrets(check);
  const found = existsSync(resolve(check.folder, check.what)) ? await loadSubject(check) : undefined;
  if (found === undefined && check.against === 'lab') {
    const { labSubject } = await import('./lab/subject.ts');
    return stack.use(await labSubject(check.what));
  }
  const subject = found ?? { plugin: createRegistry().get(check.what) as Plugin, config };
  const merged = { ...subject, config: { ...subject.config, ...config } };
  if (check.against === 'lab' && !merged.lab)
    throw usage(`${check.what} gives no lab to the kit`, 'export a subject with a lab, or check against a site: --against site');
  if (check.against !== 'site') return merged;
  const { lab: _lab, ...atSite } = merged;
  return atSite;
};

const isSubject = (value: unknown): value is Subject =>
  typeof value === 'object' && value !== null && isPlugin((value as Partial<Subject>).plugin);

/** `subject`, or a function of this name that gives it; else the first plugin that the module exports. */
const loadSubject = async ({ what, folder }: PluginCheck): Promise<Subject> => {
  const path = entryOf(resolve(folder, what));
  const module = await importModule(path);
  const { subject } = module;
  const given: unknown = typeof subject === 'function' ? await (subject as () => unknown)() : subject;
  if (isSubject(given)) return given;
  const plugin = Object.values(module).find(isPlugin);
  if (plugin) return { plugin, config: {} };
  throw new DrError('CONFIG_INVALID', `${path} exports neither a subject nor a plugin`, {
    context: { path },
    hint: 'export what definePlugin gives, or a subject of the kit with the name subject',
  });
};

const revealSecrets = async ({ config, env }: PluginCheck): Promise<Record<string, unknown>> => {
  const resolveSecret = createSecretResolver({ env });
  const entries = Object.entries(config).map(async ([key, value]) => {
    const reference = parseSecretReference(value);
    return [key, reference ? (await resolveSecret(reference)).reveal() : value] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
};
