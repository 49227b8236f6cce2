export * from './find-or-create.ts';
export * from './ignore-gone.ts';
export * from './ordered-extents.ts';
export * from './paged.ts';
export * from './poll-task.ts';
export { realTime, type Time } from './time.ts';
export * from './turns.ts';
export * from './with-deadline.ts';
