/**
 * Checks that each hop has one span beside OpenTelemetry's own instrumentations. They patch `require`, so the applications run in their own
 * processes.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';
import typescript from 'typescript';

interface Made {
  readonly name: string;
  readonly by: string;
  readonly traceId: string;
  readonly parent?: string;
}

/** Nest needs the metadata of decorators, which esbuild does not write. */
const withMetadata: Plugin = {
  name: 'typescript',
  setup({ onLoad }) {
    const { ES2022 } = typescript.ScriptTarget;
    const compilerOptions = {
      target: ES2022,
      module: typescript.ModuleKind.ES2022,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    };
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const { outputText } = typescript.transpileModule(await readFile(path, 'utf8'), { compilerOptions, fileName: path });
      return { contents: outputText, loader: 'js' };
    });
  },
};

async function spansOf(server: string): Promise<readonly Made[]> {
  const { outputFiles } = await build({
    entryPoints: ['test/integrations/graphql/instrumented.fixture.ts'],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    write: false,
    plugins: [withMetadata],
  });
  const flags = ['--import', './test/integrations/graphql/instrumentations.fixture.mjs', '--input-type=module'];
  const running = promisify(execFile)(process.execPath, [...flags, '-', server], { timeout: 60_000 });
  running.child.stdin?.end(outputFiles[0]!.text);
  const { stdout } = await running;
  return JSON.parse(stdout) as Made[];
}

describe.each(['apollo', 'mercurius'])('beside the instrumentations of graphql and socket.io, with %s', server => {
  let spans: readonly Made[];
  const named = (name: string) => spans.filter(span => span.name === name);
  beforeAll(async () => {
    spans = await spansOf(server);
  });

  it('an operation and its fields have their spans, below our server span, which has its name', () => {
    const [request] = spans.filter(({ by, name }) => by === 'nestjs-tracing' && name === 'query One');
    expect(request).toBeDefined();
    expect(request?.parent).toBeUndefined();
    const executions = spans.filter(({ by, name }) => by === 'graphql' && name === 'query One');
    expect(executions.map(({ parent }) => parent)).toEqual(['query One by nestjs-tracing']);
    // In code-first mode they see no root resolver: they have patched another schema than the served one.
    expect(named('graphql.resolve user.name').every(({ by }) => by === 'graphql')).toBe(true);
    const ours = spans.filter(({ by, name }) => by === 'nestjs-tracing' && !/Two|Users|work/.test(name)).map(({ name }) => name);
    expect(ours.sort()).toEqual(['message greet', 'query One']);
    expect(named('Service.work').map(({ parent }) => parent)).toContain('query One by graphql');
  });

  it('a connection has their span, and a message, which they do not see under Nest, has ours', () => {
    expect(spans.filter(({ by }) => by === 'socket.io').map(({ name }) => name)).toEqual(['receive /']);
    expect(named('connect /')).toHaveLength(0);
    expect(named('message greet').map(({ by }) => by)).toEqual(['nestjs-tracing']);
    expect(named('Service.work').map(({ parent }) => parent)).toContain('message greet by nestjs-tracing');
  });
});

describe.each(['apollo', 'mercurius over sockets'])('beside the instrumentation of graphql, an operation over a socket and %s', server => {
  let sent: readonly Made[];
  let others: readonly Made[];
  const parentsOf = (wanted: string, by: string) => sent.filter(span => span.name === wanted && span.by === by).map(({ parent }) => parent);
  beforeAll(async () => {
    const spans = await spansOf(server);
    sent = spans.filter(({ traceId }) => traceId === '0af7651916cd43dd8448eb211c80319c');
    others = spans.filter(({ traceId }) => traceId !== '0af7651916cd43dd8448eb211c80319c');
  });

  it('has our server span, in the trace of its sender, with theirs below and what resolvers do below that', () => {
    expect(parentsOf('query Two', 'nestjs-tracing')).toEqual([undefined]);
    expect(parentsOf('query Two', 'graphql')).toEqual(['query Two by nestjs-tracing']);
    expect(parentsOf('graphql.validate', 'graphql')).toContain('query Two by nestjs-tracing');
    expect(
      sent
        .filter(({ parent }) => parent === 'query Two by graphql')
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['Service.work', 'graphql.resolve user.name']);
  });

  it('has our server span where it is a subscription, and our spans of its events', () => {
    expect(parentsOf('subscription Users', 'nestjs-tracing')).toEqual([undefined]);
    expect(parentsOf('Service.work', 'nestjs-tracing').slice(1)).toEqual(['subscription Users by nestjs-tracing']);
    const made = others.filter(({ name }) => name === 'Service.work').map(({ parent }) => parent);
    expect(made.filter(parent => parent === 'event subscription Users by nestjs-tracing')).toHaveLength(1);
    expect(others.filter(({ name }) => name === 'event subscription Users').map(({ by }) => by)).toEqual(['nestjs-tracing']);
  });

  // Mercurius parses and subscribes in its own loop, which cannot be wrapped.
  if (server !== 'apollo') return;
  it('leaves none of theirs alone, those of events included', () => {
    expect(parentsOf('subscription Users', 'graphql')).toEqual(['subscription Users by nestjs-tracing']);
    expect(parentsOf('graphql.parse', 'graphql')).toEqual(['query Two by nestjs-tracing', 'subscription Users by nestjs-tracing']);
    expect(others.filter(({ by, name }) => by === 'graphql' && /Two|Users/.test(name))).toEqual([]);
  });
});
