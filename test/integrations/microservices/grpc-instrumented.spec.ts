import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SpanStatusCode } from '@opentelemetry/api';
import { build, type Plugin } from 'esbuild';
import ts from 'typescript';

/** Compiled with TypeScript: Nest injects by the metadata of decorators, which esbuild does not write. */
const compiled: Plugin = {
  name: 'typescript',
  setup({ onLoad }) {
    const { compilerOptions } = ts.readConfigFile('tsconfig.json', path => ts.sys.readFile(path)).config as { compilerOptions: object };
    const options = { ...ts.convertCompilerOptionsFromJson(compilerOptions, process.cwd()).options, module: ts.ModuleKind.ESNext };
    onLoad({ filter: /[.]ts$/ }, ({ path }) => ({
      contents: ts.transpileModule(readFileSync(path, 'utf8'), { compilerOptions: options }).outputText,
    }));
  },
};

interface Outcome {
  readonly answers: Record<string, unknown>;
  readonly trees: Record<string, string>;
  readonly unhandled: unknown[];
  readonly broken?: object;
}

describe('a gRPC call that instrumentation-grpc sees too', () => {
  let program: string;
  beforeAll(async () => {
    program = join(process.cwd(), `node_modules/.cache/grpc-specs/instrumented-${process.pid}.mjs`);
    const entryPoints = ['test/integrations/microservices/grpc-instrumented.fixture.ts'];
    await build({
      entryPoints,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      outfile: program,
      plugins: [compiled],
    });
  });
  afterAll(() => rmSync(program, { force: true }));

  const run = async (settings: object): Promise<Outcome> => {
    const env = { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' };
    const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(settings)], { env });
    return JSON.parse(stdout) as Outcome;
  };

  /** Returns the tree of a call by `client` to `server`, whose handler does one piece of work. */
  const tree = (call: string, client: string, server: string, work: string): string =>
    [
      'none > request (ours)',
      `request > ${client}`,
      `${client.replace(/ \(.*/, '')} > ${server}`,
      `${server.replace(/ \(.*/, '')} > work ${work} (ours)`,
    ]
      .sort()
      .join(', ')
      .replaceAll('CALL', `library.Desk/${call}`);

  const kinds: [string, string, string][] = [
    ['ask', 'Ask', 'ask'],
    ['breaks', 'Ask', 'ask'],
    ['list', 'List', 'list'],
    ['collect', 'Collect', 'collect'],
    ['talk', 'Talk', 'talk'],
    ['pass', 'Pass', 'pass'],
  ];
  const answers = {
    ask: { number: 1 },
    breaks: 2,
    list: [{ number: 1 }, { number: 2 }],
    collect: { number: 1 },
    talk: { number: 7 },
    pass: { number: 7 },
    quiet: { number: 3 },
  };

  it('has the spans of the instrumentation, one per side, and what the handler does below', async () => {
    const outcome = await run({ instrumentation: {} });
    expect(outcome.answers).toMatchObject(answers);
    for (const [name, call, work] of kinds) {
      expect([name, outcome.trees[name]]).toEqual([name, tree(call, 'grpc.CALL (theirs)', 'grpc.CALL (theirs)', work)]);
    }
    expect(outcome.trees['goes on']).toContain('request > work after (ours)');
    expect(outcome.trees.quiet).toBe(
      'grpc.library.Desk/Quiet > grpc.library.Desk/Quiet (theirs), none > request (ours), request > grpc.library.Desk/Quiet (theirs)',
    );
  });

  it('has ours where the instrumentation is not there', async () => {
    const outcome = await run({});
    expect(outcome.answers).toMatchObject(answers);
    for (const [name, call, work] of kinds) {
      expect([name, outcome.trees[name]]).toEqual([name, tree(call, 'CALL (ours)', 'CALL (ours)', work)]);
    }
    expect(outcome.trees['goes on']).toContain('request > work after (ours)');
  });

  it('fails where a handler that it is passed through to throws, and leaves the rejection unhandled, once', async () => {
    const outcome = await run({});
    expect(outcome.unhandled).toEqual(['Internal server error']);
    expect(outcome.broken).toEqual({ code: SpanStatusCode.ERROR, message: 'out of order' });
  });

  it('has ours where the instrumentation is told to leave the method alone', async () => {
    const outcome = await run({ instrumentation: { ignoreGrpcMethods: ['Ask', 'ask'] } });
    expect(outcome.trees.ask).toBe(tree('Ask', 'CALL (ours)', 'CALL (ours)', 'ask'));
    expect(outcome.trees.list).toBe(tree('List', 'grpc.CALL (theirs)', 'grpc.CALL (theirs)', 'list'));
  });
});
