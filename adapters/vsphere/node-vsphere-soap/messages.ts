// What client and worker say to each other.
import type { VimMethod } from '../port.ts';
import type { MoRef } from '../vim25/types.ts';

export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly method: VimMethod; readonly on: MoRef; readonly args: object }
  /** Without a text the call is over: the package gets a fault that says nothing. */
  | { readonly kind: 'answer'; readonly id: number; readonly text?: string | undefined };

export type FromWorker =
  | { readonly kind: 'envelope'; readonly id: number; readonly text: string }
  | { readonly kind: 'done' | 'failed'; readonly id: number };
