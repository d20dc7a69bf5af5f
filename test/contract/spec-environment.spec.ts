import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';

const JEST = ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];

/** Runs a fixture as if it were a spec file; what jest and the environment of specs say about it. */
function runAsSpec(fixture: string, env: NodeJS.ProcessEnv = {}): Promise<{ failed: boolean; output: string }> {
  const path = `test/contract/${fixture}.fixture.ts`;
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [...JEST, '--ci', '--runInBand', '--testMatch', `<rootDir>/${path}`],
      { env: { ...process.env, NODE_OPTIONS: '', ...env }, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ failed: error !== null, output: stdout + stderr }),
    );
  });
}

describe('the environment of specs', () => {
  it('ends a file that does not end, and names it with the test that was running', async () => {
    const { failed, output } = await runAsSpec('endless', { SPEC_FILE_DEADLINE_MS: '4000' });
    expect(failed).toBe(true);
    expect(output).toMatch(/SPEC FILE TIMED OUT: .*endless\.fixture\.ts has not ended after 4 s, in "goes round in circles"/);
  }, 70_000);

  it('ends a process that a file keeps open, and names the last file', async () => {
    const { failed, output } = await runAsSpec('left-open', { SPEC_FILE_DEADLINE_MS: '4000' });
    expect(failed).toBe(true);
    expect(output).toMatch(/SPEC FILE TIMED OUT: .*left-open\.fixture\.ts has ended, but/);
  }, 70_000);

  it('fails a file that reaches for a port of the machine, whether something is there or not', async () => {
    const { failed, output } = await runAsSpec('stray');
    expect(failed).toBe(true);
    expect(output).toContain('A connection to port 1883, which belongs to the machine');
    expect(output).toContain('"calls a broker that is not its own"');
  }, 70_000);
});
