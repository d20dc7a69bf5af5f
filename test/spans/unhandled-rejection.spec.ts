/** What happens to a rejection that nobody handles; jest keeps the real `process` to itself, so it is asked of a process of its own. */
import { outputOf } from '../own-process.js';

describe('@Span() on an asynchronous method', () => {
  it('leaves a rejection that nobody handles unhandled, once, on the promise it returned', async () => {
    const stdout = await outputOf('test/spans/unhandled-rejection.fixture.ts');
    expect(JSON.parse(stdout)).toEqual({ reports: [['nobody cares', true]], spans: ['Orders.lose'], complaints: [] });
  });
});
