/** Runs a fixture in a process of its own, where jest does not stand between it and Node. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { build } from 'esbuild';

/** What the fixture prints; `flags` are Node's. */
export async function outputOf(fixture: string, ...flags: string[]): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fixture],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    write: false,
  });
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '--input-type=module', '-e', outputFiles[0]!.text]);
  return stdout;
}
