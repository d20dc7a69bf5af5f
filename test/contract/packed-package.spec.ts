/** What arrives at a user: files, declarations, and one copy of every class however the package is loaded. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { manifest, type PackedPackage, packagesUsersHave, packPackage } from './packed-package.js';

const ENTRIES = Object.keys(manifest.exports).filter(entry => entry !== './package.json');
const ENTRY_FILES = [...ENTRIES.map(entry => join(entry, 'index.js')), 'command.js'].sort();
const NAMES = ENTRIES.map(entry => join(manifest.name, entry));
/** It prepares the process and exports nothing. */
const REGISTER = `${manifest.name}/register`;
const EXPORTING = NAMES.filter(name => name !== REGISTER);

describe('The packed package', () => {
  let packed: PackedPackage;

  beforeAll(() => {
    packed = packPackage();
  }, 120_000);

  afterAll(() => {
    packed.remove();
  });

  const files = (folder = packed.folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => relative(packed.folder, join(entry.parentPath, entry.name)));

  const node = (file: string, source: string) => {
    writeFileSync(join(packed.consumer, file), source);
    return execFileSync(process.execPath, [file], { cwd: packed.consumer, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } });
  };

  it('holds the two builds and what a reader wants, nothing else', () => {
    const outside = files().filter(file => !file.startsWith('dist/'));
    const documents = outside.filter(file => file.startsWith('docs/'));
    expect(outside.filter(file => !documents.includes(file)).sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']);
    expect(documents).toContain('docs/README.md');
    expect(documents.filter(file => !/^docs\/([\w-]+\.md|pictures\/[\w-]+\.webp)$/.test(file))).toEqual([]);
    expect(files().filter(file => /\.(spec|test)\.|tsbuildinfo/.test(file))).toEqual([]);
    const builtInto = (build: string) => files(join(packed.folder, 'dist', build)).map(file => file.slice(`dist/${build}/`.length));
    const declarations = (build: string) => builtInto(build).filter(file => file.endsWith('.d.ts'));
    expect(declarations('cjs')).toEqual(declarations('esm'));
    // What is imported is one file each, and a few that they share.
    expect(
      builtInto('esm')
        .filter(file => file.endsWith('.js') && !file.startsWith('nestjs-tracing-'))
        .sort(),
    ).toEqual(ENTRY_FILES);
  });

  it('has no script that npm would run, or warn of, at a user', () => {
    const { scripts } = JSON.parse(readFileSync(join(packed.folder, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const ofInstalls = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare', 'prepublish'];
    expect(Object.keys(scripts).filter(name => ofInstalls.includes(name))).toEqual([]);
  });

  it('calls classes what they are called in the source, as Nest prints their names', () => {
    const source = `import * as all from '${manifest.name}';
      for (const [name, value] of Object.entries(all)) if (/^class/.test(String(value)) && value.name !== name) console.log(name, value.name);`;
    expect(node('names.mjs', source)).toBe('');
  });

  it('has entry points and nothing else to import', () => {
    const source = (path: string) =>
      `import('${path}').then(() => console.log('resolved'), error => console.log(error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' ? 'refused' : error))`;
    expect(node('deep.mjs', source(`${manifest.name}/dist/esm/tracing.module.js`)).trim()).toBe('refused');
    expect(node('deep.mjs', source(`${manifest.name}/package.json`)).trim()).not.toBe('refused');
  });

  it.each(EXPORTING)('reaches the same names through import and require: %s', name => {
    const compare = `for (const name of new Set([...Object.keys(required), ...Object.keys(imported)])) {
      if (required[name] !== imported[name]) throw new Error(name + ' exists twice');
    }
    console.log(Object.keys(imported).length > 0 ? 'same' : 'empty');`;
    expect(node('both.cjs', `const required = require('${name}'); import('${name}').then(imported => { ${compare} });`).trim()).toBe(
      'same',
    );
    const viaImport = `import * as imported from '${name}'; import { createRequire } from 'node:module';
      const required = createRequire(import.meta.url)('${name}'); ${compare}`;
    expect(node('both.mjs', viaImport).trim()).toBe('same');
  });

  it.each(EXPORTING)('loads where no optional peer is installed, also the CommonJS build: %s', name => {
    const build = join(packed.folder, 'dist/cjs', name.slice(manifest.name.length), 'index.js');
    expect(node('commonjs.cjs', `console.log(Object.keys(require(${JSON.stringify(build)})).length > 0)`).trim()).toBe('true');
  });

  it.each(['--import', '--require'])('prepares a process with %s, and says what is not installed', flag => {
    writeFileSync(join(packed.consumer, 'main.mjs'), 'console.log("started");');
    const { stdout, stderr } = spawnSync(process.execPath, [flag, REGISTER, 'main.mjs'], { cwd: packed.consumer, encoding: 'utf8' });
    expect(stdout).toBe('started\n');
    expect(stderr).toContain('"nestjs-tracing/register" found no @opentelemetry/instrumentation in ');
  });

  it('has declarations that import only what every user has', () => {
    const foreign = files()
      .filter(file => file.endsWith('.d.ts'))
      .flatMap(file => importsOf(join(packed.folder, file)).map(name => `${file}: ${name}`))
      .filter(line => {
        const name = line.split(': ')[1] ?? '';
        return !name.startsWith('.') && !isBuiltin(name) && !packagesUsersHave.includes(packageOf(name));
      });
    expect(foreign).toEqual([]);
  });

  it.each([['module'], ['commonjs']])(
    'type-checks without skipLibCheck in an application of type %s',
    type => {
      writeFileSync(join(packed.consumer, 'package.json'), JSON.stringify({ type }));
      const uses = NAMES.map((name, index) => `import * as entry${index} from '${name}'; console.log(entry${index});`).join('\n');
      writeFileSync(join(packed.consumer, 'uses.ts'), uses);
      const options = ['--noEmit', '--strict', '--target', 'es2022', '--experimentalDecorators', '--types', 'node'];
      const tsc = join(process.cwd(), 'node_modules/typescript/bin/tsc');
      const run = spawnSync(process.execPath, [tsc, ...options, '--module', 'nodenext', 'uses.ts'], {
        cwd: packed.consumer,
        encoding: 'utf8',
      });
      // What others ship may be as it is.
      const ours = run.stdout.split('\n').filter(line => line.includes(`${manifest.name}/dist`) || line.startsWith('uses.ts'));
      expect(ours).toEqual([]);
    },
    60_000,
  );
});

function importsOf(file: string): string[] {
  return ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles.map(({ fileName }) => fileName);
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}
