/** What else of `@opentelemetry/api` is in the process: the other build of one version, another version in a library. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { programOf } from '../own-process.js';

type Api = '1.9' | '1.10';
const FOLDERS: Record<Api, string> = { '1.9': '@opentelemetry/api', '1.10': 'api-1.10' };
const modules = join(process.cwd(), 'node_modules');

let folder: string;
let application: string;

beforeAll(async () => {
  application = await programOf('test/sdk/api-copies.fixture.ts');
});

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'nestjs-tracing-')));
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(path: string, content: unknown): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content));
}

/** Everything that is installed here, but `api` in its place. */
function install(api: Api): void {
  for (const name of readdirSync(modules).filter(name => !name.startsWith('.') && name !== '@opentelemetry')) {
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(join(modules, name), join(folder, 'node_modules', name));
  }
  for (const name of readdirSync(join(modules, '@opentelemetry')).filter(name => name !== 'api')) {
    mkdirSync(join(folder, 'node_modules/@opentelemetry'), { recursive: true });
    symlinkSync(join(modules, '@opentelemetry', name), join(folder, 'node_modules/@opentelemetry', name));
  }
  installApi(api, 'node_modules');
}

function installApi(api: Api, into: string): void {
  cpSync(join(modules, FOLDERS[api]), join(folder, into, '@opentelemetry/api'), { recursive: true });
}

async function run(main: string): Promise<string[]> {
  cpSync(application, join(folder, 'application.mjs'));
  file('main.mjs', main);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--preserve-symlinks', 'main.mjs'], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' },
  });
  return `${stdout}${stderr}`.trim().split('\n');
}

/** As a CommonJS instrumentation does: it asks for its tracer when it is registered. */
const LIBRARY = {
  commonjs: `const { trace } = require('@opentelemetry/api'); const tracer = trace.getTracer('shared'); exports.act = () => tracer.startSpan('inner').end();`,
  module: `import { trace } from '@opentelemetry/api'; const tracer = trace.getTracer('shared'); export const act = () => tracer.startSpan('inner').end();`,
};

describe.each(['1.9', '1.10'] as const)('an application with API %s', api => {
  it.each(['commonjs', 'module'] as const)('records what asked for its tracer before the application was there, from a %s', async type => {
    install(api);
    file('package.json', { name: 'orders', dependencies: { shared: '1.0.0' } });
    file('node_modules/shared/package.json', { name: 'shared', type, main: 'index.js' });
    file('node_modules/shared/index.js', LIBRARY[type]);
    expect(await run(`import { act } from 'shared'; import { run } from './application.mjs'; await run(act);`)).toEqual([
      'inner below outer',
      'outer below nothing',
    ]);
  });
});

describe('a library that brings another version of the API', () => {
  it.each(['commonjs', 'module'] as const)('is named, with both versions and places, as a %s', async type => {
    install('1.9');
    file('package.json', { name: 'orders', dependencies: { shared: '1.0.0' } });
    file('node_modules/shared/package.json', { name: 'shared', type, main: 'index.js' });
    file('node_modules/shared/index.js', LIBRARY[type]);
    installApi('1.10', 'node_modules/shared/node_modules');
    const [said, ...rest] = await run(`import { act } from 'shared'; import { run } from './application.mjs'; await run(act);`);
    expect(said).toContain(`1.10.0 in ${join(folder, 'node_modules/shared/node_modules/@opentelemetry/api')} (used by shared)`);
    expect(said).toContain(`1.9.1 in ${join(folder, 'node_modules/@opentelemetry/api')}`);
    // What a CommonJS library has asked for is known; it is where the library itself looks for the active span that it finds none.
    expect(rest).toEqual([...(type === 'commonjs' ? ['inner below outer'] : []), 'outer below nothing']);
  });

  it('is none of the trouble where it is the older one: its spans are part of the trace', async () => {
    install('1.10');
    file('package.json', { name: 'orders', dependencies: { shared: '1.0.0' } });
    file('node_modules/shared/package.json', { name: 'shared', main: 'index.js' });
    file('node_modules/shared/index.js', LIBRARY.commonjs);
    installApi('1.9', 'node_modules/shared/node_modules');
    expect(await run(`import { act } from 'shared'; import { run } from './application.mjs'; await run(act);`)).toEqual([
      'inner below outer',
      'outer below nothing',
    ]);
  });
});
