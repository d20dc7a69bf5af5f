/** A file of the specs as a program of its own, with the metadata of decorators, which esbuild alone leaves out. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import ts from 'typescript';

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
};

/** It lies where it finds the installed packages. */
export async function programWithMetadata(entry: string): Promise<string> {
  const outfile = join(process.cwd(), 'node_modules/.cache/command-specs', `${basename(entry, '.ts')}-${process.pid}.mjs`);
  await build({
    entryPoints: [entry],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    keepNames: true,
    outfile,
    plugins: [
      {
        name: 'decorators',
        setup({ onLoad }) {
          onLoad({ filter: /\.ts$/ }, ({ path }) => ({
            contents: ts.transpileModule(readFileSync(path, 'utf8'), { compilerOptions, fileName: path }).outputText,
            loader: 'js',
          }));
        },
      },
    ],
  });
  return outfile;
}
