// Text for people: hostile names made visible and harmless, widths as a terminal has them, numbers with units.

/** Control characters (C0, DEL, C1), line and paragraph separators, and what changes the direction of text or is invisible. */
const UNSAFE = /[\p{Cc}\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu;
const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u001b': '\\e' };

/** Nothing that a name contains can move the cursor, hide text or forge a line of output. */
export const visible = (text: string): string =>
  text.replace(UNSAFE, (found) => NAMED[found] ?? `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`);

/** As `visible`, for texts of our own that have several lines. */
export const visibleLines = (text: string): string => text.split('\n').map(visible).join('\n');

/** For JSON and YAML in double quotes: the same characters as escapes, so that the value stays what it is. */
export const escapeUnsafe = (json: string): string =>
  json.replace(UNSAFE, (found) => (found === '\n' ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`));

export const hasUnsafe = (text: string): boolean => text.replaceAll('\n', '').search(UNSAFE) >= 0;

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\ufe0f/u;
const PLAIN = /^[\x20-\x7e]*$/;

const clusters = (text: string): string[] => Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
const clusterWidth = (cluster: string): number => (WIDE.test(cluster) ? 2 : 1);

/** Columns that the text takes in a terminal. */
export const widthOf = (text: string): number =>
  PLAIN.test(text) ? text.length : clusters(text).reduce((sum, cluster) => sum + clusterWidth(cluster), 0);

/** Cut to at most `width` columns, an ellipsis in place of what is cut. */
export const shorten = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const cluster of clusters(text)) {
    const next = clusterWidth(cluster);
    if (used + next > width - 1) break;
    kept += cluster;
    used += next;
  }
  return `${kept}…`;
};

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export const bytesText = (bytes: number): string => {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, '')} ${UNITS[unit]}`;
};

export const durationText = (ms: number): string => {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, '')} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
};

const two = (value: number): string => String(value).padStart(2, '0');

/** Local and short: the time alone for today, the day and the time else. */
export const timeText = (iso: string, nowMs = Date.now()): string => {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return visible(iso);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const now = new Date(nowMs);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const today = at.toDateString() === now.toDateString();
  return today ? clock : `${day} ${clock.slice(0, 5)}`;
};

export const ageText = (iso: string, nowMs = Date.now()): string => durationText(Math.max(0, nowMs - Date.parse(iso)));
