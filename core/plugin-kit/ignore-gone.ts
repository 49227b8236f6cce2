import { isDrError } from '../contract/index.ts';

/**
 * Deleting what is not there succeeds: the call before may have done it, and only its answer was lost.
 *
 * ```ts
 * deleteReplica: (id, call) => ignoreGone(() => client.destroyVm(id, call.signal)),
 * ```
 */
export const ignoreGone = async (remove: () => Promise<unknown>): Promise<void> => {
  try {
    await remove();
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND', 'SNAPSHOT_GONE')) throw error;
  }
};
