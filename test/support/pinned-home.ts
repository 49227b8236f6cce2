import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeOwnPlugins } from '../../cli/own-plugins.ts';
import { CommandLine } from './command-line.ts';
import type { Shown } from './pinned-plugin.ts';

const PLUGIN = fileURLToPath(new URL('./pinned-plugin.ts', import.meta.url));

/** A home with two sites, which has the pinned plugin, and the file of one of its endpoints. */
export class PinnedHome extends CommandLine {
  readonly address = join(this.folder, 'vc.json');

  static async create(shown: Shown): Promise<PinnedHome> {
    const home = new PinnedHome();
    writeOwnPlugins(home.home, [PLUGIN]);
    await home.run(['site', 'add', 'site-a']);
    await home.run(['site', 'add', 'site-b']);
    home.show(shown);
    return home;
  }

  show(shown: Shown, address = this.address): void {
    writeFileSync(address, JSON.stringify(shown));
  }

  add(more: readonly string[] = [], typed?: readonly string[]) {
    const args = ['endpoint', 'add', 'vc-a', '--site', 'site-a', '--plugin', 'pinned', '--set', `address=${this.address}`, ...more];
    return this.run(args, typed ? { typed } : {});
  }

  async config(): Promise<Record<string, unknown> | undefined> {
    const { items } = await this.json<{ items: { config: Record<string, unknown> }[] }>(['endpoint', 'list']);
    return items[0]?.config;
  }

  /** Runs a command as an error names it. */
  repeat(err: string) {
    const words = /then run warmsite (.*)/.exec(err)?.[1]?.split(' ') ?? [];
    return this.run(words);
  }
}
