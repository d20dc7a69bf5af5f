import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

async function attributesOf(options: TracingOptions = {}): Promise<Record<string, unknown>> {
  const exporter = new InMemorySpanExporter();
  const { tracer } = await startPipeline({ ...options, exporter });
  tracer.startSpan('a').end();
  return exporter.getFinishedSpans()[0]!.resource.attributes;
}

let folder: string;
let script: string | undefined;
beforeEach(() => {
  script = process.argv[1];
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'nestjs-tracing-')));
});
afterEach(() => {
  process.argv[1] = script!;
  rmSync(folder, { recursive: true });
});

function file(path: string, content: unknown): void {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content));
}

describe('the name of the service', () => {
  it('is that of the package.json nearest to the main script', async () => {
    file('package.json', { name: 'monorepo', version: '1.0.0' });
    file('apps/orders/package.json', { name: '@acme/orders', version: '2.3.4' });
    // As builds leave them beside their output: without a name, or not readable.
    file('apps/orders/dist/package.json', { type: 'commonjs' });
    file('apps/orders/dist/src/package.json', 'not JSON');
    process.argv[1] = join(folder, 'apps/orders/dist/src/main.js');
    expect(await attributesOf()).toMatchObject({ 'service.name': '@acme/orders', 'service.version': '2.3.4' });
  });

  describe('in a monorepo with one package.json', () => {
    const runs = async (main: string): Promise<unknown> => {
      process.argv[1] = join(folder, main);
      return (await attributesOf())['service.name'];
    };

    it('is that of the application in nest-cli.json, run from its sources or from what any builder makes of them', async () => {
      file('package.json', { name: 'shop', version: '1.2.3' });
      file('nest-cli.json', {
        monorepo: true,
        root: 'apps/orders',
        projects: {
          orders: { type: 'application', root: 'apps/orders', entryFile: 'main' },
          users: { type: 'application', root: './services/people/' },
          billing: { root: 'apps/orders-billing' },
          shared: { type: 'library', root: 'libs/shared' },
        },
      });
      expect(await runs('dist/apps/orders/main.js')).toBe('orders');
      expect(await runs('dist/apps/orders/src/main.js')).toBe('orders');
      expect(await runs('apps/orders/src/main.ts')).toBe('orders');
      expect(await runs('dist/apps/orders')).toBe('orders');
      expect(await runs('dist/services/people/main.js')).toBe('users');
      expect(await runs('dist/apps/orders-billing/main.js')).toBe('billing');
      expect(await runs('dist/libs/shared/main.js')).toBe('shop');
      expect(await attributesOf()).toMatchObject({ 'service.version': '1.2.3' });
    });

    it('is the folder below "apps" or "services" where there is no nest-cli.json', async () => {
      file('package.json', { name: 'shop', version: '1.2.3' });
      expect(await runs('dist/apps/orders/main.js')).toBe('orders');
      expect(await runs('dist/services/users/src/main.js')).toBe('users');
      expect(await runs('dist/apps/main.js')).toBe('shop');
      expect(await runs('dist/main.js')).toBe('shop');
    });

    it('is that of the package of the application where it has one', async () => {
      file('package.json', { name: 'shop' });
      file('nest-cli.json', { projects: { orders: { root: 'apps/orders' } } });
      file('apps/orders/package.json', { name: '@shop/orders' });
      expect(await runs('apps/orders/dist/main.js')).toBe('@shop/orders');
    });

    it('does not mind a nest-cli.json that makes no sense', async () => {
      file('package.json', { name: 'shop' });
      for (const content of ['[', 'null', '{"projects":[]}', '{"projects":{"a":null,"b":{"root":7},"c":{"root":""},"d":{"root":"./"}}}']) {
        file('nest-cli.json', content);
        expect(await runs('dist/main.js')).toBe('shop');
      }
    });
  });

  it('is that of the working directory where a tool runs the application', async () => {
    file('package.json', { name: 'orders' });
    file('node_modules/runner/package.json', { name: 'runner', version: '9' });
    process.argv[1] = join(folder, 'node_modules/runner/bin.js');
    jest.spyOn(process, 'cwd').mockReturnValue(folder);
    const attributes = await attributesOf();
    expect(attributes).toMatchObject({ 'service.name': 'orders' });
    expect(attributes).not.toHaveProperty('service.version');
  });

  it('is "unknown_service:node" where there is no package.json at all', async () => {
    process.argv.length = 1;
    jest.spyOn(process, 'cwd').mockReturnValue('/');
    expect(await attributesOf()).toMatchObject({ 'service.name': 'unknown_service:node' });
  });

  it('comes from code before OTEL_SERVICE_NAME before OTEL_RESOURCE_ATTRIBUTES', async () => {
    setEnvironment({ OTEL_RESOURCE_ATTRIBUTES: 'service.name=third,service.version=3,team=a%2Cb' });
    expect(await attributesOf()).toMatchObject({ 'service.name': 'third', 'service.version': '3', team: 'a,b' });
    setEnvironment({ OTEL_SERVICE_NAME: 'second' });
    expect(await attributesOf()).toMatchObject({ 'service.name': 'second', 'service.version': '3' });
    expect(await attributesOf({ resource: { 'service.name': 'first', team: 'c' } })).toMatchObject({ 'service.name': 'first', team: 'c' });
    expect(await attributesOf({ serviceName: 'zeroth', serviceVersion: '0', resource: { 'service.name': 'first' } })).toMatchObject({
      'service.name': 'zeroth',
      'service.version': '0',
    });
  });
});

describe('the resource', () => {
  it('tells host, process, runtime and environment, each application its own instance', async () => {
    setEnvironment({ NODE_ENV: 'test' });
    const attributes = await attributesOf();
    expect(attributes).toMatchObject({
      'host.name': hostname(),
      'process.pid': process.pid,
      'process.runtime.name': 'nodejs',
      'process.runtime.version': process.versions.node,
      'deployment.environment.name': 'test',
      'telemetry.sdk.name': 'opentelemetry',
      'service.instance.id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect((await attributesOf())['service.instance.id']).not.toBe(attributes['service.instance.id']);
  });

  it('keeps the arguments of the process to itself', async () => {
    process.argv.push('--password=secret');
    try {
      expect(JSON.stringify(await attributesOf())).not.toContain('secret');
    } finally {
      process.argv.pop();
    }
  });

  it('is made of what OTEL_NODE_RESOURCE_DETECTORS names', async () => {
    setEnvironment({ OTEL_NODE_RESOURCE_DETECTORS: 'host,gcp', OTEL_RESOURCE_ATTRIBUTES: 'team=a', OTEL_SERVICE_NAME: 'orders' });
    const attributes = await attributesOf();
    expect(attributes).toMatchObject({ 'host.name': hostname(), 'service.name': 'orders' });
    for (const key of ['process.pid', 'team', 'os.type', 'service.instance.id']) expect(attributes).not.toHaveProperty([key]);
    expect(said).toEqual([expect.stringContaining('OTEL_NODE_RESOURCE_DETECTORS is "gcp"')]);
    setEnvironment({ OTEL_NODE_RESOURCE_DETECTORS: 'none' });
    expect(await attributesOf()).not.toHaveProperty(['host.name']);
  });

  it('goes without OTEL_RESOURCE_ATTRIBUTES where it cannot be read, and says so', async () => {
    setEnvironment({ OTEL_RESOURCE_ATTRIBUTES: 'team=a,broken' });
    const attributes = await attributesOf();
    expect(attributes).not.toHaveProperty('team');
    expect(said).toEqual([expect.stringContaining('OTEL_RESOURCE_ATTRIBUTES is "team=a,broken"')]);
  });
});

describe('limits on spans', () => {
  it('follow the environment, by the names of the specification', async () => {
    setEnvironment({
      OTEL_ATTRIBUTE_COUNT_LIMIT: '3',
      OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: '4',
      OTEL_SPAN_EVENT_COUNT_LIMIT: '2',
      OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: '1',
      OTEL_SPAN_LINK_COUNT_LIMIT: '1',
      OTEL_SPAN_ATTRIBUTE_PER_LINK_COUNT_LIMIT: '9',
      OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: '1',
    });
    const exporter = new InMemorySpanExporter();
    const { tracer } = await startPipeline({ exporter });
    const context = tracer.startSpan('other').spanContext();
    const span = tracer.startSpan('a', {
      attributes: { a: 'aaaaaa', b: 1, c: 1, d: 1 },
      links: [{ context, attributes: { a: 1, b: 2 } }, { context }],
    });
    for (const name of ['x', 'y', 'z']) span.addEvent(name, { a: 1, b: 2 });
    span.end();
    const [finished] = exporter.getFinishedSpans();
    expect(finished?.attributes).toEqual({ a: 'aaaa', b: 1, c: 1 });
    expect(finished?.events.map(({ name, attributes }) => [name, attributes])).toEqual([
      ['y', { a: 1 }],
      ['z', { a: 1 }],
    ]);
    expect(finished?.links).toHaveLength(1);
  });

  it('that are no limits are said and left out', async () => {
    setEnvironment({ OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '-1', OTEL_BSP_MAX_QUEUE_SIZE: 'many' });
    const exporter = new InMemorySpanExporter();
    const { tracer } = await startPipeline({ exporter });
    tracer.startSpan('a', { attributes: { a: 1 } }).end();
    expect(exporter.getFinishedSpans()[0]?.attributes).toEqual({ a: 1 });
    expect(said.sort()).toEqual([
      expect.stringContaining('OTEL_BSP_MAX_QUEUE_SIZE is "many"'),
      expect.stringContaining('OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is "-1"'),
    ]);
  });
});
