import { type DrError, isDrError } from '../../core/contract/index.ts';

/** What the work fails with, which must be an error of the contract. */
export const errorOf = async (work: PromiseLike<unknown>): Promise<DrError> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (isDrError(error)) return error;
  throw new Error(`expected a DrError, got ${String(error)}`, { cause: error });
};
