// The one writer of protected items.
import { DrError, type ItemId } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import { assertValid } from '../domain/validity.ts';
import type { Db } from './database.ts';
import { isNear } from './records.ts';

const parse = (row: { readonly doc: string }): Item => JSON.parse(row.doc) as Item;

/** Where the source is: one machine is protected once. */
export const sourceKeyOf = (item: Pick<Item, 'source'>): string => `${item.source.endpoint}\n${item.source.machine}`;

export const listItems = async (db: Db, groupId?: string): Promise<Item[]> => {
  const query = db.selectFrom('item').select('doc').orderBy('name').orderBy('id');
  return (await (groupId ? query.where('groupId', '=', groupId) : query).execute()).map(parse);
};

export const findItem = async (db: Db, id: ItemId): Promise<Item | undefined> => {
  const row = await db.selectFrom('item').select('doc').where('id', '=', id).executeTakeFirst();
  return row && parse(row);
};

export const getItem = async (db: Db, id: ItemId): Promise<Item> => {
  const item = await findItem(db, id);
  if (!item) throw new DrError('NOT_FOUND', `there is no protected machine with the id ${id}`, { context: { kind: 'item', item: id } });
  return item;
};

export const findItemBySource = async (db: Db, endpoint: string, machine: string): Promise<Item | undefined> => {
  const row = await db.selectFrom('item').select('doc').where('sourceKey', '=', `${endpoint}\n${machine}`).executeTakeFirst();
  return row && parse(row);
};

/** By id, or by name when just one has it: names are not unique. */
export const getItemByName = async (db: Db, nameOrId: string): Promise<Item> => {
  const rows = (
    await db
      .selectFrom('item')
      .select('doc')
      .where((where) => where.or([where('id', '=', nameOrId), where('name', '=', nameOrId)]))
      .execute()
  ).map(parse);
  const [only, second] = rows;
  if (only && second) {
    throw new DrError('USAGE', `${rows.length} protected machines are called ${JSON.stringify(nameOrId)}`, {
      context: { kind: 'item', name: nameOrId },
      hint: `name one by its id: ${rows.map((item) => `${item.id} (${item.source.endpoint})`).join(', ')}`,
    });
  }
  if (only) return only;
  const near = (await listItems(db)).find((item) => isNear(item.name, nameOrId));
  throw new DrError('NOT_FOUND', `there is no protected machine ${JSON.stringify(nameOrId)}`, {
    context: { kind: 'item', name: nameOrId },
    hint: near ? `did you mean ${JSON.stringify(near.name)}?` : 'run status to see what is protected, or protect the machine first',
  });
};

export const insertItem = async (tx: Db, item: Item): Promise<void> => {
  assertValid(item);
  if (await findItemBySource(tx, item.source.endpoint, item.source.machine))
    throw new DrError('ALREADY_PROTECTED', `${item.name} is already protected`, { context: { machine: item.source.machine } });
  await tx
    .insertInto('item')
    .values({ id: item.id, groupId: item.groupId, name: item.name, sourceKey: sourceKeyOf(item), doc: JSON.stringify(item), version: 1 })
    .execute();
};

/** Read, change, check, write: inside the caller's transaction. Returns what was stored. */
export const updateItem = async (tx: Db, id: ItemId, change: (item: Item) => Item): Promise<Item> => {
  const next = assertValid(change(await getItem(tx, id)));
  await tx
    .updateTable('item')
    .set((is) => ({
      doc: JSON.stringify(next),
      name: next.name,
      groupId: next.groupId,
      sourceKey: sourceKeyOf(next),
      version: is('version', '+', 1),
    }))
    .where('id', '=', id)
    .execute();
  return next;
};

export const deleteItem = async (tx: Db, id: ItemId): Promise<void> => {
  await tx.deleteFrom('point').where('itemId', '=', id).execute();
  await tx.deleteFrom('item').where('id', '=', id).execute();
};
