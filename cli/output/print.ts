// What a command answers, in the form that was asked for: data on stdout.
import { styleText } from 'node:util';
import { DrError, ERRORS, type ErrorRecord } from '../../core/contract/index.ts';
import { type Column, type Paint, renderTable } from './table.ts';
import { escapeUnsafe, hasUnsafe, visible, visibleLines } from './text.ts';

export const API_VERSION = 'warmsite/v1';

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name', 'jsonl'] as const;
export type Format = (typeof FORMATS)[number];

/** Where output goes and what it can show there. */
export interface Screen {
  out(text: string): void;
  err(text: string): void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly columns: number;
  readonly color: boolean;
}

export interface ListView<Row> {
  /** `Site` is printed as `SiteList`. */
  readonly kind: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly name: (row: Row) => string;
  /** Said on stderr instead of an empty table. */
  readonly empty: string;
}

export interface OneView {
  readonly kind: string;
  readonly data: unknown;
  readonly name: string;
  /** The form for people; without it the fields are listed. */
  readonly text?: string;
}

const withVersion = (kind: string, content: object): object => ({ apiVersion: API_VERSION, kind, ...content });
const toJson = (value: unknown): string => `${escapeUnsafe(JSON.stringify(value, undefined, 2))}\n`;

const toYaml = async (value: unknown): Promise<string> => {
  const { stringify } = await import('yaml');
  const text = stringify(value, { aliasDuplicateObjects: false });
  return hasUnsafe(text) ? escapeUnsafe(stringify(value, { aliasDuplicateObjects: false, defaultStringType: 'QUOTE_DOUBLE' })) : text;
};

export class Printer {
  readonly #screen: Screen;
  readonly #format: Format;

  constructor(screen: Screen, format: Format) {
    this.#screen = screen;
    this.#format = format;
  }

  get format(): Format {
    return this.#format;
  }

  /** Somebody reads it as it is: no machine format was asked for. */
  get forPeople(): boolean {
    return this.#format === 'table' || this.#format === 'wide';
  }

  readonly paint: Paint = (style, text) => (this.#screen.color ? styleText(style, text, { validateStream: false }) : text);

  async list<Row>(view: ListView<Row>): Promise<void> {
    const { kind, rows } = view;
    if (this.#format === 'json') return this.#screen.out(toJson(withVersion(`${kind}List`, { items: rows })));
    if (this.#format === 'yaml') return this.#screen.out(await toYaml(withVersion(`${kind}List`, { items: rows })));
    if (this.#format === 'jsonl') {
      for (const row of rows) this.line(kind, row);
      return;
    }
    if (this.#format === 'name') return this.#screen.out(rows.map((row) => `${visible(view.name(row))}\n`).join(''));
    if (rows.length === 0) return this.#screen.err(`${view.empty}\n`);
    this.table(rows, view.columns);
  }

  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
    const width = this.#screen.outIsTerminal ? this.#screen.columns : undefined;
    this.#screen.out(renderTable(rows, columns, { wide: this.#format === 'wide', width, paint: this.paint }));
  }

  async one(view: OneView): Promise<void> {
    const { kind, data } = view;
    if (this.#format === 'json') return this.#screen.out(toJson(withVersion(kind, { data })));
    if (this.#format === 'yaml') return this.#screen.out(await toYaml(withVersion(kind, { data })));
    if (this.#format === 'jsonl') return this.line(kind, data);
    if (this.#format === 'name') return this.#screen.out(`${visible(view.name)}\n`);
    this.#screen.out(view.text === undefined ? fieldsText(data) : visibleLines(ended(view.text)));
  }

  /** One object a line: what is watched. */
  line(kind: string, data: unknown): void {
    this.#screen.out(`${escapeUnsafe(JSON.stringify(withVersion(kind, { data })))}\n`);
  }

  text(text: string): void {
    this.#screen.out(visibleLines(ended(text)));
  }

  /** A line that is painted: its parts have been made visible before. */
  raw(line: string): void {
    this.#screen.out(`${line}\n`);
  }

  say(text: string): void {
    this.#screen.err(visibleLines(ended(text)));
  }

  /** The error on stderr; for a program that reads JSON also on stdout, in the same form as an answer. */
  error(record: ErrorRecord, stack?: string, { onStdout = true }: { readonly onStdout?: boolean } = {}): void {
    const where = Object.entries(record.context).map(([key, value]) => `${key} ${String(value)}`);
    const lines = [
      `${this.paint('red', 'error:')} ${visible(record.message)}`,
      ...(where.length > 0 ? [`  what: ${record.code} on ${visible(where.join(', '))}`] : []),
      `  next: ${visible(record.hint)}`,
      ...(stack === undefined ? [] : [visibleLines(stack)]),
    ];
    this.#screen.err(`${lines.join('\n')}\n`);
    if (!onStdout || (this.#format !== 'json' && this.#format !== 'jsonl')) return;
    const body = withVersion('Error', { data: { ...record, exitCode: ERRORS[record.code].exit } });
    this.#screen.out(this.#format === 'json' ? toJson(body) : `${escapeUnsafe(JSON.stringify(body))}\n`);
  }
}

const ended = (text: string): string => (text.endsWith('\n') ? text : `${text}\n`);

const isPlain = (value: unknown): value is string | number | boolean => ['string', 'number', 'boolean'].includes(typeof value);

/** Fields one below the other; what is nested is indented. */
export const fieldsText = (data: unknown, indent = ''): string => {
  if (data === null || typeof data !== 'object') return `${indent}${visible(String(data ?? ''))}\n`;
  const entries = Object.entries(data).filter(([, value]) => value !== undefined && value !== null);
  const width = Math.max(0, ...entries.filter(([, value]) => isPlain(value)).map(([key]) => visible(key).length));
  return entries
    .map(([key, value]) => {
      if (isPlain(value)) return `${indent}${visible(key).padEnd(width)}  ${visible(String(value))}\n`;
      if (Array.isArray(value) && value.every(isPlain))
        return `${indent}${visible(key).padEnd(width)}  ${visible(value.join(', ') || '-')}\n`;
      const inner = Array.isArray(value)
        ? value.map((entry) => fieldsText(entry, `${indent}  `)).join(value.every((entry) => isPlain(entry)) ? '' : '\n')
        : fieldsText(value, `${indent}  `);
      return `${indent}${visible(key)}\n${inner}`;
    })
    .join('');
};

/** The format that was asked for; USAGE with the choices when there is no such format. */
export const parseFormat = (text: string): Format => {
  const found = FORMATS.find((format) => format === text);
  if (found) return found;
  throw new DrError('USAGE', `there is no output format ${JSON.stringify(text)}`, { hint: `choose one of: ${FORMATS.join(', ')}` });
};
