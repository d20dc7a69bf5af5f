#!/usr/bin/env node
/**
 * Builds `dist/`: declarations and CommonJS by the compiler, ES modules joined to one file per entry point plus shared chunks. Opening
 * eighty small modules would be the largest part of the start-up cost.
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

// Only the compiler writes the metadata of decorators, so Rollup joins its output. Rollup keeps class names.
compile('tsconfig.build.json');
const bundle = await rollup({
  input: Object.fromEntries([...imported, ...Object.values(bin)].map(file => [file.slice('./dist/esm/'.length, -'.js'.length), file])),
  external: id => !/^[./]/.test(id),
  // The compiler's decorator helpers look for an existing copy of themselves in `this`.
  onLog: (level, log, report) => log.code === 'THIS_IS_UNDEFINED' || report(level, log),
});
// The name tells frames of this package in a stack from the user's own, also where the package is linked.
const { output } = await bundle.generate({ format: 'es', chunkFileNames: 'nestjs-tracing-[hash].js', minifyInternalExports: false });
for (const file of readdirSync('dist/esm', { recursive: true })) if (file.endsWith('.js')) rmSync(join('dist/esm', file));
// Comments stay in the declarations only. In the code, Node would parse them at every start.
const withoutComments = (code, module) => {
  const compilerOptions = { removeComments: true, target: ts.ScriptTarget.ESNext, module };
  return ts.transpileModule(code, { compilerOptions }).outputText;
};
for (const { fileName, code } of output) {
  writeFileSync(join('dist/esm', fileName), withoutComments(code, ts.ModuleKind.ESNext));
}
for (const file of readdirSync('dist/cjs', { recursive: true })) {
  if (!file.endsWith('.js')) continue;
  const path = join('dist/cjs', file);
  writeFileSync(path, withoutComments(readFileSync(path, 'utf8'), ts.ModuleKind.CommonJS));
}
