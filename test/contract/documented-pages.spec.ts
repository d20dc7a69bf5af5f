/** The pages of docs/ and what leads to them: their size, their links, and whether they are in the package. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { manifest } from './packed-package.js';

const MAX_BYTES = 4096;
const MAX_BYTES_OF_README = 14 * 1024;
const PAGES = readdirSync('docs').filter(name => name.endsWith('.md'));
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'sample/README.md', ...PAGES.map(name => `docs/${name}`)];
/** The part of the README that says that it speaks of the repository alone. */
const OF_THE_REPOSITORY = '## The repository';

const bytesOf = (file: string) => statSync(file).size;
const textOf = (file: string) => readFileSync(file, 'utf8').replace(/^```[\s\S]*?^```$/gm, '');

/** Where links and pictures lead, save for other sites. */
function linksIn(markdown: string): string[] {
  const links = [...markdown.matchAll(/\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g)].map(
    ([, link, attribute]) => link ?? attribute ?? '',
  );
  return links.filter(link => !/^[a-z]+:/.test(link));
}

/** The anchors of headings, as GitHub and npm make them. */
function anchorsOf(file: string): string[] {
  const seen = new Map<string, number>();
  return [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}

/** The links of a document that lead nowhere. */
function brokenIn(document: string): string[] {
  return linksIn(textOf(document)).filter(link => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? document : join(dirname(document), path);
    return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
  });
}

describe('the documentation', () => {
  it('has pages that are read in one go', () => {
    const long = PAGES.filter(name => name !== 'options.md' && bytesOf(join('docs', name)) > MAX_BYTES);
    expect(long).toEqual([]);
    expect(bytesOf('README.md')).toBeLessThanOrEqual(MAX_BYTES_OF_README);
  });

  it.each(DOCUMENTS)('has links that lead somewhere: %s', document => {
    expect(brokenIn(document)).toEqual([]);
  });

  it.each(['README.md', 'docs/README.md'])('has every page in its lists: %s', list => {
    const targets = linksIn(textOf(list)).map(link => join(dirname(list), link.replace(/#.*/, '')));
    expect(PAGES.map(name => `docs/${name}`).filter(page => page !== list && !targets.includes(page))).toEqual([]);
  });

  it('is complete in the package', () => {
    const [readme = ''] = textOf('README.md').split(OF_THE_REPOSITORY);
    const linked = [
      ...linksIn(readme).map(link => link.replace(/#.*/, '')),
      ...PAGES.flatMap(name => linksIn(textOf(`docs/${name}`)).map(link => join('docs', link.replace(/#.*/, '')))),
    ];
    const isPacked = (file: string) => manifest.files.some(packed => file === packed || file.startsWith(`${packed}/`));
    const left = linked.filter(file => file !== '' && file !== 'docs' && file !== 'README.md' && !isPacked(file));
    expect([...new Set(left)]).toEqual([]);
  });
});

describe('the walk of one request in CONTRIBUTING.md', () => {
  const [, walk = ''] = /^## The walk of one request\n([\s\S]*?)^## /m.exec(readFileSync('CONTRIBUTING.md', 'utf8')) ?? [];
  const steps = walk.split('\n').filter(line => /^\d+\. /.test(line));

  it('has ten steps', () => {
    expect(steps).toHaveLength(10);
  });

  it.each(steps)('names files that exist, and what is in them: %s', step => {
    const words = [...step.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
    const files = words.filter(word => word.endsWith('.ts'));
    const sources = files.map(file => readFileSync(join('lib', file), 'utf8')).join();
    expect(words.filter(word => /^[A-Za-z]+(\(\))?$/.test(word)).filter(name => !sources.includes(name.replace('()', '')))).toEqual([]);
  });
});
