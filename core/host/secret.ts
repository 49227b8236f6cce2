import { inspect } from 'node:util';
import type { ErrorContext, Log } from '../contract/index.ts';

const MASK = '***';

/** A value that no print shows: String(), templates, JSON and util.inspect give `***`. Only `reveal()` gives the value. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [Symbol.toPrimitive](): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** Shorter values would mask half of every message, and are guessed faster than they are read. */
const MIN_MASKED_LENGTH = 4;

/** Masks the secrets of one session in whatever its plugin says: vendors quote passwords in messages, URLs and command lines. */
export class Redactor {
  readonly #forms: readonly string[];
  readonly #logs = new WeakMap<Log, Log>();

  constructor(secrets: readonly Secret[]) {
    const values = secrets.map((secret) => secret.reveal()).filter((value) => value.length >= MIN_MASKED_LENGTH);
    const forms = values.flatMap((value) => [
      value,
      encodeURIComponent(value),
      JSON.stringify(value).slice(1, -1),
      Buffer.from(value).toString('base64'),
    ]);
    // The longest first, else a value inside another one leaves the rest of it readable.
    this.#forms = [...new Set(forms)].sort((a, b) => b.length - a.length);
  }

  text(text: string): string {
    let masked = text;
    for (const form of this.#forms) if (masked.includes(form)) masked = masked.replaceAll(form, MASK);
    return masked;
  }

  context(context: ErrorContext): ErrorContext {
    return Object.fromEntries(Object.entries(context).map(([key, value]) => [key, typeof value === 'string' ? this.text(value) : value]));
  }

  /** The error itself when it holds no secret, else a plain error with its masked text. */
  cause(cause: unknown): unknown {
    if (this.#forms.length === 0 || cause === undefined) return cause;
    const shown = inspect(cause, { depth: 6 });
    const masked = this.text(shown);
    if (masked === shown) return cause;
    const copy = new Error(this.text(cause instanceof Error ? cause.message : String(cause)));
    copy.stack = masked;
    return copy;
  }

  /** The same log for the same log. Fields that hold a secret are replaced by their masked print. */
  log(log: Log): Log {
    if (this.#forms.length === 0) return log;
    const known = this.#logs.get(log);
    if (known !== undefined) return known;
    const masking: Log = {
      debug: (message, fields) => log.debug(this.text(message), this.#fields(fields)),
      info: (message, fields) => log.info(this.text(message), this.#fields(fields)),
      warn: (message, fields) => log.warn(this.text(message), this.#fields(fields)),
    };
    this.#logs.set(log, masking);
    return masking;
  }

  #fields(fields: object = {}): object {
    return Object.fromEntries(
      Object.entries(fields).map(([key, value]) => {
        if (typeof value === 'string') return [key, this.text(value)];
        const shown = inspect(value, { depth: 6 });
        const masked = this.text(shown);
        return [this.text(key), masked === shown ? value : masked];
      }),
    );
  }
}
