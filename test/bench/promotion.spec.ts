/** The garbage collector's share: what one request or message leaves behind in the old generation, in a process of its own. */
import { outputOf } from '../own-process.js';

type Promoted = Record<'express' | 'fastify' | 'message', { readonly bare: number; readonly traced: number }>;

// Express on Node 20 and 22 has all that a request allocates promoted, also what is allocated by us.
const isAllPromoted = Number(process.versions.node.split('.')[0]) < 24;

describe('tracing with the batch processor', () => {
  let promoted: Promoted;
  beforeAll(async () => {
    promoted = JSON.parse(await outputOf('test/bench/promotion.fixture.ts', '--expose-gc')) as Promoted;
  }, 120_000);

  it.each([
    ['a request on Express', 'express', isAllPromoted ? 2 : 1],
    ['a request on Fastify', 'fastify', 1],
    ['a message over TCP with its two spans', 'message', 2],
  ] as const)('promotes little more to the old generation for %s', (_, name, kilobytes) => {
    const { bare, traced } = promoted[name];
    expect(traced - bare).toBeLessThan(kilobytes * 1024);
  });
});
