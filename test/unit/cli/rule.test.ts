import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CommandLine } from '../../support/command-line.ts';

const twoSites = async (): Promise<CommandLine> => {
  const line = new CommandLine();
  for (const site of ['site-a', 'site-b']) await line.run(['site', 'add', site]);
  return line;
};

const document = (spec: string): string => `apiVersion: warmsite/v1\nkind: Rule\nmetadata: {name: gold}\nspec: ${spec}\n`;

describe('warmsite rule', () => {
  it('creates, shows, lists and deletes, and says that somebody has to run the engine', async () => {
    using line = await twoSites();

    const created = await line.run(['rule', 'create', 'gold', '--label', 'cloud=gold', '--to', 'site-b']);
    const shown = await line.run(['rule', 'show', 'gold']);
    const listed = await line.run(['rule', 'list']);
    const deleted = await line.run(['rule', 'delete', 'gold']);

    expect(created.out).to.equal('rule gold is there: 0 machines carry the label now, 0 of them are to be protected\n');
    expect(shown.out).to.include('machines with the label cloud=gold are protected to site-b by policy default');
    expect(shown.out).to.include('each has a group of its own');
    expect(shown.out).to.include('no engine is running that would do it: run warmsite serve');
    expect(shown.out).to.include('no machine carries the label now');
    expect(listed.out).to.match(/gold +cloud=gold +default +site-b +one each +-\n/);
    expect(deleted.out).to.include('its machines stay protected');
    expect((await line.run(['rule', 'list'])).err).to.include('there is no rule');
  });

  it('takes any label as text and shows control characters', async () => {
    using line = await twoSites();
    for (const label of ['"; Remove-VM *', '$(reboot)', '../../x', 'cloud=🏔 é', 'x'.repeat(300), 'a\u001b[2Jb=c']) {
      const { code } = await line.run(['rule', 'create', 'odd', '--label', label, '--to', 'site-b']);
      const { items } = await line.json<{ items: { label: string }[] }>(['rule', 'list']);

      expect(code).to.equal(0);
      expect(items[0]?.label).to.equal(label);
      expect((await line.run(['rule', 'show', 'odd'])).out).not.to.include('\u001b');
    }
    expect((await line.run(['rule', 'create', 'odd', '--label', 'x'.repeat(301), '--to', 'site-b'])).code).to.equal(2);
  });

  it('refuses what is not there with the name and the next step', async () => {
    using line = await twoSites();

    const site = await line.run(['rule', 'create', 'gold', '--label', 'cloud=gold', '--to', 'site-bb']);
    const nothing = await line.run(['rule', 'create', 'gold', '--to', 'site-b']);
    const name = await line.run(['rule', 'create', '../gold', '--label', 'x', '--to', 'site-b']);

    expect(site.code).to.equal(4);
    expect(site.err).to.include('there is no site "site-bb"');
    expect(nothing.code).to.equal(2);
    expect(name.code).to.equal(2);
  });

  it('is brought to what a file says by apply, with the place of a fault', async () => {
    using line = await twoSites();
    const path = join(line.folder, 'rules.yaml');
    const apply = (text: string) => {
      writeFileSync(path, text);
      return line.run(['apply', '-f', path]);
    };

    const created = await apply(document('{label: cloud=gold, to: site-b}'));
    const again = await apply(document('{label: cloud=gold, to: site-b}'));
    const changed = await apply(document('{label: cloud=gold, to: site-b, group: gold}'));
    const fault = await apply(document('{label: cloud=gold, to: site-b, policy: silver}'));

    expect(created.out).to.match(/Rule +gold +created/);
    expect(again.out).to.match(/Rule +gold +unchanged/);
    expect(changed.out).to.match(/Rule +gold +configured/);
    expect(fault.code).to.equal(2);
    expect(fault.err).to.include('spec.policy: there is no policy "silver"');
  });
});
