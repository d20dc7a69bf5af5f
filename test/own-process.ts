/** Runs a fixture in its own process, where Node loads the modules instead of jest. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { createInstrumenter } from 'istanbul-lib-instrument';
import ts from 'typescript';

const CACHE = join(process.cwd(), 'node_modules/.cache/spec-programs');

/** The folder for the coverage of lib/ in other processes. It is set only if jest collects coverage (clean-environment.cjs). */
const coverageFolder = process.env.SPEC_COVERAGE_FOLDER;

/**
 * Nest needs the metadata of decorators, which esbuild does not write. The compiled code is identical to the code in jest, so that both
 * coverages can be added.
 */
const compiled = (isCounted: boolean): Plugin => ({
  name: 'typescript',
  setup({ onLoad }) {
    const { config } = ts.readConfigFile('tsconfig.json', file => ts.sys.readFile(file)) as { config: { compilerOptions: object } };
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, '.');
    const compilerOptions = { ...options, module: ts.ModuleKind.ESNext, declaration: false, inlineSources: true };
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const compile = () => ts.transpileModule(source, { compilerOptions, fileName: path });
      const isOurs = /^lib[/](?!viewer[/]page[/])/.test(relative('.', path));
      return { contents: isCounted && isOurs ? await counting(path, source, compile) : compile().outputText, loader: 'js' };
    });
  },
});

/** Kept from one program to the next, as it takes a hundred milliseconds for each file. */
async function counting(path: string, source: string, compile: () => ts.TranspileOutput): Promise<string> {
  const kept = join(CACHE, `${createHash('sha256').update(path).update(source).digest('hex')}.js`);
  if (existsSync(kept)) return readFile(kept, 'utf8');
  const { outputText, sourceMapText = '' } = compile();
  const instrumenter = createInstrumenter({ esModules: true, compact: false });
  const sourceMap = JSON.parse(sourceMapText) as Parameters<typeof instrumenter.instrumentSync>[2];
  const code = instrumenter.instrumentSync(outputText, path, sourceMap);
  await mkdir(CACHE, { recursive: true });
  // Several spec files may compile at the same time.
  await writeFile(`${kept}.${process.pid}`, code);
  await rename(`${kept}.${process.pid}`, kept);
  return code;
}

/** The file gets its name when it is complete: the process may be killed while it writes. */
const COUNTS = `import { renameSync as nameCounts, writeFileSync as writeCounts } from 'node:fs';
process.on('exit', () => {
  const counts = ${JSON.stringify(coverageFolder)} + '/' + process.pid;
  writeCounts(counts, JSON.stringify(globalThis.__coverage__ ?? {}));
  nameCounts(counts, counts + '.json');
});`;

function bundling(isCounted = coverageFolder !== undefined) {
  return {
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    plugins: [compiled(isCounted)],
    banner: { js: isCounted ? COUNTS : '' },
  } satisfies BuildOptions;
}

/** Compiles a program and returns its JavaScript file, in a folder where it finds the installed packages. */
export async function programOf(entry: string): Promise<string> {
  const outfile = join(CACHE, `${basename(entry, '.ts')}-${process.pid}.mjs`);
  await build({ ...bundling(), entryPoints: [entry], keepNames: true, outfile });
  return outfile;
}

/** Compiles a program into a folder that it treats as its application. */
export async function programIn(folder: string, entry: string, format: 'esm' | 'cjs'): Promise<string> {
  const outfile = join(folder, `${basename(entry, '.ts')}.${format === 'esm' ? 'mjs' : 'cjs'}`);
  await build({ ...bundling(false), format, entryPoints: [entry], keepNames: true, outfile });
  return outfile;
}

/** Runs the fixture with the flags of Node and returns its output. With flags it measures, so coverage is not collected. */
export async function outputOf(fixture: string, ...flags: string[]): Promise<string> {
  const { outputFiles } = await build({
    ...(flags.length === 0 ? bundling() : bundling(false)),
    entryPoints: [fixture],
    write: false,
    // Code in the documentation imports the package by its name.
    alias: { 'nestjs-tracing': join(process.cwd(), 'lib/index.ts') },
  });
  const running = promisify(execFile)(process.execPath, [...flags, '--input-type=module']);
  running.child.stdin?.end(outputFiles[0]!.text);
  return (await running).stdout;
}

/** A program that runs beside the spec. The spec stops it. */
export class OwnProcess {
  readonly lines: string[] = [];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  private waiters: (() => void)[] = [];

  private constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface(stream).on('line', line => {
        this.lines.push(line);
        for (const waiter of this.waiters.splice(0)) waiter();
      });
    }
    this.ended = new Promise(resolve => child.once('close', (code, signal) => resolve({ code, signal })));
    void this.ended.then(() => this.waiters.splice(0).forEach(waiter => waiter()));
  }

  /** Starts a JavaScript file. */
  static start(file: string, env: Record<string, string> = {}): OwnProcess {
    return new OwnProcess(spawn(process.execPath, [file], { env: { ...process.env, ...env }, stdio: 'pipe' }));
  }

  /** Waits for a line that starts with `word` and returns the rest of it. */
  async says(word: string): Promise<string> {
    for (;;) {
      const line = this.lines.find(one => one.startsWith(word));
      if (line !== undefined) return line.slice(word.length).trim();
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`The process ended without "${word}":\n${this.lines.join('\n')}`);
      await new Promise<void>(resolve => this.waiters.push(resolve));
    }
  }

  tell(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}
