import { DrError, type ErrorCode } from '../../core/contract/errors.ts';

const KEPT_LINES = 60;
const MAX_LINE = 4096;

/** A secret may be up to six times as long where it is written for XML. */
const LONGEST_FORM = 6;

/**
 * What nbdkit has said, by lines: the last of them that tell something, without its secret. Memory stays bounded whatever it says.
 * A secret of more than one line is not recognised.
 */
export class Output {
  readonly #secret: string;
  readonly #onLine: (line: string) => void;
  readonly #lines: { readonly at: number; readonly line: string }[] = [];
  #rest = '';
  /** The rest of a line that was cut. */
  #skipping = false;

  constructor(secret: string, onLine: (line: string) => void) {
    this.#secret = secret;
    this.#onLine = onLine;
  }

  get lines(): readonly string[] {
    return this.since(0);
  }

  /** By performance.now(). */
  since(at: number): readonly string[] {
    return this.#lines.filter((line) => line.at >= at).map(({ line }) => line);
  }

  push(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (!this.#skipping) this.#add(line);
      this.#skipping = false;
    }
    if (this.#rest.length < MAX_LINE) return;
    // The end of what is here may be the beginning of the secret.
    if (!this.#skipping) this.#add(scrub(this.#rest, this.#secret).slice(0, -LONGEST_FORM * this.#secret.length || undefined));
    this.#skipping = true;
    this.#rest = '';
  }

  /** What was said without a line's end, because there will be none. */
  end(): void {
    if (!this.#skipping) this.#add(this.#rest);
    this.#rest = '';
  }

  #add(line: string): void {
    const clean = scrub(line, this.#secret);
    if (!tells(clean)) return;
    this.#lines.push({ at: performance.now(), line: clean });
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    this.#onLine(clean);
  }
}

/** Also as it looks inside of a URL or of XML. */
const scrub = (line: string, secret: string): string => {
  if (secret === '') return line;
  const xml = secret.replace(/[&<>"']/g, (sign) => `&${{ '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }[sign]};`);
  return [secret, encodeURIComponent(secret), xml].reduce((text, form) => text.replaceAll(form, '***'), line);
};

interface Saying {
  readonly says: RegExp;
  readonly code: ErrorCode;
  readonly hint: (vddkLibDir: string) => string;
  /** Also in lines that nbdkit marks as debug: VDDK does not tell it as an error. */
  readonly debugToo?: true;
}

const INSTALL_NBDKIT = 'install nbdkit: apt-get install nbdkit, or dnf install nbdkit';

/**
 * First match wins. Wordings: nbdkit 1.32 (tried), its vddk plugin's source, VDDK 6.5 to 8 as quoted in public reports
 * (kubevirt CDI#3385 for error 13, vJailbreak's log parser, adminsyspro/proxcenter-ui#438, migratekit#14). Not tried against a real VDDK.
 */
const SAYINGS: readonly Saying[] = [
  {
    says: /incorrect user ?name or password|cannot complete login|InvalidLogin|NotAuthenticated/i,
    code: 'AUTH_REJECTED',
    hint: () => 'check the credential that the endpoint refers to: VDDK logs in by itself, with the same account',
  },
  {
    says: /failed to verify ssl certificate|thumbprint mismatch|ssl thumbprint|certificate verif\w+ failed/i,
    code: 'CERTIFICATE_UNTRUSTED',
    hint: () => 'compare the SHA-1 fingerprint that VDDK was given with that of the server, and accept it with endpoint trust',
    debugToo: true,
  },
  {
    says: /cannot open plugin 'vddk'/,
    code: 'CONFIG_INVALID',
    hint: () => 'install the vddk plugin of nbdkit: apt-get install nbdkit-plugin-vddk (contrib), or dnf install nbdkit-vddk-plugin',
  },
  {
    says: /libvixDiskLib\.so|required VDDK symbol|VDDK version must be|realpath: .*: No such file|cannot open shared object file/,
    code: 'CONFIG_INVALID',
    hint: (vddkLibDir) => `unpack VMware's VDDK for linux so that ${vddkLibDir}/lib64 holds libvixDiskLib.so, or correct vddkLibDir`,
  },
  {
    says: /address lookup|name resolution|Name or service not known|getaddrinfo/i,
    code: 'CONNECTION_REFUSED',
    hint: () => 'make the names of all ESXi hosts resolve on this machine: vCenter sends VDDK to them by name',
  },
  {
    says: /failed to allocate the requested|NFC error 5\b|too many (NFC )?connections|NfcFssrvr.*memory/i,
    code: 'HOST_BUSY',
    hint: () => 'copy fewer disks of this host at once: its NFC service has no memory left',
  },
  {
    says: /refused connection|connection refused|NBD_ERR_NETWORK_CONNECT|connection timed out|failed to connect|cannot connect/i,
    code: 'CONNECTION_REFUSED',
    hint: () => 'open TCP port 902 from this machine to the ESXi hosts, and 443 to vCenter',
  },
  {
    says: /failed to lock the file|FileLock|file is (locked|in use)|disk is locked/i,
    code: 'FILE_LOCKED',
    hint: () => 'find what holds the disk: a running machine, a backup, or an earlier session that has not timed out (30 minutes)',
  },
  {
    says: /do not have access rights|Error 13\b|insufficient permission|permission to perform/i,
    code: 'PERMISSION_DENIED',
    hint: () =>
      'grant the account Disk access (DiskLease, DiskRandomRead), and give the snapshot: without one a running disk is refused alike',
  },
  {
    says: /(file|disk|object)[^.]* (was not found|could not be found)|cannot find|has already been deleted/i,
    code: 'NOT_FOUND',
    hint: () => 'check that machine, snapshot and disk still exist where the inventory says',
  },
  {
    says: /one of the parameters was invalid/i,
    code: 'CONFIG_INVALID',
    hint: () => 'check server, machine, snapshot and disk path: VDDK does not say which one it dislikes',
  },
];

const isDebug = (line: string): boolean => /^nbdkit: ([^ ]+: )?debug: /.test(line);

/** Debug messages are many, and few of them are worth a place among the last words. */
const tells = (line: string): boolean =>
  line.trim() !== '' && (!isDebug(line) || SAYINGS.some(({ says, debugToo }) => debugToo && says.test(line)));

/** What was wrong by nbdkit's own words, or undefined. The line that says it is in the message. */
export const understand = (lines: readonly string[], vddkLibDir: string, what: string, cause: unknown): DrError | undefined => {
  for (const saying of SAYINGS) {
    const line = lines.findLast((candidate) => saying.says.test(candidate) && (saying.debugToo || !isDebug(candidate)));
    if (line !== undefined) return new DrError(saying.code, `${what}: ${line}`, { hint: saying.hint(vddkLibDir), cause });
  }
  return undefined;
};

/** The last thing that was said as an error, if any. */
export const lastError = (lines: readonly string[]): string | undefined =>
  lines.findLast((line) => / error: /.test(line) && !isDebug(line)) ?? lines.findLast((line) => !isDebug(line));

export const notInstalled = (program: string, cause: unknown): DrError =>
  new DrError('CONFIG_INVALID', `${program} is not here or cannot be run`, { hint: INSTALL_NBDKIT, context: { path: program }, cause });
