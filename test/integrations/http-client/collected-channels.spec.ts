/** Checks that garbage collection of diagnostics channels does no harm, in a process without earlier calls. */
import { outputOf } from '../../own-process.js';

describe('fetch', () => {
  it('is traced also where the channels of an application that is gone have been collected', async () => {
    const tree = await outputOf('test/integrations/http-client/collected-channels.fixture.ts', '--expose-gc');
    expect(tree.trim()).toBe(['request', '  GET'].join('\n'));
  });
});
