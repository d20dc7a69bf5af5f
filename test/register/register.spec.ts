import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { redis } from '../../sample/brokers/redis.js';
import { type Outcome, Program } from '../../sample/runner/program.js';
import { ferretdb, postgres, serverOf } from '../integrations/databases/servers.js';
import { programIn } from '../own-process.js';

const INSTALLED = join(process.cwd(), 'node_modules');
const CACHE = join(INSTALLED, '.cache/registered');

/** The span of each library's call. */
const CALLS = {
  pg: 'pg.query:SELECT postgres',
  mongodb: 'find orders',
  ioredis: 'get',
  'aws-sdk': 'SQS.GetQueueUrl',
  openai: 'chat tiny',
} as const;
type Library = keyof typeof CALLS;

interface PrintedSpan {
  readonly maker: string;
  readonly name: string;
  readonly parent?: string;
  readonly isConfigured: boolean;
}

/** Answers like SQS and like a service with language models. */
const fakeServices: Server = createServer((request, response) => {
  const completion = {
    id: '1',
    object: 'chat.completion',
    model: 'tiny',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' } }],
  };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.url === '/v1/chat/completions' ? completion : { QueueUrl: 'http://127.0.0.1/orders' }));
});

const addresses: Record<string, string> = {};
/** Libraries whose servers are on this machine. */
const libraries = new Set<Library>(['aws-sdk', 'openai']);
let folder: string;

beforeAll(async () => {
  await new Promise<void>(resolve => fakeServices.listen(0, '127.0.0.1', resolve));
  addresses.HTTP = String((fakeServices.address() as AddressInfo).port);
  for (const [library, kind] of [
    ['pg', postgres],
    ['mongodb', ferretdb],
    ['ioredis', redis],
  ] as const) {
    const missing = kind.missing();
    if (missing === undefined) {
      addresses[library.toUpperCase()] = String((await serverOf(kind)).port);
      libraries.add(library);
    } else process.stderr.write(`SKIPPED instrumentation-${library}: ${missing}\n`);
  }
  mkdirSync(CACHE, { recursive: true });
  folder = mkdtempSync(join(CACHE, 'application-'));
  await Promise.all([
    programIn(folder, 'lib/register/index.ts', 'esm'),
    programIn(folder, 'test/register/application.fixture.ts', 'esm'),
    programIn(folder, 'test/register/application.fixture.ts', 'cjs'),
  ]);
  const dependencies = Object.fromEntries(Object.keys(CALLS).map(name => [`@opentelemetry/instrumentation-${name}`, '*']));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'orders', dependencies }));
}, 200_000);

afterAll(() => {
  fakeServices.close();
  rmSync(folder, { recursive: true, force: true });
});

const FLAG = ['--import', './index.mjs'];

interface Setup {
  readonly flags?: readonly string[];
  readonly options?: object;
}

/** Starts the application and returns the spans of both of its starts. */
async function run(program: string, { flags = [], options = {} }: Setup): Promise<readonly (readonly PrintedSpan[])[]> {
  const env = { ...addresses, NODE_ENV: 'test', OPTIONS: JSON.stringify(options) };
  const { code, stdout, output } = await Program.run({ command: process.execPath, args: [...flags, program], cwd: folder, env }, 60_000);
  const starts = stdout.split('\n').filter(line => line.startsWith('{'));
  if (code !== 0 || starts.length !== 2 || /\[Tracing\]|Unhandled/.test(output)) throw new Error(output);
  return starts.map(line => {
    const { said, spans } = JSON.parse(line) as { said: string; spans: PrintedSpan[] };
    expect(said).toBe('Hi');
    return spans;
  });
}

/** The calls of instrumented libraries, with their parents, in both starts. */
function callsOf(starts: readonly (readonly PrintedSpan[])[]) {
  const isCall = ({ name, maker }: PrintedSpan) => maker !== 'nestjs-tracing' && !/^pg(-pool)?\.connect$/.test(name);
  return starts.map(spans => spans.filter(isCall).map(({ maker, name, parent }) => `${maker}: ${name} < ${parent}`));
}

/** Each library once in each start, below the request. */
function onceEach(...without: Library[]) {
  const calls = Object.entries(CALLS).filter(([library]) => libraries.has(library as Library) && !without.includes(library as Library));
  const start = calls.map(([library, name]) => `${library}: ${name} < GET /all`);
  return [start, start];
}

describe.each([
  ['ES module', 'application.fixture.mjs'],
  ['CommonJS', 'application.fixture.cjs'],
])('Instrumentations in an application of type %s', (type, program) => {
  it('trace libraries that were loaded before them, if the process has the flag', async () => {
    const starts = await run(program, { flags: FLAG });
    expect(callsOf(starts)).toEqual(onceEach());
    const queries = starts.flat().filter(({ name }) => name.startsWith('pg.query'));
    expect(queries.filter(({ isConfigured }) => !isConfigured)).toEqual([]);
  });

  it('trace CommonJS libraries that were loaded before them without the flag', async () => {
    expect(callsOf(await run(program, {}))).toEqual(type === 'CommonJS' ? onceEach() : onceEach('openai'));
  });
});

describe('Instrumentations that the flag has created', () => {
  it('make no span if they are not in the option', async () => {
    const starts = await run('application.fixture.cjs', { flags: FLAG, options: { listed: false } });
    expect(callsOf(starts)).toEqual([[], []]);
  });

  it('make no span if tracing is disabled', async () => {
    expect(await run('application.fixture.mjs', { flags: FLAG, options: { enabled: false } })).toEqual([[], []]);
  });
});

describe('Instrumentations beside version 1.10 of the API', () => {
  it.each([
    ['with the flag', FLAG],
    ['without the flag', []],
  ])(
    'trace an ES module application, which has another build of the API than they have: %s',
    async (_, flags) => {
      const packages = join(folder, 'node_modules/@opentelemetry');
      mkdirSync(packages, { recursive: true });
      for (const name of readdirSync(join(INSTALLED, '@opentelemetry'))) {
        symlinkSync(join(INSTALLED, name === 'api' ? 'api-1.10' : `@opentelemetry/${name}`), join(packages, name), 'dir');
      }
      try {
        const starts = await run('application.fixture.mjs', { flags: ['--preserve-symlinks', ...flags] });
        expect(callsOf(starts)).toEqual(flags.length > 0 ? onceEach() : onceEach('openai'));
      } finally {
        rmSync(join(folder, 'node_modules'), { recursive: true });
      }
    },
    60_000,
  );
});

describe('The flag', () => {
  const runElsewhere = async (env: Record<string, string> = {}): Promise<Outcome> => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'elsewhere-'));
    writeFileSync(join(elsewhere, 'main.mjs'), 'console.log("started");');
    const args = ['--import', join(folder, 'index.mjs'), 'main.mjs'];
    const outcome = await Program.run({ command: process.execPath, args, cwd: elsewhere, env }, 60_000);
    rmSync(elsewhere, { recursive: true });
    return outcome;
  };

  it('says what is missing where no instrumentation is installed, and the application starts', async () => {
    const { code, stdout, output } = await runElsewhere();
    expect([code, stdout]).toEqual([0, 'started\n']);
    expect(output).toContain('Run "npm i @opentelemetry/instrumentation"');
  });

  it('does nothing if OTEL_SDK_DISABLED is true', async () => {
    expect((await runElsewhere({ OTEL_SDK_DISABLED: 'true' })).output).toBe('started\n');
  });
});
