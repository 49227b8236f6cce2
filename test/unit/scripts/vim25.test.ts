import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type Schema, schemaText, subsetOf, typesText } from '../../../scripts/vim25.ts';

const FOLDER = resolve('adapters/vsphere/vim25');
const text = readFileSync(join(FOLDER, 'schema.json'), 'utf8');
const schema = JSON.parse(text) as Schema;

describe('the schema of the vSphere API', () => {
  it('has the types that are made from it', () => {
    expect(readFileSync(join(FOLDER, 'types.ts'), 'utf8')).to.equal(typesText(schema));
  });

  it('holds all that is wanted of the table, and no more', () => {
    // As if it were the whole table, of whose faults it keeps the names only.
    const names = Object.entries(schema.faults).map(([name, base]) => [name, { base, fields: [] }]);
    const types = { ...Object.fromEntries(names), ...schema.types };

    expect(schemaText(subsetOf({ managedObjects: schema.objects, methods: schema.methods, types, enums: schema.enums }))).to.equal(text);
  });
});
