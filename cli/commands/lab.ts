import type { CommandSpec } from '../command.ts';

export const commands: readonly CommandSpec[] = [];
