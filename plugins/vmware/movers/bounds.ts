import { DrError } from '../../../core/contract/index.ts';
import { ALIGNMENT_BYTES } from './mover.ts';

/** A request that is out of bounds or not aligned never reaches a device: some would grow the file. */
export const assertRange = (what: string, sizeBytes: number, offset: number, length: number): void => {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (whole && offset + length <= sizeBytes && offset % ALIGNMENT_BYTES === 0 && length % ALIGNMENT_BYTES === 0) return;
  throw new DrError(
    'CONTRACT_VIOLATED',
    `a request for ${length} bytes at ${offset} of ${what} (${sizeBytes} bytes) is out of bounds or not aligned`,
    {
      context: { offset, length, sizeBytes },
    },
  );
};
