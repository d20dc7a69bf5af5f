import { channel } from 'node:diagnostics_channel';
import { SpanStatusCode } from '@opentelemetry/api';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

/** The request that undici publishes. Its versions differ in the form of the headers. The specs publish it by hand. */
interface Announced {
  origin: string | URL;
  path: string;
  method: string;
  headers: string | unknown[];
  upgrade?: string;
  addHeader?(name: string, value: string): void;
}

const publish = (name: string, message: object) => channel(`undici:${name}`).publish(message);

describe('a request of undici', () => {
  let application: OutboundApplication;
  let stop: () => void;
  beforeEach(() => {
    application = new OutboundApplication();
    stop = traceFetch();
  });
  afterEach(async () => {
    stop();
    await application.finish();
  });

  const request = (changes: Partial<Announced> = {}): Announced => ({
    origin: 'http://users.test',
    path: '/users/7',
    method: 'GET',
    headers: [],
    ...changes,
  });
  const send = (announced: Announced, statusCode = 200) =>
    application.serve(() => {
      publish('request:create', { request: announced });
      publish('client:sendHeaders', {
        request: announced,
        headers: '',
        socket: { remoteAddress: '::1', remotePort: 80, alpnProtocol: 'h2' },
      });
      publish('request:headers', { request: announced, response: { statusCode, headers: [], statusText: '' } });
    });

  it('gets its headers in a list, by itself or through addHeader()', async () => {
    const bare = request();
    await send(bare);
    expect(bare.headers).toEqual(['traceparent', traceparentOf(application.clientSpan)]);
    application.reset();
    const headers: unknown[] = ['Accept', '*/*'];
    const own = request({ headers, addHeader: (name, value) => headers.push(`own-${name}`, value) });
    await send(own);
    expect(headers).toEqual(['Accept', '*/*', 'own-traceparent', traceparentOf(application.clientSpan)]);
  });

  it('of line 5 gets them in the text that goes over the wire', async () => {
    const announced = request({ headers: 'accept: */*\r\n' });
    await send(announced);
    expect(announced.headers).toBe(`accept: */*\r\ntraceparent: ${traceparentOf(application.clientSpan)}\r\n`);
    application.reset();
    await send(announced);
    expect(announced.headers).toBe(`accept: */*\r\ntraceparent: ${traceparentOf(application.clientSpan)}\r\n`);
  });

  it('of line 5 is read for the headers to capture', async () => {
    await application.close();
    application = new OutboundApplication({ outbound: { captureRequestHeaders: ['x-tenant', 'x-none'] } });
    await send(request({ headers: 'accept: */*\r\nX-Tenant: a b\r\n' }));
    expect(application.clientSpan.attributes).toMatchObject({ 'http.request.header.x-tenant': ['a b'] });
    expect(application.clientSpan.attributes).not.toHaveProperty('http.request.header.x-none');
  });

  it('shows its headers to a propagator that asks for their names', async () => {
    await application.close();
    const names: string[][] = [];
    const curious = {
      inject: () => undefined,
      extract: (ctx: never, carrier: never, getter: { keys(carrier: never): string[] }) => {
        names.push(getter.keys(carrier));
        return ctx;
      },
      fields: () => [],
    };
    application = new OutboundApplication({ propagator: curious });
    const look = () => undefined;
    stop();
    channel('undici:request:create').subscribe(look);
    stop = traceFetch();
    await send(request({ headers: ['a', '1', 'b', ['2', '3']] }));
    await send(request({ headers: 'a: 1\r\nb: 2\r\n' }));
    channel('undici:request:create').unsubscribe(look);
    expect(names).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('to a proxy names the URL it asks for', async () => {
    await send(request({ origin: new URL('http://proxy.test:3128'), path: 'https://users.test/users/7' }));
    expect(application.clientSpan.attributes).toMatchObject({
      'server.address': 'users.test',
      'server.port': 443,
      'network.peer.address': '::1',
      'network.protocol.version': '2',
    });
  });

  it('that opens a tunnel or upgrades its connection is left alone', async () => {
    const tunnel = request({ method: 'CONNECT', path: 'users.test:443' });
    const upgrade = request({ upgrade: 'websocket' });
    await send(tunnel);
    await send(upgrade);
    expect(application.clientSpans).toEqual([]);
    expect([tunnel.headers, upgrade.headers]).toEqual([[], []]);
  });

  it('that makes no sense is left alone', async () => {
    await send(request({ path: 'nonsense' }));
    publish('request:create', {});
    publish('request:create', { request: { headers: undefined } });
    expect(application.clientSpans).toEqual([]);
  });

  it('is not over while the answer is only being announced', async () => {
    const announced = request();
    await application.serve(() => {
      publish('request:create', { request: announced });
      publish('request:headers', { request: announced, response: { statusCode: 103, headers: [] } });
      expect(application.clientSpans).toEqual([]);
      publish('request:headers', { request: announced, response: { statusCode: 200, headers: [] } });
      // The body may fail after the headers. The span has already ended.
      publish('request:error', { request: announced, error: new Error('too late') });
    });
    expect(application.clientSpan).toMatchObject({ status: { code: SpanStatusCode.UNSET }, events: [] });
  });

  it('that broke on a connection names the connection', async () => {
    const announced = request();
    await application.serve(() => {
      publish('request:create', { request: announced });
      publish('client:sendHeaders', { request: announced, headers: '', socket: { remoteAddress: '127.0.0.1', remotePort: 80 } });
      publish('request:error', { request: announced, error: Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' }) });
    });
    expect(application.clientSpan.attributes).toMatchObject({ 'network.peer.address': '127.0.0.1', 'error.type': 'UND_ERR_SOCKET' });
  });
});
