// What the frames of the lab's socket carry.
import type { FrameLimits } from '../agent/frames.ts';

/** Room for an inventory, and for the whole content of a small disk. */
export const FRAME_LIMITS: FrameLimits = { headerBytes: 64 << 20, tailBytes: 64 << 20 };

export type Request =
  | { readonly id: number; readonly method: string; readonly args: object; readonly tail: boolean }
  | { readonly cancel: number };

/** Takes the field `data` out of arguments or a result. */
export const splitData = (value: object): { rest: object; data: Uint8Array | undefined } => {
  const { data, ...rest } = value as { data?: Uint8Array };
  return { rest, data };
};
