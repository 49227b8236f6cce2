import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CATALOG } from '../../cli/catalog.ts';
import type { CommandSpec } from '../../cli/command.ts';
import { codeBlocks, readPage } from './page.ts';

/** Pages that are written by hand and name commands; the reference is generated. */
const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'docs/operator/getting-started.md',
  'docs/operator/concepts.md',
  'docs/operator/native-replication.md',
  'docs/operator/vmm-to-vmm.md',
  'docs/operator/hyperv-to-hyperv.md',
  'docs/plugins/vmware.md',
  'docs/plugins/vmware-acceptance.md',
  'docs/integrator/write-a-plugin.md',
  'docs/integrator/contract.md',
];

const GLOBAL_FLAGS = ['--output', '--home', '--debug', '--help', '--version'];

const flagsOf = ({ options = [] }: CommandSpec): string[] => options.flatMap(({ flags }) => flags.match(/--[a-z-]+/g) ?? []);

/** What is wrong with a command as a page writes it. Words that are no command at all are none of this test's. */
const complaint = async (code: string): Promise<string | undefined> => {
  const words = code.replace(/^warmsite /, '').split(' ');
  const noun = CATALOG.find(({ name }) => name === words[0]);
  if (!noun) return code.startsWith('warmsite ') ? `${code}: there is no ${words[0]}` : undefined;
  if (words.length === 1) return undefined;
  const { commands } = await noun.load();
  const rest = words.slice(1).join(' ');
  const command = commands.find(({ name }) => name === undefined || rest === name || rest.startsWith(`${name} `));
  if (!command) return `${code}: ${noun.name} has no such verb`;
  const known = [...GLOBAL_FLAGS, ...flagsOf(command)];
  const unknown = words.find((word) => word.startsWith('--') && !known.includes(word));
  return unknown && `${code}: it has no ${unknown}`;
};

/** Commands in text, and those in blocks to be typed that nobody runs for it. */
const commandsOf = (page: string): string[] => {
  const inText = [...page.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  const inBlocks = codeBlocks(page)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n').filter((line) => line.startsWith('warmsite ')));
  return [...inText, ...inBlocks];
};

describe('the pages written by hand', () => {
  for (const page of PAGES) {
    it(`name commands and options that exist: ${page}`, async () => {
      const complaints = await Promise.all(commandsOf(readPage(page)).map(complaint));

      expect(complaints.filter((one) => one !== undefined)).to.deep.equal([]);
    });
  }
});
