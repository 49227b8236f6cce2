// Reads the pages of the documentation as its tests need them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..');

export const readPage = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

export interface CodeBlock {
  /** The first word after the fence. */
  readonly language: string;
  /** The rest of that line. */
  readonly note: string;
  readonly text: string;
}

export const codeBlocks = (page: string): CodeBlock[] =>
  [...page.matchAll(/^```(\S*) ?(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', note = '', text = '']) => ({ language, note, text }));

/** The page without its code: what looks like a link or a heading there is none. */
export const withoutCode = (page: string): string => page.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '');

export interface Shown {
  readonly command: string;
  readonly output: readonly string[];
}

/** A block of a session: lines that begin with `$ ` were typed, the rest was answered. */
export const sessionOf = ({ text }: CodeBlock): Shown[] => {
  const shown: { command: string; output: string[] }[] = [];
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('$ ')) shown.push({ command: line.slice(2), output: [] });
    else shown.at(-1)?.output.push(line);
  }
  return shown;
};
