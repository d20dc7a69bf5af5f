/** Recipes of the pages: what they show is what a fixture of the specs runs. */
import { readFileSync } from 'node:fs';

const PAGES = [['docs/serverless-and-shutdown.md', 'test/sdk/recipes.fixture.ts']] as const;

/** Without line breaks, and without what a page writes differently: exports, and ports. */
function codeIn(text: string): string {
  return text
    .replace(/^export |3000|process\.env\.PORT/gm, '')
    .replace(/\s+/g, ' ')
    .trim();
}

describe('a page with recipes', () => {
  it.each(PAGES)('shows code that runs in the specs: %s', (page, fixture) => {
    const run = codeIn(readFileSync(fixture, 'utf8'));
    const blocks = [...readFileSync(page, 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)];
    expect(blocks.length).toBeGreaterThan(1);
    for (const [, block = ''] of blocks) expect(run).toContain(codeIn(block));
  });
});
