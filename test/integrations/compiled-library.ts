/** Compiles the library as CommonJS for programs with an official instrumentation, which patches required modules. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class CompiledLibrary {
  private constructor(private readonly folder: string) {}

  static async compile(): Promise<CompiledLibrary> {
    const folder = mkdtempSync(join(tmpdir(), 'instrumented-'));
    const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    await run(process.execPath, [compiler, '-p', 'tsconfig.cjs.json', '--noCheck', '--declaration', 'false', '--outDir', folder]);
    writeFileSync(join(folder, 'package.json'), '{"type":"commonjs"}');
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    return new CompiledLibrary(folder);
  }

  /** Runs a program below this folder and returns its last line, parsed as JSON. The program gets the folder of the library and `args`. */
  async printedBy(program: string, ...args: unknown[]): Promise<unknown> {
    const { stdout } = await run(process.execPath, [resolve('test/integrations', program), this.folder, ...args.map(String)]);
    return JSON.parse(stdout.trim().split('\n').at(-1)!);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
