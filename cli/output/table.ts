import { shorten, visible, widthOf } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  value(row: Row): string | number | undefined;
  /** Shown by `-o wide` only. */
  readonly wide?: true;
  readonly right?: true;
  /** A colour for the cell; the text is what counts, it never depends on the colour. */
  readonly style?: (row: Row) => Style | undefined;
}
export type Style = 'green' | 'yellow' | 'red' | 'dim' | 'bold';
export type Paint = (style: Style, text: string) => string;

export interface TableOptions {
  readonly wide: boolean;
  /** Columns of the terminal; undefined: never cut. */
  readonly width?: number | undefined;
  readonly paint: Paint;
}

const GAP = 2;
/** A cell for people is cut here even where no terminal sets a limit; `-o wide` and the other formats have it whole. */
const WIDEST_CELL = 80;
const LEAST_CUT = 12;

/** Widest columns give way first, none below its title or twelve. */
const shrink = (widths: number[], titles: readonly string[], total: number): number[] => {
  const least = titles.map((title) => Math.max(LEAST_CUT, title.length));
  for (;;) {
    const over = widths.reduce((sum, width) => sum + width + GAP, -GAP) - total;
    if (over <= 0) return widths;
    const candidates = widths.map((width, index) => (width > (least[index] ?? 0) ? width : -1));
    const widest = candidates.indexOf(Math.max(...candidates));
    if ((candidates[widest] ?? -1) < 0) return widths;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
};

/** Rows under titles, without borders: every line can be cut at the same columns by awk and by the eye. */
export const renderTable = <Row>(rows: readonly Row[], all: readonly Column<Row>[], options: TableOptions): string => {
  const columns = all.filter((column) => options.wide || !column.wide);
  const cells = rows.map((row) => columns.map((column) => visible(String(column.value(row) ?? '-'))));
  const titles = columns.map((column) => column.title.toUpperCase());
  const natural = titles.map((title, index) => Math.max(widthOf(title), ...cells.map((line) => widthOf(line[index] ?? ''))));
  const capped = options.wide ? natural : natural.map((width) => Math.min(width, WIDEST_CELL));
  const widths = options.width === undefined ? capped : shrink(capped, titles, options.width);
  const pad = (text: string, index: number): string => {
    const cut = shorten(text, widths[index] ?? 0);
    const filling = ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(cut)));
    return columns[index]?.right ? filling + cut : cut + filling;
  };
  const lines = [options.paint('bold', titles.map(pad).join(' '.repeat(GAP)).trimEnd())];
  for (const [number, line] of cells.entries()) {
    const row = rows[number] as Row;
    const painted = line.map((text, index) => {
      const style = columns[index]?.style?.(row);
      return style ? options.paint(style, pad(text, index)) : pad(text, index);
    });
    lines.push(painted.join(' '.repeat(GAP)).trimEnd());
  }
  return `${lines.join('\n')}\n`;
};
