import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { InMemorySpanExporter, AlwaysOnSampler, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { W3CBaggagePropagator } from '@opentelemetry/core';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { resolveOptions } from '../../lib/options/resolved-options.js';

/** Options as a JavaScript user, or a value from a configuration file, might give them. */
const untyped = (options: unknown): TracingOptions => options as TracingOptions;

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('Nothing was refused.');
}

describe('options without anything set', () => {
  it('trace everything, to the terminal, with all header formats', () => {
    const options = resolveOptions({}, {});
    expect(options).toMatchObject({
      enabled: true,
      serviceName: undefined,
      resource: {},
      exporters: ['waterfall'],
      spanProcessors: [],
      sampler: undefined,
      propagators: ['tracecontext', 'baggage', 'b3'],
      propagatorsInCode: false,
      pipelineOptionsInCode: [],
      tracerProvider: undefined,
      instrumentations: [],
      logs: false,
      shutdownTimeoutMs: 5000,
    });
    expect(options.inbound).toMatchObject({ ignore: [], trust: true, trustForwardedHeaders: true, captureRequestHeaders: [] });
    expect(options.inbound.responseHeader).toBeUndefined();
    expect(options.inbound.redactQueryKeys).toContain('X-Amz-Signature');
    expect([...options.inbound.knownMethods]).toEqual(expect.arrayContaining(['GET', 'QUERY', 'PATCH']));
    expect(options.outbound).toMatchObject({ ignore: [], fetch: true, http: true, captureResponseHeaders: [] });
    expect(options.outbound.propagateTo).toBeUndefined();
  });

  it('are the same when a factory returns nothing', () => {
    expect(resolveOptions(undefined, {})).toEqual(resolveOptions({}, {}));
  });
});

describe('the option "viewer"', () => {
  const viewer = (given: unknown, env: NodeJS.ProcessEnv = {}) => resolveOptions(untyped({ viewer: given }), env).viewer;

  it('is off by default, and on with defaults or with what is set', () => {
    expect(viewer(undefined)).toBeUndefined();
    expect(viewer(false)).toBeUndefined();
    expect(viewer(true)).toEqual({ port: 4318, maxBytes: 32e6 });
    expect(viewer({})).toEqual({ port: 4318, maxBytes: 32e6 });
    expect(viewer({ port: 5000, maxMemoryMb: 8 })).toEqual({ port: 5000, maxBytes: 8e6 });
  });

  it('stays off in production unless that is named', () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    for (const given of [true, {}, { port: 5000 }, { inProduction: false }]) {
      expect(viewer(given, { NODE_ENV: 'production' })).toBeUndefined();
    }
    expect(viewer({ inProduction: true }, { NODE_ENV: 'production' })).toEqual({ port: 4318, maxBytes: 32e6 });
    expect(viewer(true, { NODE_ENV: 'development' })).toBeDefined();
  });

  it('stays off in tests, quietly, unless that is named', () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    for (const given of [true, {}, { port: 5000 }, { inTest: false }, { inProduction: true }]) {
      expect(viewer(given, { NODE_ENV: 'test' })).toBeUndefined();
    }
    expect(viewer({ inTest: true, port: 5000 }, { NODE_ENV: 'test' })).toEqual({ port: 5000, maxBytes: 32e6 });
    expect(viewer({ inTest: true }, { NODE_ENV: 'production' })).toBeUndefined();
    expect(warn.mock.calls.flat().filter(said => String(said).includes('"test"'))).toEqual([]);
  });

  it('counts among what an adopted provider has no use for, where it is on', () => {
    expect(resolveOptions({ viewer: true }, {}).pipelineOptionsInCode).toEqual(['viewer']);
    expect(resolveOptions({ viewer: false }, {}).pipelineOptionsInCode).toEqual([]);
  });

  it.each([
    [4318, 'option "viewer"'],
    [{ port: 0 }, 'option "viewer.port"'],
    [{ port: 80.5 }, 'option "viewer.port"'],
    [{ port: 70_000 }, 'option "viewer.port"'],
    [{ maxMemoryMb: 0 }, 'option "viewer.maxMemoryMb"'],
    [{ inProduction: 'yes' }, 'option "viewer.inProduction"'],
    [{ inTest: 'yes' }, 'option "viewer.inTest"'],
    [{ host: '0.0.0.0' }, 'option "viewer.host" does not exist'],
  ])('refuses %j', (given, said) => {
    expect(() => viewer(given)).toThrow(said);
  });
});

describe('options in code', () => {
  it('are brought into one form', () => {
    const health = (request: { url?: string }) => request.url === '/health';
    const { inbound, outbound, serviceName } = resolveOptions(
      {
        serviceName: ' orders ',
        inbound: { ignore: '/health', captureRequestHeaders: ['X-Tenant', 'x-tenant'], responseHeader: true },
        outbound: { ignore: [/internal/g, () => false], propagateTo: [], captureResponseHeaders: ['ETag'], redactQueryKeys: [] },
      },
      {},
    );
    expect(serviceName).toBe('orders');
    expect(inbound).toMatchObject({ ignore: ['/health'], captureRequestHeaders: ['x-tenant'], responseHeader: 'x-trace-id' });
    expect(outbound).toMatchObject({ ignore: [/internal/, expect.any(Function)], propagateTo: [], captureResponseHeaders: ['etag'] });
    expect(outbound.redactQueryKeys).toEqual([]);
    expect(resolveOptions({ inbound: { ignore: health, responseHeader: 'Trace-Id' } }, {}).inbound).toMatchObject({
      ignore: [health],
      responseHeader: 'trace-id',
    });
  });

  it('name exporters singly, as a list, each once', () => {
    const exporter = new InMemorySpanExporter();
    expect(resolveOptions({ exporter: 'console' }, {}).exporters).toEqual(['console']);
    expect(resolveOptions({ exporter: exporter }, {}).exporters).toEqual([exporter]);
    expect(resolveOptions({ exporter: ['otlp', exporter, 'otlp'] }, {}).exporters).toEqual(['otlp', exporter]);
    expect(resolveOptions({ exporter: [] }, {}).exporters).toEqual([]);
    expect(resolveOptions({ exporter: 'none' }, {}).exporters).toEqual([]);
    expect(resolveOptions({ exporter: ['auto', 'waterfall'] }, { NODE_ENV: 'production' }).exporters).toEqual(['otlp', 'waterfall']);
  });

  it('name propagators, or switch them off', () => {
    const own = new W3CBaggagePropagator();
    expect(resolveOptions({ propagators: ['b3', own, 'b3'] }, {})).toMatchObject({ propagators: ['b3', own], propagatorsInCode: true });
    expect(resolveOptions({ propagators: ['none'] }, {}).propagators).toEqual([]);
    expect(resolveOptions({ propagators: [] }, {}).propagators).toEqual([]);
  });

  it('that only a pipeline of our own can follow are remembered by name', () => {
    const options = { serviceName: 'a', exporter: 'none', sampler: 0.5, logs: true, propagators: [], resource: undefined } as const;
    expect(resolveOptions(untyped(options), {}).pipelineOptionsInCode).toEqual(['serviceName', 'exporter', 'sampler']);
  });

  it('accept a ratio, a Sampler, span processors and a provider', () => {
    const sampler = new AlwaysOnSampler();
    const processor = new SimpleSpanProcessor(new InMemorySpanExporter());
    const tracerProvider = { getTracer: () => ({}) as never };
    expect(resolveOptions({ sampler: 0, spanProcessors: [processor] }, {})).toMatchObject({ sampler: 0, spanProcessors: [processor] });
    expect(resolveOptions({ sampler, tracerProvider }, {})).toMatchObject({ sampler, tracerProvider });
  });
});

describe('a mistake in code', () => {
  const mistakes: [path: string, seen: string, options: unknown][] = [
    ['enabled', '"false" (a string)', { enabled: 'false' }],
    ['serviceName', '"" (a string)', { serviceName: '' }],
    ['serviceName', '"7" (a number)', { serviceName: 7 }],
    ['serviceVersion', '"  " (a string)', { serviceVersion: '  ' }],
    ['resource', 'a list', { resource: ['a'] }],
    ['resource.team', 'an object of Object', { resource: { team: { name: 'a' } } }],
    ['resource.team', 'a list', { resource: { team: ['a', 1] } }],
    ['resource.cost', '"NaN" (a number)', { resource: { cost: NaN } }],
    ['exporter', '"jaeger" (a string)', { exporter: 'jaeger' }],
    ['exporter[1]', 'an object of Object', { exporter: ['otlp', { export: () => undefined }] }],
    ['exporter', '"none, otlp" (a string)', { exporter: ['none', 'otlp'] }],
    ['spanProcessors', 'an object of Object', { spanProcessors: {} }],
    ['spanProcessors[0]', 'an object of Object', { spanProcessors: [{ onStart() {} }] }],
    ['sampler', '"1.1" (a number)', { sampler: 1.1 }],
    ['sampler', '"-0.1" (a number)', { sampler: -0.1 }],
    ['sampler', '"NaN" (a number)', { sampler: NaN }],
    ['sampler', '"always_on" (a string)', { sampler: 'always_on' }],
    ['sampler', 'null', { sampler: null }],
    ['propagators', '"b3" (a string)', { propagators: 'b3' }],
    ['propagators[1]', '"jaeger" (a string)', { propagators: ['b3', 'jaeger'] }],
    ['propagators', '"none" (a string)', { propagators: ['none', 'b3'] }],
    ['propagators[0]', 'an object of Object', { propagators: [{ inject() {} }] }],
    ['tracerProvider', 'an object of Object', { tracerProvider: {} }],
    ['instrumentations', '"pg" (a string)', { instrumentations: 'pg' }],
    ['instrumentations[0]', 'function "PgInstrumentation"', { instrumentations: [class PgInstrumentation {}] }],
    ['instrumentations[1]', 'a list', { instrumentations: [{ setTracerProvider() {}, enable() {}, disable() {} }, []] }],
    ['logs', '"yes" (a string)', { logs: 'yes' }],
    ['shutdownTimeoutMs', '"-1" (a number)', { shutdownTimeoutMs: -1 }],
    ['shutdownTimeoutMs', '"Infinity" (a number)', { shutdownTimeoutMs: Infinity }],
    ['shutdownTimeoutMs', '"5s" (a string)', { shutdownTimeoutMs: '5s' }],
    ['shutdownTimeoutMs', 'null', { shutdownTimeoutMs: null }],
    ['inbound.messageOrigin', 'null', { inbound: { messageOrigin: null } }],
    ['graphql.subscriptionEvents', 'null', { graphql: { subscriptionEvents: null } }],
    ['viewer.port', 'null', { viewer: { port: null } }],
    ['inbound', 'an object of Map', { inbound: new Map([['trust', false]]) }],
    ['resource', 'an object of Map', { resource: new Map([['team', 'a']]) }],
    ['inbound', '"true" (a boolean)', { inbound: true }],
    ['inbound.ignore', '"health" (a string)', { inbound: { ignore: 'health' } }],
    ['inbound.ignore[1]', '"" (a string)', { inbound: { ignore: ['/a', ''] } }],
    ['inbound.ignore[0]', 'null', { inbound: { ignore: [null] } }],
    ['inbound.ignoreMessages', '"" (a string)', { inbound: { ignoreMessages: '' } }],
    ['inbound.messageOrigin', '"child" (a string)', { inbound: { messageOrigin: 'child' } }],
    ['graphql.subscriptionEvents', '"root" (a string)', { graphql: { subscriptionEvents: 'root' } }],
    ['outbound.ignoreMessages[0]', '"7" (a number)', { outbound: { ignoreMessages: [7] } }],
    ['inbound.trust', '"all" (a string)', { inbound: { trust: 'all' } }],
    ['inbound.captureRequestHeaders', '"x-tenant" (a string)', { inbound: { captureRequestHeaders: 'x-tenant' } }],
    ['inbound.captureRequestHeaders[0]', '"x tenant" (a string)', { inbound: { captureRequestHeaders: ['x tenant'] } }],
    ['inbound.captureResponseHeaders[1]', '"1" (a number)', { inbound: { captureResponseHeaders: ['etag', 1] } }],
    ['inbound.redactQueryKeys[0]', '"" (a string)', { inbound: { redactQueryKeys: [''] } }],
    ['inbound.trustForwardedHeaders', '"1" (a number)', { inbound: { trustForwardedHeaders: 1 } }],
    ['inbound.responseHeader', '"x trace" (a string)', { inbound: { responseHeader: 'x trace' } }],
    ['inbound.responseHeader', '"1" (a number)', { inbound: { responseHeader: 1 } }],
    ['inbound.onRequest', '"log" (a string)', { inbound: { onRequest: 'log' } }],
    ['inbound.onResponse', 'null', { inbound: { onResponse: null } }],
    ['outbound.ignore', '"/health" (a string)', { outbound: { ignore: '/health' } }],
    ['outbound.propagateTo[0]', '"https://users" (a string)', { outbound: { propagateTo: ['https://users'] } }],
    ['outbound.propagateTo', '"false" (a boolean)', { outbound: { propagateTo: false } }],
    ['outbound.fetch', 'null', { outbound: { fetch: null } }],
    ['outbound.http', '"0" (a number)', { outbound: { http: 0 } }],
    ['outbound.onRequest', 'an object of Object', { outbound: { onRequest: {} } }],
  ];

  it.each(mistakes)('stops the start-up and names "%s" and the value %s', (path, seen, options) => {
    expect(() => resolveOptions(untyped(options), {})).toThrow(`"${path}" is ${seen}; expected `);
  });

  it.each([
    ['null', null],
    ['a list', []],
    ['"true" (a boolean)', true],
    ['an object of Promise', Promise.resolve({})],
    ['an object of Map', new Map()],
  ])('that is %s stops the start-up and says where options come from', (seen, options) => {
    expect(() => resolveOptions(untyped(options), {})).toThrow(`The options of TracingModule are ${seen}; give forRoot() an object`);
  });

  it.each([
    ['sampelr', 'sampler', { sampelr: 1 }],
    ['service', 'serviceName', { service: 'orders' }],
    ['inbound.ignored', 'ignore', { inbound: { ignored: [] } }],
    ['outbound.propogateTo', 'propagateTo', { outbound: { propogateTo: [] } }],
    ['graphql.operation', 'operations', { graphql: { operation: true } }],
    ['viewer.maxMemoryMB', 'maxMemoryMb', { viewer: { maxMemoryMB: 5 } }],
    // The right name in another place.
    ['outbound.trust', 'inbound.trust', { outbound: { trust: true } }],
    ['ignore', 'inbound.ignore" or "outbound.ignore" or "databases.ignore', { ignore: '/health' }],
    ['inbound.serviceName', 'serviceName', { inbound: { serviceName: 'orders' } }],
    ['port', 'viewer.port', { port: 4400 }],
  ])('in the name "%s" stops the start-up, lists the names there are, and asks for "%s"', (path, meant, options) => {
    const said = messageOf(() => resolveOptions(untyped(options), {}));
    expect(said).toContain(`"${path}" does not exist; known names: `);
    expect(said).toMatch(new RegExp(`\\. Did you mean "${meant}"\\?$`));
  });

  it('in a name that is like none asks for nothing', () => {
    expect(() => resolveOptions(untyped({ metrics: true }), {})).toThrow(/shutdownTimeoutMs\.$/);
  });

  it.each([
    [{ exporter: 'oltp' }, 'otlp'],
    [{ exporter: ['otlp', 'zipkn'] }, 'zipkin'],
    [{ exporter: 'Console' }, 'console'],
    [{ propagators: ['b3mutli'] }, 'b3multi'],
    [{ inbound: { messageOrigin: 'links' } }, 'link'],
  ])('in a word, as in %j, is answered with the one that is near', (options, meant) => {
    expect(messageOf(() => resolveOptions(untyped(options), {}))).toMatch(new RegExp(`\\. Did you mean "${meant}"\\?$`));
  });

  it('is found even where tracing is switched off', () => {
    expect(() => resolveOptions(untyped({ enabled: false, sampler: 2 }), {})).toThrow('"sampler"');
  });
});

describe('the environment', () => {
  let warnings: string[];
  beforeEach(() => {
    warnings = [];
    jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: unknown) => void warnings.push(String(message)));
  });
  afterEach(() => void jest.restoreAllMocks());

  it('switches tracing off with OTEL_SDK_DISABLED, whatever the code says', () => {
    expect(resolveOptions({ enabled: true }, { OTEL_SDK_DISABLED: 'TRUE' }).enabled).toBe(false);
    expect(resolveOptions({}, { OTEL_SDK_DISABLED: 'false' }).enabled).toBe(true);
    expect(resolveOptions({ enabled: false }, { OTEL_SDK_DISABLED: 'false' }).enabled).toBe(false);
    expect(warnings).toEqual([]);
    expect(resolveOptions({}, { OTEL_SDK_DISABLED: '1' }).enabled).toBe(true);
    expect(warnings).toEqual([expect.stringContaining('OTEL_SDK_DISABLED is "1"')]);
  });

  it('chooses the exporter by OTEL_TRACES_EXPORTER, by an OTLP endpoint, by NODE_ENV, in this order', () => {
    const exporters = (env: NodeJS.ProcessEnv) => resolveOptions({}, env).exporters;
    expect(exporters({ OTEL_TRACES_EXPORTER: 'console, otlp,console', NODE_ENV: 'test' })).toEqual(['console', 'otlp']);
    expect(exporters({ OTEL_TRACES_EXPORTER: 'Zipkin' })).toEqual(['zipkin']);
    expect(exporters({ OTEL_TRACES_EXPORTER: 'none', NODE_ENV: 'production' })).toEqual([]);
    expect(exporters({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', NODE_ENV: 'test' })).toEqual(['otlp']);
    expect(exporters({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:4318/v1/traces' })).toEqual(['otlp']);
    expect(exporters({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ', NODE_ENV: 'development' })).toEqual(['waterfall']);
    expect(exporters({ NODE_ENV: 'production' })).toEqual(['otlp']);
    expect(exporters({ NODE_ENV: 'test' })).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('loses to an exporter in code', () => {
    expect(resolveOptions({ exporter: 'console' }, { OTEL_TRACES_EXPORTER: 'otlp' }).exporters).toEqual(['console']);
  });

  it('with unknown names is warned about once and otherwise followed', () => {
    expect(resolveOptions({}, { OTEL_TRACES_EXPORTER: 'jaeger,console' }).exporters).toEqual(['console']);
    expect(resolveOptions({}, { OTEL_TRACES_EXPORTER: 'jaeger,console' }).exporters).toEqual(['console']);
    expect(warnings).toEqual([expect.stringMatching(/OTEL_TRACES_EXPORTER is "jaeger".* choose "otlp".* 4318/)]);
    expect(() => resolveOptions({ exporter: 'jaeger' as never })).toThrow(/choose "otlp".* 4318/);
    expect(resolveOptions({}, { OTEL_TRACES_EXPORTER: 'none,console' }).exporters).toEqual([]);
    expect(resolveOptions({}, { OTEL_PROPAGATORS: 'xray' }).propagators).toEqual(['tracecontext', 'baggage', 'b3']);
    expect(warnings.slice(1)).toEqual([
      expect.stringContaining('OTEL_TRACES_EXPORTER is "none,console"'),
      expect.stringContaining('OTEL_PROPAGATORS is "xray"'),
    ]);
  });

  it('chooses the header formats by OTEL_PROPAGATORS', () => {
    const env = { OTEL_PROPAGATORS: ' b3multi, tracecontext ,,b3multi' };
    expect(resolveOptions({}, env)).toMatchObject({ propagators: ['b3multi', 'tracecontext'], propagatorsInCode: false });
    expect(resolveOptions({}, { OTEL_PROPAGATORS: 'none' }).propagators).toEqual([]);
    expect(resolveOptions({ propagators: ['baggage'] }, env).propagators).toEqual(['baggage']);
  });

  it('replaces the list of known methods', () => {
    const { inbound, outbound } = resolveOptions({}, { OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS: 'GET, PURGE' });
    expect([...inbound.knownMethods]).toEqual(['GET', 'PURGE']);
    expect([...outbound.knownMethods]).toEqual(['GET', 'PURGE']);
  });
});
