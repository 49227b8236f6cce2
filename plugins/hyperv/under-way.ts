import { Turns } from '../../core/plugin-kit/index.ts';

export interface Attachment {
  readonly key: string;
  readonly number: number;
  readonly writable: boolean;
  users: number;
}

/**
 * What all sessions of one plugin are at, at whatever address of a cluster: machines and files are one of a kind everywhere. An attached file or
 * an open cycle that is not in here was left by a process that is gone.
 */
export class UnderWay {
  /** A host attaches a file once, whichever session asked for it. */
  readonly attached = new Map<string, Attachment>();
  readonly files = new Turns();
  /** What one call is at with the cycle of a machine, another must not take for left behind. */
  readonly cycles = new Turns();
  readonly marks = new Turns();
}
