import { DrError } from '../contract/index.ts';
import type { Item, ItemFork } from '../domain/item.ts';

export const forkOf = (item: Item, purpose: ItemFork['purpose']): ItemFork => {
  const fork = purpose === 'test' ? item.testFork : item.fork;
  if (!fork) throw new DrError('STATE_CONFLICT', `the fork of ${item.name} is gone`, { context: { item: item.id } });
  return fork;
};
