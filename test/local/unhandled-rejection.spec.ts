/** What happens to a rejection that nobody handles; jest keeps the real `process` to itself, so it is asked of a process of its own. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { build } from 'esbuild';

describe('@Span() on an asynchronous method', () => {
  it('leaves a rejection that nobody handles unhandled, once, on the promise it returned', async () => {
    const { outputFiles } = await build({
      entryPoints: ['test/local/unhandled-rejection.fixture.ts'],
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      write: false,
    });
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', outputFiles[0]!.text]);
    expect(JSON.parse(stdout)).toEqual({ reports: [['nobody cares', true]], spans: ['Orders.lose'], complaints: [] });
  });
});
