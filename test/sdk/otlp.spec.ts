import { fileURLToPath } from 'node:url';
import { createServer } from 'node:net';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { otlpGrpcEndpoint } from '../../lib/sdk/otlp/endpoint.js';
import { otlpSettings } from '../../lib/sdk/otlp/settings.js';
import { Collector, type ReceivedRequest } from './collector.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

let collector: Collector;
beforeEach(async () => {
  collector = await Collector.start();
  setEnvironment({ NODE_ENV: 'production', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
});
afterEach(() => collector.stop());

/** What is said when these spans are exported, and what is summed up at the end. */
async function exported(...names: string[]): Promise<{ said: string[]; summary: string | undefined }> {
  const pipeline = await startPipeline({ exporter: 'otlp', shutdownTimeoutMs: 3000 });
  for (const name of names) pipeline.tracer.startSpan(name).end();
  await pipeline.forceFlush();
  const lines = [...said];
  await pipeline.shutdown();
  return { said: lines, summary: said[lines.length] };
}

const namesIn = ({ body }: ReceivedRequest) =>
  ['a', 'b', 'c', 'd', 'e', 'huge'].filter(name => body.includes(Buffer.from([0x2a, name.length, ...Buffer.from(name)])));

describe('an endpoint that cannot work stops the start-up, by variable and value', () => {
  const did = (url: string) => `expected a URL with "http://" or "https://" (did you mean "${url}"?)`;
  it.each([
    ['127.0.0.1:4318', did('http://127.0.0.1:4318')],
    ['localhost:4318', did('http://localhost:4318')],
    ['collector.internal', did('http://collector.internal:4318')],
    ['[::1]:4318', did('http://[::1]:4318')],
    ['://localhost:4318', did('http://localhost:4318')],
    ['ftp://x', did('http://x:4318')],
    ['https//collector:4318', did('https://collector:4318')],
    ['garbage', 'expected a URL such as "http://localhost:4318"'],
    ['http://', 'expected a URL such as "http://localhost:4318"'],
    ['http:// collector', 'expected a URL such as "http://localhost:4318"'],
    ['"http://collector:4318"', did('http://collector:4318')],
    ["'collector:4318'", did('http://collector:4318')],
    ['http:/collector:4318', did('http://collector:4318')],
    ['http://http://collector:4318', did('http://collector:4318')],
    ['http://${HOST}:4318', 'expected a URL such as "http://localhost:4318"'],
    ['http://collector:0', 'expected a URL such as "http://localhost:4318"'],
    ['http://:4318', 'expected a URL such as "http://localhost:4318"'],
    ['unix:///tmp/collector.sock', 'expected a URL such as "http://localhost:4318"'],
  ])('%s', async (value, expected) => {
    for (const variable of ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']) {
      setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: undefined, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: undefined, [variable]: value });
      await expect(startPipeline({ exporter: 'otlp' })).rejects.toThrow(`Environment variable ${variable} is "${value}"; ${expected}`);
    }
    expect(said).toEqual([]);
  });

  it('without repeating the credentials in it', () => {
    const endpoint = () => otlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'user:secret@collector:4318' });
    expect(endpoint).toThrow('is "…@collector:4318"');
    expect(() => otlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:sec/r et@collector' })).toThrow('is "http://…@collector"');
  });

  it('but not where a server may be', () => {
    for (const value of [
      'http://my_collector:4318',
      'http://[fe80::1]:4318',
      'HTTP://Collector.',
      'http://http:4318',
      'https://bücher.example',
    ])
      expect(() => otlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: value })).not.toThrow();
  });

  it('but not where gRPC takes it', () => {
    for (const value of ['localhost:4317', 'http://localhost:4317', 'unix:///tmp/otlp.sock', 'dns:///collector:4317'])
      expect(otlpGrpcEndpoint({ OTEL_EXPORTER_OTLP_ENDPOINT: value })).toBe(value);
    expect(() => otlpGrpcEndpoint({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'ftp://localhost:4317' })).toThrow(
      'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "ftp://localhost:4317"',
    );
  });

  it('and is not looked at where nothing is sent there', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: 'garbage' });
    await startPipeline({ exporter: 'none' });
  });
});

describe('the path of an endpoint', () => {
  it('is not doubled where it is written although it is appended, which is said', async () => {
    for (const end of ['/v1/traces', '/v1/traces/']) {
      setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url + end });
      await exported('a');
    }
    expect(collector.requests.map(({ url }) => url)).toEqual(['/v1/traces', '/v1/traces']);
    const complaint = (end: string) => expect.stringContaining(`OTEL_EXPORTER_OTLP_ENDPOINT is "${collector.url}${end}"; expected`);
    expect(said).toEqual([complaint('/v1/traces'), complaint('/v1/traces/')]);
  });

  it('is appended to another one', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/tenant/` });
    await exported('a');
    expect(collector.requests.map(({ url }) => url)).toEqual(['/tenant/v1/traces']);
  });
});

describe('the time for a batch', () => {
  it('is ten seconds unless the environment says otherwise', () => {
    expect(otlpSettings({}).timeoutMs).toBe(10_000);
    expect(otlpSettings({ OTEL_EXPORTER_OTLP_TIMEOUT: '700' }).timeoutMs).toBe(700);
    expect(otlpSettings({ OTEL_EXPORTER_OTLP_TIMEOUT: '700', OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '80' }).timeoutMs).toBe(80);
  });

  it('is used to wait for what the collector asks to be waited', async () => {
    const times: number[] = [];
    collector.behaviour = (_request, response) => {
      times.push(performance.now());
      if (times.length > 1) response.end();
      else response.writeHead(503, { 'retry-after': '2' }).end();
    };
    const { summary } = await exported('a');
    expect(times[1]! - times[0]!).toBeGreaterThan(1950);
    expect(summary).toBeUndefined();
  });

  it('does not hold up closing, and nothing goes on after that', async () => {
    collector.behaviour = (_request, response) => void response.writeHead(429, { 'retry-after': '8' }).end();
    const pipeline = await startPipeline({ exporter: 'otlp', shutdownTimeoutMs: 300 });
    pipeline.tracer.startSpan('a').end();
    const begin = performance.now();
    await pipeline.shutdown();
    expect(performance.now() - begin).toBeLessThan(1500);
    expect(said).toEqual([expect.stringContaining('1 because they were in flight when the 300 ms')]);
  });
});

describe('a batch that is too large', () => {
  it('is sent in halves, down to single spans; what is too large even then is lost by its name', async () => {
    collector.behaviour = (request, response) => {
      const names = namesIn(request);
      response.writeHead(names.length > 2 || names.includes('huge') ? 413 : 200).end();
    };
    const { said: lines, summary } = await exported('a', 'b', 'huge', 'c', 'd', 'e');
    const accepted = collector.requests.map(namesIn).filter(names => names.length <= 2 && !names.includes('huge'));
    expect(accepted.flat().sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(lines).toEqual([expect.stringMatching(/answered 413, for a single span \(huge\)\. .*limit of the collector/)]);
    expect(summary).toMatch(/^The exporter "otlp" lost 1 span: 0 because its queue was full, 1 because the export failed/);
  });
});

describe('a batch of which the collector refuses a part', () => {
  const inProtobuf = Buffer.from([0x0a, 12, 0x08, 2, 0x12, 8, ...Buffer.from('no\nquota')]);
  it.each([
    ['http/protobuf', 'application/x-protobuf', inProtobuf],
    ['http/json', 'application/json', JSON.stringify({ partialSuccess: { rejectedSpans: '2', errorMessage: 'no quota' } })],
  ])('counts that as lost, and says why: %s', async (protocol, type, body) => {
    setEnvironment({ OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
    collector.behaviour = (_request, response) => void response.writeHead(200, { 'content-type': type }).end(body);
    const { said: lines, summary } = await exported('a', 'b', 'c');
    // Said once in a process.
    if (protocol === 'http/protobuf')
      expect(lines).toEqual([expect.stringContaining('refused 2 of 3 spans of the exporter "otlp" (no quota)')]);
    expect([...lines, summary].at(-1)).toMatch(/^The exporter "otlp" lost 2 spans: 0 .*, 2 because the export failed/);
  });

  it('says a warning once and loses nothing', async () => {
    const body = JSON.stringify({ partialSuccess: { errorMessage: 'soon no longer' } });
    collector.behaviour = (_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    const { said: lines, summary } = await exported('a');
    expect(lines).toEqual([expect.stringContaining('with a warning (soon no longer)')]);
    expect(summary).toBeUndefined();
  });
});

describe('an answer that cannot be read', () => {
  it.each([
    ['garbage', 'application/x-protobuf', Buffer.from([0xff, 0xff, 0xff])],
    ['a page', 'text/html', '<html>Welcome</html>'],
    ['JSON that is none', 'application/json', '{'],
    ['more than anybody wants to read', 'text/plain', Buffer.alloc(8_000_000, 'x')],
  ])('costs one line and no span: %s', async (_what, type, body) => {
    collector.behaviour = (_request, response) => void response.writeHead(200, { 'content-type': type }).end(body);
    const { said: lines, summary } = await exported('a');
    const line = `${collector.url}/v1/traces accepted spans, but its answer is not OTLP. Check that this is the address of a collector, or of the OTLP endpoint of a vendor.`;
    expect(lines).toEqual([line]);
    expect(summary).toBeUndefined();
  });

  it('costs one line without a stack from an exporter of OpenTelemetry, too', async () => {
    collector.behaviour = (_request, response) => void response.end(Buffer.from([0xff, 0xff, 0xff]));
    const pipeline = await startPipeline({ exporter: new OTLPTraceExporter({ url: collector.url }) });
    pipeline.tracer.startSpan('a').end();
    await pipeline.forceFlush();
    expect(said).toEqual([expect.stringMatching(/could not deserialize response.* Error: .*$/)]);
    expect(said[0]).not.toMatch(/\n|<Buffer/);
  });
});

describe('a refused export says address, status and what to do', () => {
  it.each([
    [400, 'OTEL_EXPORTER_OTLP_PROTOCOL'],
    [401, 'OTEL_EXPORTER_OTLP_HEADERS'],
    [403, 'OTEL_EXPORTER_OTLP_HEADERS'],
    [404, 'Check the path'],
    [307, 'write the address that it names'],
    [500, 'Look at the log of the collector.'],
  ])('%s', async (status, advice) => {
    setEnvironment({ OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20sesame-opens' });
    collector.behaviour = (_request, response) =>
      void response
        .writeHead(status, { 'content-type': 'text/plain', ...(status < 400 && { location: 'https://else.where/otlp' }) })
        .end('the token\nsesame-opens is not known');
    const { said: lines, summary } = await exported('a', 'b');
    const reason = status < 400 ? 'https://else.where/otlp' : 'the token … is not known';
    expect(lines).toEqual([expect.stringContaining(`${collector.url}/v1/traces answered ${status} (${reason}). `)]);
    expect(lines[0]).toContain(advice);
    expect(summary).toContain('lost 2 spans');
  });

  it.each([
    [429, 'sample less'],
    [503, 'overloaded or down'],
  ])('%s, when there is no time left to try again', async (status, advice) => {
    collector.behaviour = (_request, response) => void response.writeHead(status, { 'retry-after': '60' }).end();
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringContaining(`${collector.url}/v1/traces answered ${status}. `)]);
    expect(lines[0]).toContain(advice);
  });

  const listening = async (server: Server): Promise<number> => {
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };

  it.each([
    [
      'nobody listens',
      () => 'http://127.0.0.1:1',
      /127\.0\.0\.1:1\/v1\/traces could not be reached \(.*ECONNREFUSED.*\)\. Check that the collector is running/,
    ],
    ['nobody has the name', () => 'http://collector.invalid', /collector\.invalid\/v1\/traces could not be reached .*name of the host/],
    ['there is no TLS', () => collector.url.replace('http:', 'https:'), /could not be reached .*write "http:\/\/" instead of "https:\/\/"/],
  ])('%s', async (_what, urlOf, expected) => {
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: urlOf(), OTEL_EXPORTER_OTLP_TIMEOUT: '300' });
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringMatching(expected)]);
  });

  it('another protocol is offered, for which nobody asked', async () => {
    const server = createServer(socket => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'));
    });
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await listening(server)}` });
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringContaining('/v1/traces answered 101. ')]);
    server.close();
  });

  it('the files of certificates are none', async () => {
    const file = fileURLToPath(import.meta.url);
    const files = { OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: file, OTEL_EXPORTER_OTLP_CLIENT_KEY: file };
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url.replace('http:', 'https:'), ...files });
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringContaining('Check the files of OTEL_EXPORTER_OTLP_CERTIFICATE')]);
  });

  it('the port is one for gRPC', async () => {
    const server = createHttp2Server();
    const port = await listening(server);
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_EXPORTER_OTLP_TIMEOUT: '300' });
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringContaining('port 4317 is for OTEL_EXPORTER_OTLP_PROTOCOL=grpc')]);
    server.close();
  });

  it('nobody answers', async () => {
    const server = createServer(socket => void socket.on('error', () => undefined));
    const port = await listening(server);
    setEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_EXPORTER_OTLP_TIMEOUT: '100' });
    const { said: lines } = await exported('a');
    expect(lines).toEqual([expect.stringMatching(/could not be reached \(no answer within \d+ ms\).*raise OTEL_EXPORTER_OTLP_TIMEOUT/)]);
    server.close();
  });
});

describe('a connection that the collector has given up', () => {
  it('is replaced, and no batch is lost', async () => {
    let sockets = 0;
    collector.behaviour = (_request, response) => {
      sockets += 1;
      response.end();
      // After the answer, as a collector does whose client was frozen.
      setImmediate(() => (response.socket as { resetAndDestroy(): void } | null)?.resetAndDestroy());
    };
    const pipeline = await startPipeline({ exporter: 'otlp' });
    for (const name of ['a', 'b', 'c']) {
      pipeline.tracer.startSpan(name).end();
      await pipeline.forceFlush();
    }
    expect(sockets).toBe(3);
    expect(said).toEqual([]);
  });
});

describe('environment variables', () => {
  it.each([
    ['OTEL_TRACES_EXPORTER', 'datadog', 'expected one or more of otlp, zipkin, console, waterfall, none. Tracing uses "otlp".'],
    ['OTEL_TRACES_EXPORTER', 'oltp', 'none. Did you mean "otlp"? Tracing uses "otlp".'],
    ['OTEL_TRACES_EXPORTER', 'oltp,console', 'Did you mean "otlp"? Tracing uses "console".', 'oltp'],
    ['OTEL_PROPAGATORS', 'jaeger', '"tracecontext" or "b3". Tracing uses "tracecontext,baggage,b3".'],
    ['OTEL_PROPAGATORS', 'tracecontxt', 'Did you mean "tracecontext"? Tracing uses "tracecontext,baggage,b3".'],
    ['OTEL_TRACES_SAMPLER', 'alwayson', 'Did you mean "always_on"? Tracing uses "parentbased_always_on".'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'http/protobufs', 'Did you mean "http/protobuf"? Tracing uses "http/protobuf".'],
  ])('that name what nobody knows are said, with what is used: %s=%s', async (variable, value, expected, item = value) => {
    setEnvironment({ [variable]: value });
    await startPipeline(variable === 'OTEL_TRACES_EXPORTER' ? {} : { exporter: 'otlp' });
    const complaint = said.find(line => line.startsWith(`Environment variable ${variable} is "${item}"`));
    // The same complaint is made once in a process.
    if (value !== 'oltp,console') expect(complaint).toContain(expected);
  });

  it('for files of declarative configuration are said to have no effect', async () => {
    setEnvironment({ OTEL_CONFIG_FILE: '/etc/otel.yaml' });
    await startPipeline({ exporter: 'otlp' });
    expect(said).toEqual([expect.stringContaining('OTEL_CONFIG_FILE is set, but has no effect here')]);
  });

  it('for headers are said to be wrong without a word of them', async () => {
    setEnvironment({ OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a=b,secret,x-tenant=%C3%A9' });
    await exported('a');
    expect(said).toEqual([
      expect.stringMatching(/^Environment variable OTEL_EXPORTER_OTLP_HEADERS has an entry that is no header(?!.*secret)/),
    ]);
    expect(collector.requests[0]?.headers).toMatchObject({ 'x-key': 'a=b' });
  });
});
