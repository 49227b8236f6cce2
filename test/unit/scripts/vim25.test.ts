import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type Schema, schemaText, subsetOf, typesText } from '../../../scripts/vim25.ts';

const FOLDER = resolve('adapters/vsphere/vim25');
const TABLE = resolve('../shared/reference/interfaces/vim25.json');

const schema = readFileSync(join(FOLDER, 'schema.json'), 'utf8');

describe('the schema of the vSphere API', () => {
  it('has the types that are made from it', () => {
    expect(readFileSync(join(FOLDER, 'types.ts'), 'utf8')).to.equal(typesText(JSON.parse(schema) as Schema));
  });

  it("is our part of the vendor's table", function () {
    if (!existsSync(TABLE)) {
      this.test!.title += ` (the table is not kept with the project: ${TABLE} is absent)`;
      this.skip();
    }

    expect(schema).to.equal(schemaText(subsetOf(JSON.parse(readFileSync(TABLE, 'utf8')) as Parameters<typeof subsetOf>[0])));
  });
});
