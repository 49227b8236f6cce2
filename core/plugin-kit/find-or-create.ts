import { type Call, isDrError } from '../contract/index.ts';

export interface FindOrCreate<T> {
  /** Looks for what carries this operation id as its tag. It must see what `create` made as soon as that exists at all. */
  find(operationId: string): Promise<T | undefined>;
  /** Makes it and tags it in the same step; a thing made first and tagged later would be made twice after a lost answer. */
  create(operationId: string): Promise<T>;
}

/**
 * Makes a thing once for each operation id, however often the call is sent. When `create` ends in STATE_CONFLICT, another call of the same id
 * may have been faster: then its thing is found, else the conflict stands.
 *
 * ```ts
 * createTestNetwork: (like, call) => findOrCreate(call, {
 *   find: (operationId) => client.findSwitchByNote(`warmsite:${operationId}`),
 *   create: (operationId) => client.createSwitch({ like, note: `warmsite:${operationId}` }),
 * }),
 * ```
 */
export const findOrCreate = async <T>(call: Call, { find, create }: FindOrCreate<T>): Promise<T> => {
  const { operationId, signal } = call;
  signal.throwIfAborted();
  const before = await find(operationId);
  if (before !== undefined) return before;
  signal.throwIfAborted();
  try {
    return await create(operationId);
  } catch (error) {
    const after = isDrError(error, 'STATE_CONFLICT') ? await find(operationId) : undefined;
    if (after === undefined) throw error;
    return after;
  }
};
