import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ROOT, readPage, withoutCode } from './page.ts';

/** Also pages that are written and not yet committed; nothing that git ignores. */
const pages = (): string[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], { cwd: ROOT, encoding: 'utf8' })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(ROOT, path)));

/** As GitHub makes anchors of headings, the second of two equal ones with -1. */
const anchorsOf = (page: string): Set<string> => {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ''] of page.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} +(.*)$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = text
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
};

const brokenLinks = (path: string): string[] => {
  const targets = [...withoutCode(readPage(path)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = '', anchor] = target.split('#');
    const to = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), decodeURIComponent(file)));
    if (!existsSync(join(ROOT, to))) return [`${path}: ${target} does not exist`];
    if (anchor === undefined || statSync(join(ROOT, to)).isDirectory()) return [];
    return anchorsOf(readPage(to)).has(anchor) ? [] : [`${path}: ${to} has no heading #${anchor}`];
  });
};

describe('the pages of the repository', () => {
  it('link to files and headings that exist', () => {
    expect(pages()).to.include('README.md').and.to.include('docs/operator/getting-started.md');
    expect(pages().flatMap(brokenLinks)).to.deep.equal([]);
  });
});
