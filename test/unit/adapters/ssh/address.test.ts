import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseAddress } from '../../../../adapters/ssh/address.ts';
import { isDrError } from '../../../../core/contract/errors.ts';

describe('the address of an SSH server', () => {
  const good: readonly (readonly [string, string, number, string])[] = [
    ['db1', 'db1', 22, 'db1'],
    ['DB1.Example.COM:22', 'db1.example.com', 22, 'db1.example.com'],
    ['hv_node-2.example:2222', 'hv_node-2.example', 2222, '[hv_node-2.example]:2222'],
    ['10.0.0.7:65535', '10.0.0.7', 65_535, '[10.0.0.7]:65535'],
    ['[::1]', '::1', 22, '::1'],
    ['[FE80::1%eth0]:2200', 'fe80::1%eth0', 2200, '[fe80::1%eth0]:2200'],
  ];
  for (const [text, host, port, name] of good) {
    it(`reads ${text}`, () => {
      expect(parseAddress(text)).to.deep.equal({ host, port, name });
    });
  }

  const bad = [
    '',
    ':22',
    'db1:',
    'db1:0',
    'db1:65536',
    'db1:22:22',
    '::1',
    '[::1',
    '[db1]:22',
    '[]',
    'a b',
    '-oProxyCommand=x',
    'db1\n',
    'db1/x',
  ];
  for (const text of [...bad, 'a@db1', `${'a.'.repeat(140)}b`, 'db1\0']) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))} as a mistake in the configuration`, () => {
      expect(() => parseAddress(text)).to.satisfy((parse: () => unknown) => {
        try {
          parse();
        } catch (error) {
          return isDrError(error, 'CONFIG_INVALID');
        }
        return false;
      });
    });
  }
});
