/** The pages of docs/entrances: each says behind which spec every cell of its table stands; here is whether the specs say so. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PAGES = 'docs/entrances';
const HEADING = '## Where it is proved';

/** What a page quotes: `faults: "ends every span…"` of the folder that it names, or just the sentence where it names one file. */
interface Quotation {
  readonly spec: string;
  readonly sentence: string;
}

function quotationsOf(page: string): Quotation[] {
  const section = page.slice(page.indexOf(HEADING)).split(/\n## /, 2).join('\n');
  const place = /`(test\/[\w/.-]+)`/.exec(section)?.[1] ?? '';
  const labels = new Map([...section.matchAll(/`([\w-]+)` is\s+`(test\/[\w/.-]+)`/g)].map(([, label = '', file = '']) => [label, file]));
  const cells = section.split('\n').flatMap(line => (line.startsWith('|') ? line.split('|') : []));
  return cells.flatMap(cell => {
    let spec = place;
    return [...cell.matchAll(/([\w-]+): (?=")|"([^"]+)"/g)].flatMap(([, label, sentence]) => {
      if (label !== undefined) spec = labels.get(label) ?? join(place, `${label}.spec.ts`);
      return sentence === undefined ? [] : [{ spec, sentence }];
    });
  });
}

/** Whether the parts of a sentence around its ellipses stand in the file, whatever is filled in between them. */
function isSaid({ spec, sentence }: Quotation): boolean {
  if (!spec.endsWith('.spec.ts') || !existsSync(spec)) return false;
  const source = readFileSync(spec, 'utf8').replaceAll("\\'", "'");
  return sentence.split('…').every(part => source.includes(part.trim()));
}

describe('the pages of docs/entrances', () => {
  const pages = readdirSync(PAGES).filter(name => name !== 'README.md');

  it.each(pages)('%s quotes what specs say', name => {
    const page = readFileSync(join(PAGES, name), 'utf8');
    expect(page).toContain(HEADING);
    const quotations = quotationsOf(page);
    expect(quotations.length).toBeGreaterThan(5);
    expect(quotations.filter(quotation => !isSaid(quotation))).toEqual([]);
  });
});
