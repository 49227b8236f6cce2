import { dirname, join } from 'node:path';
import { type ItemId, isDrError } from '../contract/index.ts';
import { type Journal, openJournal } from '../journal/journal.ts';
import { type Marks, openMarks } from '../journal/marks.ts';
import type { Files } from '../ports/files.ts';
import { type SiteJournals, siteDirectory } from './core.ts';

/** Opens each journal once per process; whoever asks at the same time waits for the same opening. */
export const createSiteJournals = (files: Files, home: string): SiteJournals => {
  const marks = new Map<string, Promise<Marks>>();
  const journals = new Map<string, Promise<Journal>>();
  const directoryOf = (site: string, item: ItemId) => join(siteDirectory(home, site), 'journal', item);

  const once = <T>(known: Map<string, Promise<T>>, key: string, open: () => Promise<T>): Promise<T> => {
    const opening = known.get(key) ?? open();
    known.set(key, opening);
    // A failed opening is tried anew by the next one who asks.
    opening.catch(() => known.delete(key));
    return opening;
  };

  const marksOf = (site: string) =>
    once(marks, site, async () => {
      const directory = siteDirectory(home, site);
      await files.makeDirectory(directory);
      // The way down to the site is as durable as what is written there.
      for (const above of [dirname(directory), home, dirname(home)]) await files.syncDirectory(above);
      return openMarks({ files, directory });
    });

  const journalOf = (site: string, item: ItemId) =>
    once(journals, `${site}\n${item}`, async () => {
      const siteMarks = await marksOf(site);
      return openJournal({ files, directory: directoryOf(site, item), item, groupState: (cycle) => siteMarks.groupState(cycle) });
    });

  return {
    journal: journalOf,
    marks: marksOf,
    close: async () => {
      const open = await Promise.allSettled(marks.values());
      marks.clear();
      journals.clear();
      await Promise.allSettled(open.flatMap((entry) => (entry.status === 'fulfilled' ? [entry.value.close()] : [])));
    },
    remove: async (site, item) => {
      const directory = directoryOf(site, item);
      if (!journals.has(`${site}\n${item}`) && !(await files.exists(directory))) return;
      try {
        await (await journalOf(site, item)).remove();
      } catch (error) {
        // A journal that cannot even be opened must not bar the way out of protection (V9).
        if (!isDrError(error, 'JOURNAL_CORRUPT')) throw error;
        await files.remove(directory);
        await files.syncDirectory(dirname(directory));
      }
      journals.delete(`${site}\n${item}`);
    },
  };
};
