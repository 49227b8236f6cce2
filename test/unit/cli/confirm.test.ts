import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Cli, type Surroundings } from '../../../cli/cli.ts';
import { confirm, shellWord } from '../../../cli/confirm.ts';
import { type DrError, isDrError } from '../../../core/contract/index.ts';

const severe = { does: 'Planned failover of erp', target: 'erp', lines: ['erp-db  site-a -> site-b'], final: 'the machines are shut down' };

const ask = async (options: Record<string, string>, typed?: string): Promise<{ said: string; refused?: DrError }> => {
  let said = '';
  const terminal = typed !== undefined;
  const at: Surroundings = {
    screen: {
      out: () => undefined,
      err: (text) => {
        said += text;
      },
      outIsTerminal: terminal,
      errIsTerminal: terminal,
      columns: 80,
      color: false,
    },
    env: {},
    folder: '/',
    inIsTerminal: terminal,
    ask: async (question) => {
      said += question;
      return typed ?? '';
    },
    readInput: async () => '',
    signal: new AbortController().signal,
  };
  const cli = new Cli(at, { home: { value: '/nowhere', from: 'flag' }, output: { value: 'table', from: 'default' } }, false);
  try {
    await confirm(cli, severe, options);
    return { said };
  } catch (error) {
    if (!isDrError(error)) throw error;
    return { said, refused: error };
  }
};

describe('confirmation', () => {
  it('is given by the name at a prompt that says what is done, to what, and what is final', async () => {
    const { said, refused } = await ask({}, 'erp');

    expect(refused).to.equal(undefined);
    expect(said).to.equal('Planned failover of erp\n  erp-db  site-a -> site-b\n  the machines are shut down\nType erp to go on: ');
  });

  it('is given by the name in --confirm, without a prompt', async () => {
    expect(await ask({ confirm: 'erp' })).to.deep.equal({ said: '' });
  });

  for (const typed of ['', 'ERP', 'yes', 'erp2']) {
    it(`is refused for ${JSON.stringify(typed)}`, async () => {
      expect((await ask({}, typed)).refused).to.include({ code: 'CONFIRMATION_NEEDED' });
    });
  }

  it('is refused where nobody can type, with the words to add', async () => {
    const { refused, said } = await ask({});

    expect(refused).to.include({ code: 'CONFIRMATION_NEEDED', hint: 'repeat the command with --confirm erp', exitCode: 2 });
    expect(said).to.equal('');
  });

  it('tells a wrong --confirm from a missing one, also at a terminal', async () => {
    expect((await ask({ confirm: 'erb' }, 'erp')).refused).to.include({ code: 'USAGE' });
  });

  it('quotes the name for the shell where that is needed', () => {
    expect(shellWord('erp-db')).to.equal('erp-db');
    expect(shellWord('$(reboot)')).to.equal("'$(reboot)'");
    expect(shellWord("o'brien")).to.equal("'o'\\''brien'");
  });
});
