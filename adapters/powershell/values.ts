// Values as the dispatcher writes them: what JSON has not is an object that says what it is.
import { DrError } from '../../core/contract/index.ts';
import type { PsError, PsRow, PsValue, StepResult } from './port.ts';

/** What a host sends for a whole number of 64 bits, an enumeration, a date, a span of time and a dictionary. */
interface Tagged {
  readonly $int?: string;
  readonly $enum?: string;
  readonly value?: string;
  readonly $date?: string;
  readonly $ms?: number;
  readonly $map?: object;
}

export interface Reply {
  readonly ok: boolean;
  readonly steps: readonly StepResult[];
  readonly error?: PsError;
}

/** Throws PROTOCOL_ERROR for what no dispatcher of ours sends. */
export const readReply = (text: string): Reply => {
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
  } catch (cause) {
    throw new DrError('PROTOCOL_ERROR', 'the reply of the host is no JSON', { cause });
  }
  const { ok, steps, error } = (raw ?? {}) as { ok?: unknown; steps?: unknown; error?: PsError };
  if (ok === false && typeof error?.category === 'string') return { ok, steps: [], error };
  if (ok === true && Array.isArray(steps)) return { ok, steps: steps.map(readStep) };
  throw new DrError('PROTOCOL_ERROR', 'the reply of the host is none of the dispatcher');
};

interface RawStep {
  readonly rows?: readonly object[];
  readonly count?: number;
  readonly warnings?: readonly string[];
  readonly errors?: readonly PsError[];
}

const readStep = (raw: unknown): StepResult => {
  const { rows = [], count = rows.length, warnings = [], errors = [] } = raw as RawStep;
  return { rows: rows.map((row) => readObject(row)), count, warnings, errors };
};

const readObject = (raw: object): PsRow => Object.fromEntries(Object.entries(raw).map(([name, value]) => [name, readValue(value)]));

const readValue = (raw: unknown): PsValue => {
  if (Array.isArray(raw)) return raw.map(readValue);
  if (typeof raw !== 'object' || raw === null) return raw as PsValue;
  const { $int, $enum, value, $date, $ms, $map } = raw as Tagged;
  if ($int !== undefined) return wholeNumber($int);
  if ($enum !== undefined) return { name: $enum, value: Number(value) };
  if ($date !== undefined) return new Date($date).toISOString();
  if ($ms !== undefined) return $ms;
  return readObject($map ?? raw);
};

const wholeNumber = (text: string): number | bigint => {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
};
