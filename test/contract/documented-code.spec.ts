import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';

const root = process.cwd();
const folder = join(root, 'node_modules/.cache/documented-code');
/** Shows parts of a program; documented-shutdown.spec.ts compares them with a fixture that runs. */
const RECIPES = 'serverless-and-shutdown.md';

/** The TypeScript blocks of a document, each a module of its own, at the line where it stands. */
function blocksOf(document: string): { readonly name: string; readonly code: string }[] {
  const text = readFileSync(join(root, document), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(match => ({
    name: `${document.replace(/\W/g, '-')}-line-${text.slice(0, match.index).split('\n').length}.ts`,
    code: match[1]!,
  }));
}

describe('the documentation', () => {
  it('shows TypeScript that compiles', () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const pages = readdirSync(join(root, 'docs')).filter(name => name.endsWith('.md') && name !== RECIPES);
    const documents = ['README.md', 'sample/README.md', ...pages.map(name => `docs/${name}`)];
    // What needs packages that are not installed here is compiled, and run, among test/consumers.
    const blocks = documents.flatMap(blocksOf).filter(({ code }) => !/'vitest'|instrumentation-pg'/.test(code));
    expect(blocks.length).toBeGreaterThan(5);
    for (const { name, code } of blocks) writeFileSync(join(folder, name), code);
    const example = blocks.find(({ code }) => code.includes('export class AppModule')) ?? { code: '' };
    writeFileSync(join(folder, 'app.module.ts'), example.code);
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), path => readFileSync(path, 'utf8'));
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
    const program = ts.createProgram([join(root, 'lib/sdk/optional-exporters.d.ts'), ...blocks.map(({ name }) => join(folder, name))], {
      ...options,
      noEmit: true,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
    });
    const complaints = ts
      .getPreEmitDiagnostics(program)
      .map(
        ({ file, start, messageText }) =>
          `${file ? relative(folder, file.fileName) : ''}:${start}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      );
    expect(complaints).toEqual([]);
  });
});
