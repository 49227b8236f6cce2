import type { Item, ReplicationMethod } from '../domain/item.ts';
import { JOURNALED } from './journaled/journaled.ts';
import { NATIVE } from './native/native.ts';
import type { Replicator } from './replicator.ts';

export const REPLICATORS: Readonly<Record<ReplicationMethod, Replicator>> = { journaled: JOURNALED, native: NATIVE };

export const replicatorOf = ({ method }: Pick<Item, 'method'>): Replicator => REPLICATORS[method];
