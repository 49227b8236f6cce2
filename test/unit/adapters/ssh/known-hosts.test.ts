import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { keysOf } from '../../../../adapters/ssh/known-hosts.ts';

const keyOf = (name: string): string => `ssh-ed25519 ${Buffer.from(name).toString('base64')}`;
const trusted = (file: string, name: string): string[] => keysOf(file, name).trusted.map(({ blob }) => Buffer.from(blob).toString());
const revoked = (file: string, name: string): string[] => keysOf(file, name).revoked.map(({ blob }) => Buffer.from(blob).toString());

const hashed = (name: string): string => {
  const salt = Buffer.alloc(20, 7);
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
};

describe('known_hosts', () => {
  const rows: readonly {
    readonly title: string;
    readonly hosts: string;
    readonly yes: readonly string[];
    readonly no: readonly string[];
  }[] = [
    {
      title: 'a list of names and addresses',
      hosts: 'db1,DB2.example,10.0.0.7',
      yes: ['db1', 'db2.example', '10.0.0.7'],
      no: ['db3', '[db1]:2222'],
    },
    {
      title: 'wildcards',
      hosts: '*.example,10.0.0.?',
      yes: ['a.b.example', '10.0.0.9'],
      no: ['example', 'aexample', '10.0.0.10', '10x0.0.1'],
    },
    { title: 'a name that is ruled out', hosts: '*.example,!db1.example', yes: ['db2.example'], no: ['db1.example'] },
    { title: 'only a name that is ruled out', hosts: '!db1.example', yes: [], no: ['db1.example', 'db2.example'] },
    { title: 'another port', hosts: '[db1]:2222', yes: ['[db1]:2222'], no: ['db1', '[db1]:2223', 'd:2222'] },
    { title: 'signs of a regular expression', hosts: 'a+b,(c),[d],e|f', yes: ['a+b'], no: ['aab', 'c', 'd', 'e', 'f'] },
    { title: 'many wildcards', hosts: `${'*a'.repeat(12)}*`, yes: ['a'.repeat(12)], no: ['b'.repeat(200)] },
    { title: 'a hashed name', hosts: hashed('[db1]:2222'), yes: ['[db1]:2222'], no: ['db1', '[db2]:2222'] },
    { title: 'a hash of another version', hosts: hashed('db1').replace('|1|', '|2|'), yes: [], no: ['db1'] },
    { title: 'a hash that is cut off', hosts: '|1|', yes: [], no: ['db1', ''] },
  ];
  for (const { title, hosts, yes, no } of rows) {
    it(`knows a host by ${title}`, () => {
      for (const name of yes) expect(trusted(`${hosts} ${keyOf('k')}`, name), name).to.deep.equal(['k']);
      for (const name of no) expect(trusted(`${hosts} ${keyOf('k')}`, name), name).to.deep.equal([]);
    });
  }

  it('collects all keys of a host, and passes over what is not one', () => {
    const file = [
      `# db1 ${keyOf('comment')}`,
      '',
      'db1',
      'db1 ssh-ed25519',
      `  db1\t${keyOf('first')} operator@desk`,
      `@cert-authority db1 ${keyOf('authority')}`,
      `@unheard-of db1 ${keyOf('marked')}`,
      `@revoked *.example,db1 ${keyOf('revoked')}`,
      `db1,db2 ${keyOf('second')}\r`,
    ].join('\n');

    expect(trusted(file, 'db1')).to.deep.equal(['first', 'second']);
    expect(revoked(file, 'db1')).to.deep.equal(['revoked']);
    expect(revoked(file, 'db2')).to.deep.equal([]);
  });
});
