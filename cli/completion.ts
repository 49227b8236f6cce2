// Completion as a static script: nouns, verbs, options and their choices. It starts no process while somebody types.
import type { CommandSpec, Noun, OptionSpec } from './command.ts';
import { GLOBAL_OPTIONS } from './program.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export type Tree = readonly { readonly noun: Noun; readonly commands: readonly CommandSpec[] }[];

interface Line {
  /** Words before the cursor: '', 'site', 'site list', 'map network set'. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly about: string }[];
}

const flagsOf = (option: OptionSpec): string => option.flags.split(/[ ,|]+/).findLast((part) => part.startsWith('--')) ?? option.flags;

/** Every place in the tree with what may come there. */
const linesOf = (tree: Tree): Line[] => {
  const options = (spec: CommandSpec) =>
    [...(spec.options ?? []), ...GLOBAL_OPTIONS].map((option) => ({ word: flagsOf(option), about: option.about }));
  const lines: Line[] = [{ path: '', words: tree.map(({ noun }) => ({ word: noun.name, about: noun.about })) }];
  for (const { noun, commands } of tree) {
    const below = new Map<string, { word: string; about: string }[]>();
    const add = (path: string, word: string, about: string) => {
      const words = below.get(path) ?? [];
      if (!words.some((known) => known.word === word)) words.push({ word, about });
      below.set(path, words);
    };
    for (const spec of commands) {
      const parts = spec.name?.split(' ') ?? [];
      for (const [index, part] of parts.entries()) add([noun.name, ...parts.slice(0, index)].join(' '), part, spec.about);
      for (const { word, about } of options(spec)) add([noun.name, ...parts].join(' '), word, about);
    }
    for (const [path, words] of below) lines.push({ path, words });
  }
  return lines;
};

const choicesOf = (tree: Tree): Map<string, readonly string[]> => {
  const all = [...tree.flatMap(({ commands }) => commands.flatMap((spec) => spec.options ?? [])), ...GLOBAL_OPTIONS];
  const choices = new Map<string, readonly string[]>();
  for (const option of all)
    if (option.choices)
      for (const flag of option.flags.split(/[ ,]+/).filter((part) => part.startsWith('-'))) choices.set(flag, option.choices);
  return choices;
};

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export const completionScript = (shell: Shell, tree: Tree): string => {
  if (shell === 'fish') return fish(tree);
  const body = bash(tree);
  // zsh reads the script of bash by its own emulation.
  return shell === 'bash'
    ? body
    : `#compdef warmsite\nautoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n${body}`;
};

const bash = (tree: Tree): string => `# warmsite completion
_warmsite() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" place="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$place $word" in
${linesOf(tree)
  .filter((line) => line.path !== '')
  .map((line) => `      ${quoted(line.path.includes(' ') ? line.path : ` ${line.path}`)}) place=${quoted(line.path)} ;;`)
  .join('\n')}
    esac
  done
  local words=""
  case "$previous" in
${[...choicesOf(tree)].map(([flag, choices]) => `    ${flag}) words=${quoted(choices.join(' '))} ;;`).join('\n')}
    *) case "$place" in
${linesOf(tree)
  .map((line) => `      ${quoted(line.path)}) words=${quoted(line.words.map(({ word }) => word).join(' '))} ;;`)
  .join('\n')}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _warmsite warmsite
`;

const fish = (tree: Tree): string => {
  const lines = ['# warmsite completion', 'complete -c warmsite -f'];
  const nouns = tree.map(({ noun }) => noun.name).join(' ');
  for (const { noun, commands } of tree) {
    lines.push(`complete -c warmsite -n "not __fish_seen_subcommand_from ${nouns}" -a ${noun.name} -d ${quoted(noun.about)}`);
    for (const spec of commands) {
      const parts = spec.name?.split(' ') ?? [];
      for (const [index, part] of parts.entries()) {
        const seen = [noun.name, ...parts.slice(0, index)].map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
        lines.push(`complete -c warmsite -n ${quoted(seen)} -a ${part} -d ${quoted(spec.about)}`);
      }
      const seen = [noun.name, ...parts].map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
      for (const option of spec.options ?? [])
        lines.push(
          `complete -c warmsite -n ${quoted(seen)} -l ${flagsOf(option).slice(2)} -d ${quoted(option.about)}${option.choices ? ` -xa ${quoted(option.choices.join(' '))}` : ''}`,
        );
    }
  }
  for (const option of GLOBAL_OPTIONS)
    lines.push(
      `complete -c warmsite -l ${flagsOf(option).slice(2)} -d ${quoted(option.about)}${option.choices ? ` -xa ${quoted(option.choices.join(' '))}` : ''}`,
    );
  return `${[...new Set(lines)].join('\n')}\n`;
};
