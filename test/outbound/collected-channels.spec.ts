/** Node's garbage collector against its diagnostics channels, in a process that has made no call yet. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { build } from 'esbuild';

describe('fetch', () => {
  it('is traced also where the channels of an application that is gone have been collected', async () => {
    const { outputFiles } = await build({
      entryPoints: ['test/outbound/collected-channels.fixture.ts'],
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      write: false,
    });
    const program = ['--expose-gc', '--input-type=module', '-e', outputFiles[0]!.text];
    const { stdout } = await promisify(execFile)(process.execPath, program);
    expect(stdout.trim()).toBe(['request', '  GET'].join('\n'));
  });
});
