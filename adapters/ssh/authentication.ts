// In which order what we have is shown to a server that is trusted by now: the agent's keys, the key file, the password.
import type { AnyAuthMethod, AuthenticationType, Prompt } from 'ssh2';
import { DrError } from '../../core/contract/errors.ts';
import type { Credentials } from './credentials.ts';

/** A method that ssh2 can be given, and what RFC 4252 calls it. */
interface Attempt {
  readonly method: string;
  readonly with: AnyAuthMethod;
}

export class Authentication {
  /** Set once there is nothing left to try. */
  rejection: DrError | undefined;
  readonly #where: string;
  readonly #username: string;
  readonly #attempts: Attempt[];
  #methods: readonly string[] = [];
  #keyTrouble: Error | undefined;

  constructor(where: string, username: string, { agent, key, password }: Credentials) {
    this.#where = where;
    this.#username = username;
    this.#attempts = [
      ...(agent ? [{ method: 'publickey', with: { type: 'agent', username, agent: agent.agent } } as const] : []),
      ...(key ? [{ method: 'publickey', with: { type: 'publickey', username, key } } as const] : []),
      ...(password === undefined ? [] : this.#passwordAttempts(password)),
    ];
  }

  /** ssh2 asks what to try next: null at first, then what the server would still take. `false` ends it. */
  next(methods: readonly AuthenticationType[] | null): AnyAuthMethod | false {
    // A server tells its methods with a refusal only. OpenSSH does not count this one.
    if (methods === null) return { type: 'none', username: this.#username };
    this.#methods = methods;
    for (let attempt = this.#attempts.shift(); attempt; attempt = this.#attempts.shift()) {
      if (methods.includes(attempt.method as AuthenticationType)) return this.#once(attempt);
    }
    this.rejection ??= this.#rejected();
    return false;
  }

  /** A key that the agent or OpenSSL did not sign with; the other ways are still tried. */
  note(trouble: Error): void {
    this.#keyTrouble = trouble;
  }

  changeDemanded(): DrError {
    return new DrError('AUTH_REJECTED', `${this.#where} demands a new password of user ${this.#username}`, {
      hint: 'set a new password for the account',
      context: { name: this.#username },
    });
  }

  #passwordAttempts(password: string): Attempt[] {
    const username = this.#username;
    return [
      { method: 'password', with: { type: 'password', username, password } },
      { method: 'keyboard-interactive', with: this.#interactive(password) },
    ];
  }

  /** One wrong password is sent once: the same again by the other method would only count towards a lockout. */
  #once(attempt: Attempt): AnyAuthMethod {
    if (attempt.method === 'password') {
      const other = this.#attempts.findIndex(({ method }) => method === 'keyboard-interactive');
      if (other >= 0) this.#attempts.splice(other, 1);
    }
    return attempt.with;
  }

  /** The first hidden question is the password; what a server asks beyond it, such as a new password, is not answered. */
  #interactive(password: string): AnyAuthMethod {
    let answered = false;
    const answer = ({ echo }: Prompt): string => {
      if (answered || echo === true) return '';
      answered = true;
      return password;
    };
    return {
      type: 'keyboard-interactive',
      username: this.#username,
      prompt: (_name, _instructions, _language, prompts, finish) => finish(prompts.map(answer)),
    };
  }

  #rejected(): DrError {
    const takes = this.#methods.length === 0 ? 'no method' : this.#methods.join(', ');
    const why = this.#keyTrouble === undefined ? '' : `; a key was not used: ${this.#keyTrouble.message}`;
    return new DrError('AUTH_REJECTED', `${this.#where} rejects user ${this.#username}; it takes ${takes}${why}`, {
      context: { name: this.#username },
    });
  }
}
