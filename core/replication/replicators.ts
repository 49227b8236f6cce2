import type { Item } from '../domain/item.ts';
import { JOURNALED } from './journaled/journaled.ts';
import type { Replicator } from './replicator.ts';

export const replicatorOf = (_item: Pick<Item, 'id'>): Replicator => JOURNALED;
