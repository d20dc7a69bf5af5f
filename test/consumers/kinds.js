/** The kinds of consumer: how each lays out its folder beside the installed packages, prepares it once, and runs on one Node. */
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, write } from './workbench.js';

const SOURCES = fileURLToPath(new URL('app', import.meta.url));

const COMPILER = { '@types/jest': '30.0.0', '@types/node': '22.20.5', typescript: '6.0.3' };
const TOOLS = {
  '@swc/core': '1.16.22',
  '@swc/jest': '0.2.39',
  esbuild: '0.28.2',
  jest: '30.5.2',
  'ts-jest': '29.4.15',
  'unplugin-swc': '2.0.0',
  vitest: '4.1.12',
  webpack: '5.112.2',
};

/** What an application on each Nest major installs; the tarball comes on top. */
export const APPLICATION = {
  11: application({ common: '11.2.10', core: '11.2.10', 'platform-express': '11.2.10', testing: '11.2.6', axios: '4.0.1' }),
  12: application({ common: '12.5.1', core: '12.5.1', 'platform-express': '12.5.1', testing: '12.1.1', axios: '12.0.1' }),
};

export function application(nest) {
  const packages = Object.fromEntries(Object.entries(nest).map(([name, version]) => [`@nestjs/${name}`, version]));
  return { ...packages, '@opentelemetry/api': '1.9.1', axios: '1.21.1', 'reflect-metadata': '0.2.2', rxjs: '7.8.2', ...COMPILER };
}

/** What a kind installs that does not name its `packages`: kinds on the same Nest share one folder. */
export function sharedPackages(nest) {
  return { ...APPLICATION[nest], ...TOOLS };
}

/**
 * Each kind: `name`; the Nest majors and Node majors it is for; the Nest of its row in CI; `files(folder)` writes what is special about it; `prepare` runs once on the
 * Node at hand; `run` once a Node, and fails or prints `proof`. With `packages(nest)` it has a folder of packages to itself.
 */
export const KINDS = [
  compiledApplication('app, require', 'commonjs', '11'),
  compiledApplication('app, import', 'module', '12'),
  {
    name: 'jest, CommonJS',
    nests: ['11'],
    ci: '11',
    type: 'commonjs',
    files: folder => writeJest(folder, { transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.json' }] } }),
    run: (node, folder) => jest(node, folder),
  },
  {
    name: 'jest, all to CommonJS',
    nests: ['12'],
    ci: '12',
    type: 'commonjs',
    files: folder =>
      writeJest(folder, {
        transform: { '^.+\\.(ts|js)$': swc('commonjs') },
        transformIgnorePatterns: ['/node_modules/(?!(@nestjs|file-type|strtok3|token-types|@tokenizer|uint8array-extras|@borewit)/)'],
      }),
    run: (node, folder) => jest(node, folder),
  },
  {
    name: 'jest, CommonJS',
    nests: ['12'],
    nodes: ['24'], // Where jest's own require takes an ES module.
    type: 'commonjs',
    files: folder => writeJest(folder, { transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.json' }] } }),
    run: (node, folder) => jest(node, folder, '--experimental-vm-modules'),
  },
  {
    name: 'jest, ES modules',
    nests: ['11', '12'],
    ci: '12',
    type: 'module',
    files: folder =>
      writeJest(folder, {
        extensionsToTreatAsEsm: ['.ts'],
        transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json' }] },
      }),
    run: (node, folder) => jest(node, folder, '--experimental-vm-modules'),
  },
  {
    name: 'vitest',
    nests: ['11', '12'],
    ci: '12',
    type: 'module',
    files: folder =>
      write(
        join(folder, 'vitest.config.mjs'),
        `import swc from 'unplugin-swc';\n` +
          `import { defineConfig } from 'vitest/config';\n` +
          `export default defineConfig({ test: { globals: true, include: ['src/*.spec.ts'] }, plugins: [swc.vite({ module: { type: 'es6' } })] });\n`,
      ),
    run: (node, folder) => run(node, [bin('vitest/vitest.mjs'), 'run'], { cwd: folder }),
  },
  bundledApplication(
    'bundle, webpack',
    '11',
    `const { join } = require('node:path');
     const webpack = require('webpack');
     const installed = name => { try { require.resolve(name); return true; } catch (error) { return error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED'; } };
     webpack({
       mode: 'production', target: 'node', entry: './dist/main.js', optimization: { minimize: false },
       output: { path: join(__dirname, 'bundle'), filename: 'main.cjs', chunkFormat: false, asyncChunks: false },
       plugins: [
         new webpack.optimize.LimitChunkCountPlugin({ maxChunks: 1 }),
         // As Nest's own recipe: what Nest would load if it were installed.
         new webpack.IgnorePlugin({ checkResource: (name, from) => from.includes('@nestjs') && !name.startsWith('.') && !installed(name) }),
       ],
     }, (error, stats) => {
       if (error) throw error;
       console.log(stats.toString({ all: false, errors: true, warnings: true, assets: true }));
       if (stats.hasErrors()) process.exit(1);
     });`,
  ),
  bundledApplication(
    'bundle, esbuild',
    '12',
    `const { buildSync } = require('esbuild');
     const optional = ['@nestjs/microservices', '@nestjs/websockets', 'class-transformer', 'class-validator'];
     buildSync({
       entryPoints: ['dist/main.js'], outfile: 'bundle/main.cjs', bundle: true, platform: 'node', format: 'cjs', target: 'node20',
       external: optional.flatMap(name => [name, name + '/*']), keepNames: true,
       define: { 'import.meta.url': 'importMetaUrl' }, banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
     });`,
  ),
];

/** An application compiled with tsc, types included, and started as a process. */
export function compiledApplication(name, type, ci) {
  return {
    name,
    nests: ['11', '12'],
    ci,
    type,
    prepare: compile,
    run: async (node, folder) =>
      (await run(node, ['dist/main.js'], { cwd: folder })) + (await run(node, ['dist/one-copy.js'], { cwd: folder })),
    proof: /journey ok[^]*one copy ok/,
  };
}

/** The compiled application as one file, started where no package is in reach. */
function bundledApplication(name, ci, script) {
  return {
    name,
    nests: ['11', '12'],
    ci,
    type: 'module',
    files: folder => write(join(folder, 'bundle.cjs'), script),
    prepare: async folder => {
      await compile(folder);
      await run(process.execPath, ['bundle.cjs'], { cwd: folder });
      const alone = aloneFolder(folder);
      rmSync(alone, { recursive: true, force: true });
      cpSync(join(folder, 'bundle'), alone, { recursive: true });
      if (readdirSync(alone).length !== 1) throw new Error(`${name} makes more than one file: ${readdirSync(alone).join(', ')}`);
    },
    run: (node, folder) => run(node, ['main.cjs'], { cwd: aloneFolder(folder) }),
    proof: /journey ok/,
  };
}

/** Beside the folders with node_modules, not below one. */
function aloneFolder(folder) {
  return join(dirname(dirname(folder)), 'alone', folder.replaceAll(/[^a-z0-9]+/gi, '-'));
}

/** Lays out the folder of one consumer below the folder that has its packages. */
export function layOut(kind, folder) {
  cpSync(SOURCES, join(folder, 'src'), { recursive: true });
  write(join(folder, 'package.json'), JSON.stringify({ name: 'greetings', version: '1.0.0', private: true, type: kind.type }));
  const compilerOptions = {
    target: 'ES2022',
    module: 'nodenext',
    types: ['node', 'jest'],
    strict: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    isolatedModules: true,
    esModuleInterop: true,
    skipLibCheck: true,
    rootDir: 'src',
    outDir: 'dist',
  };
  write(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  kind.files?.(folder);
}

export function compile(folder) {
  return run(process.execPath, [bin('typescript/bin/tsc'), '-p', 'tsconfig.json'], { cwd: folder });
}

function writeJest(folder, config) {
  const shared = { testEnvironment: 'node', roots: ['<rootDir>/src'], moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' } };
  write(join(folder, 'jest.config.json'), JSON.stringify({ ...shared, ...config }));
}

function jest(node, folder, ...flags) {
  return run(node, [...flags, bin('jest/bin/jest.js'), '--ci', '--runInBand', '--cacheDirectory', '.jest'], { cwd: folder });
}

function swc(type) {
  const jsc = {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  };
  return ['@swc/jest', { jsc, module: { type } }];
}

/** A tool's script, seen from a consumer's folder. */
function bin(path) {
  return join('..', 'node_modules', path);
}
