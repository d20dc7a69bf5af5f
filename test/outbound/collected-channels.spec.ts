/** Node's garbage collector against its diagnostics channels, in a process that has made no call yet. */
import { outputOf } from '../own-process.js';

describe('fetch', () => {
  it('is traced also where the channels of an application that is gone have been collected', async () => {
    const tree = await outputOf('test/outbound/collected-channels.fixture.ts', '--expose-gc');
    expect(tree.trim()).toBe(['request', '  GET'].join('\n'));
  });
});
