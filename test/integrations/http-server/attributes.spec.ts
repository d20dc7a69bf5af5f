import net from 'node:net';
import { Controller, Get } from '@nestjs/common';
import { SpanKind } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace-node';
import { adapters, startApplication, type TestApplication } from './http-application.js';

@Controller('users')
class UsersController {
  @Get(':id') one() {
    return 'one';
  }
}

/** Sends raw bytes and waits for the first bytes of the answer. */
function sendRaw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.once('data', data => {
      resolve(data.toString('latin1'));
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(''));
  });
}

describe.each(adapters)('the attributes of a server span on %s', adapter => {
  let test: TestApplication;
  const sampled: Record<string, unknown>[] = [];
  beforeAll(async () => {
    test = await startApplication(adapter, {
      controllers: [UsersController],
      tracing: {
        sampler: {
          shouldSample: (_ctx, _traceId, _name, _kind, attributes) => {
            sampled.push({ ...attributes });
            return { decision: SamplingDecision.RECORD_AND_SAMPLED };
          },
        },
      },
    });
  });
  afterAll(() => test.close());
  beforeEach(() => {
    test.recorder.clear();
    sampled.length = 0;
  });

  it('are those of the stable conventions, and a sampler sees what the request tells', async () => {
    await test.request('/users/7?q=1&X-Amz-Signature=abc&sig=d%20e&sig', { headers: { 'user-agent': 'spec/1' } });
    await test.recorder.waitForSpans(1);
    const { attributes, kind } = test.recorder.spans[0]!;
    expect(kind).toBe(SpanKind.SERVER);
    const atStart = {
      'http.request.method': 'GET',
      'url.path': '/users/7',
      'url.query': 'q=1&X-Amz-Signature=REDACTED&sig=REDACTED&sig',
      'url.scheme': 'http',
      'server.address': '127.0.0.1',
      'server.port': test.port,
      'client.address': '127.0.0.1',
      'network.peer.address': '127.0.0.1',
      'network.peer.port': expect.any(Number),
      'network.protocol.version': '1.1',
      'user_agent.original': 'spec/1',
    };
    expect(sampled).toEqual([atStart]);
    expect(attributes).toEqual({
      ...atStart,
      'http.route': '/users/:id',
      'code.function.name': 'UsersController.one',
      'http.response.status_code': 200,
    });
  });

  it('name the client, host and scheme that a proxy forwards', async () => {
    const forwarded = { 'x-forwarded-for': '203.0.113.9, 10.0.0.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'shop.example' };
    await test.request('/users/7', { headers: forwarded });
    await test.request('/users/7', { headers: { forwarded: 'for="[2001:db8::1]:4711";proto=https;host=shop.example:8443, for=10.0.0.1' } });
    await test.recorder.waitForSpans(2);
    expect(test.recorder.spans[0]!.attributes).toMatchObject({
      'client.address': '203.0.113.9',
      'url.scheme': 'https',
      'server.address': 'shop.example',
      'server.port': 443,
      'network.peer.address': '127.0.0.1',
    });
    expect(test.recorder.spans[1]!.attributes).toMatchObject({
      'client.address': '2001:db8::1',
      'url.scheme': 'https',
      'server.address': 'shop.example',
      'server.port': 8443,
    });
  });

  it.each([
    ['unknown', { forwarded: 'for=unknown' }, '127.0.0.1'],
    ['hidden', { forwarded: 'for="_hidden", for=10.0.0.1' }, '127.0.0.1'],
    ['hidden with a port', { forwarded: 'for="_SEVKISEK:_p1"' }, '127.0.0.1'],
    ['a script', { 'x-forwarded-for': '<script>alert(1)</script>' }, '127.0.0.1'],
    ['a name', { 'x-forwarded-for': 'localhost, 10.0.0.1' }, '127.0.0.1'],
    ['empty', { 'x-forwarded-for': ', 10.0.0.1' }, '127.0.0.1'],
    ['too long', { 'x-forwarded-for': '1'.repeat(4000) }, '127.0.0.1'],
    ['no address in brackets', { 'x-forwarded-for': '[10.0.0.1]:80' }, '127.0.0.1'],
    ['no such address', { 'x-forwarded-for': '999.1.1.1' }, '127.0.0.1'],
    ['an address and a port', { 'x-forwarded-for': '203.0.113.9:4711' }, '203.0.113.9'],
    ['an IPv6 address', { 'x-forwarded-for': '2001:db8::1' }, '2001:db8::1'],
    ['an IPv6 address in brackets', { 'x-forwarded-for': '[2001:db8::1]:4711, 10.0.0.1' }, '2001:db8::1'],
    ['an address with a zone', { forwarded: 'proto=http;For="[fe80::1%eth0]"' }, 'fe80::1'],
    ['quoted, with separators before it', { forwarded: 'host="a,b;for=10.0.0.2";for="203.0.113.9"' }, '203.0.113.9'],
    ['said by the older header', { forwarded: 'for=unknown', 'x-forwarded-for': '203.0.113.9' }, '203.0.113.9'],
  ])('name a client by its address or its peer: one that is %s', async (_, headers, address) => {
    await test.request('/users/7', { headers });
    const { attributes } = await test.recorder.waitForSpan('GET /users/:id');
    expect(attributes['client.address']).toBe(address);
  });

  it.each([
    ['<script>', { 'x-forwarded-host': '<script>' }],
    ['a long one', { 'x-forwarded-host': 'a'.repeat(300) }],
    ['one with spaces', { forwarded: 'host="a b"' }],
    ['one with a path', { 'x-forwarded-host': 'evil.example/path' }],
    ['one with a user', { 'x-forwarded-host': 'user@evil.example' }],
    ['of another scheme', { 'x-forwarded-proto': 'javascript' }],
  ])('keep to what the connection says where a proxy forwards a host or scheme that is none: %s', async (_, headers) => {
    await test.request('/users/7', { headers });
    const { attributes } = await test.recorder.waitForSpan('GET /users/:id');
    expect(attributes).toMatchObject({ 'server.address': '127.0.0.1', 'server.port': test.port, 'url.scheme': 'http' });
  });

  it('name no server where the client calls it by what is no host', async () => {
    await test.request('/users/7', { headers: { host: '<script>' } });
    const { attributes } = await test.recorder.waitForSpan('GET /users/:id');
    expect(attributes).not.toHaveProperty(['server.address']);
  });

  it('keep an unknown method out of the name', async () => {
    await test.request('/users/7', { method: 'PURGE' });
    await test.recorder.waitForSpans(1);
    const span = test.recorder.spans[0]!;
    expect(span.name).toBe('HTTP');
    expect(span.attributes).toMatchObject({ 'http.request.method': '_OTHER', 'http.request.method_original': 'PURGE' });
  });

  it.each([
    ['an absolute target', 'GET http://shop.example/users/7?a=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n', '/users/7'],
    ['an old protocol', 'GET /users/7 HTTP/1.0\r\n\r\n', '/users/7'],
    ['a host that is an IPv6 address', 'GET /users/7 HTTP/1.1\r\nHost: [::1]:3000\r\nConnection: close\r\n\r\n', '/users/7'],
    ['a host that is no host', `GET /users/7 HTTP/1.1\r\nHost: ${':'.repeat(2000)}\r\nConnection: close\r\n\r\n`, '/users/7'],
    ['every server at once', 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', '*'],
  ])('bear %s', async (_what, bytes, path) => {
    await sendRaw(test.port, bytes);
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans).toHaveLength(1);
    expect(test.recorder.spans[0]!.attributes['url.path']).toBe(path);
  });

  it.each([
    ['a trace id of zeros', '00-00000000000000000000000000000000-00f067aa0ba902b7-01'],
    ['capital letters', '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01'],
    ['megabytes, nearly', `00-${'a'.repeat(12_000)}`],
    ['bytes that are no text', '00-\xff\xfe\x80-1'],
  ])('start a new trace when traceparent is %s', async (_what, traceparent) => {
    const answer = await sendRaw(test.port, `GET /users/7 HTTP/1.1\r\nHost: a\r\ntraceparent: ${traceparent}\r\nConnection: close\r\n\r\n`);
    expect(answer).toContain('200');
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.parentSpanContext).toBeUndefined();
  });

  it('start a new trace when traceparent is repeated', async () => {
    const header = 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n';
    await sendRaw(test.port, `GET /users/7 HTTP/1.1\r\nHost: a\r\n${header}${header}Connection: close\r\n\r\n`);
    await test.recorder.waitForSpans(1);
    expect(test.recorder.spans[0]!.parentSpanContext).toBeUndefined();
  });
});
