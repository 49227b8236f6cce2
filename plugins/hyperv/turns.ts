import { Turns } from '../../core/plugin-kit/index.ts';

/** Cycles of a machine, between two calls of this process: what one is at, another must not take for left behind. */
export const turns = new Turns();
