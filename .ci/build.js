#!/usr/bin/env node
/**
 * Builds `dist/`: declarations and CommonJS by the compiler; the ES modules that Node loads joined to one file an entry point and what these
 * share, because opening eighty small modules costs an application more at its start than everything they do.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { rollup } from '@rollup/wasm-node';
import ts from 'typescript';

const typescript = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const compile = project => execFileSync(process.execPath, [typescript, '-p', project], { stdio: 'inherit' });

const { bin, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const imported = Object.values(exports).flatMap(conditions => (conditions.import ? [conditions.import.default] : []));

rmSync('dist', { recursive: true, force: true });
compile('tsconfig.cjs.json');
writeFileSync('dist/cjs/package.json', '{"type":"commonjs"}\n');

// Metadata of decorators is known to the compiler alone, so what is joined is its output. Rollup leaves every class its name.
compile('tsconfig.build.json');
const bundle = await rollup({
  input: Object.fromEntries([...imported, ...Object.values(bin)].map(file => [file.slice('./dist/esm/'.length, -'.js'.length), file])),
  external: id => !/^[./]/.test(id),
  // The compiler's helpers for decorators look for an older copy of themselves there.
  onLog: (level, log, report) => log.code === 'THIS_IS_UNDEFINED' || report(level, log),
});
const { output } = await bundle.generate({ format: 'es', chunkFileNames: 'chunk-[hash].js', minifyInternalExports: false });
for (const file of readdirSync('dist/esm', { recursive: true })) if (file.endsWith('.js')) rmSync(join('dist/esm', file));
// Comments are for who reads the declarations: here they would be parsed at every start.
const compilerOptions = { removeComments: true, target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext };
for (const { fileName, code } of output) {
  writeFileSync(join('dist/esm', fileName), ts.transpileModule(code, { compilerOptions }).outputText);
}
