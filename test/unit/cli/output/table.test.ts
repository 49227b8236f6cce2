import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type Column, renderTable } from '../../../../cli/output/table.ts';
import { widthOf } from '../../../../cli/output/text.ts';

interface Row {
  readonly name: string;
  readonly size: number;
  readonly note?: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'name', value: (row) => row.name },
  { title: 'size', right: true, value: (row) => row.size },
  { title: 'note', wide: true, value: (row) => row.note },
];
const plain = { wide: false, paint: (_style: string, text: string) => text };

describe('table', () => {
  it('aligns columns under their titles, numbers to the right', () => {
    const rows = [
      { name: 'erp-db', size: 5 },
      { name: '数据库', size: 1000 },
    ];

    expect(renderTable(rows, columns, plain)).to.equal('NAME    SIZE\nerp-db     5\n数据库  1000\n');
  });

  it('shows wide columns only when they are asked for, and a dash for what is not known', () => {
    const rows = [{ name: 'a', size: 1 }];

    expect(renderTable(rows, columns, plain)).not.to.include('NOTE');
    expect(renderTable(rows, columns, { ...plain, wide: true })).to.equal('NAME  SIZE  NOTE\na        1  -\n');
  });

  it('keeps every row on one line, whatever a name contains', () => {
    const rows = [{ name: 'a\nERROR  fake row\u001b[2J', size: 1 }];

    const lines = renderTable(rows, columns, plain).trimEnd().split('\n');

    expect(lines).to.have.length(2);
    expect(lines[1]).to.include('a\\nERROR  fake row\\e[2J');
  });

  it('cuts the widest column first to stay within the terminal', () => {
    const rows = [{ name: 'x'.repeat(200), size: 123_456 }];

    const lines = renderTable(rows, columns, { ...plain, width: 40 })
      .trimEnd()
      .split('\n');

    for (const line of lines) expect(widthOf(line)).to.be.at.most(40);
    expect(lines[1]).to.include('…').and.to.include('123456');
  });

  it('cuts a cell of hundreds of characters also where no terminal sets a limit, but not in the wide form', () => {
    const rows = [{ name: 'x'.repeat(300), size: 1 }];

    expect(renderTable(rows, columns, plain)).not.to.include('x'.repeat(81));
    expect(renderTable(rows, columns, { ...plain, wide: true })).to.include('x'.repeat(300));
  });
});
