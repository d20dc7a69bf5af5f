import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as forward, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { proxyFor } from '../../lib/sdk/otlp/settings.js';
import { selfSigned } from '../integrations/http-server/self-signed.js';
import { Collector } from './collector.js';
import { said, setEnvironment, startPipeline } from './pipelines.js';

/** A proxy as companies have them: it knows hosts that are not known here, all of which are on this machine. */
class Proxy {
  readonly asked: string[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;
  url = '';

  constructor(private readonly credentials?: string) {
    this.server = createServer((request, response) => {
      this.asked.push(`${request.method} ${request.url}`);
      if (!this.isAllowed(request.headers['proxy-authorization'])) return void response.writeHead(407).end();
      const { port, pathname } = new URL(request.url!);
      const { method, headers } = request;
      const passed = forward({ host: '127.0.0.1', port, path: pathname, method, headers }, answer => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      request.pipe(passed);
    });
    this.server.on('connect', (request, socket) => {
      this.asked.push(`CONNECT ${request.url}`);
      if (!this.isAllowed(request.headers['proxy-authorization'])) return void socket.end('HTTP/1.1 407 No\r\n\r\n');
      const upstream = connect(Number(request.url!.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(upstream).pipe(socket);
      });
      for (const one of [upstream, socket]) one.on('error', () => upstream.destroy());
    });
    this.server.on('connection', socket => this.sockets.add(socket));
  }

  async start(): Promise<void> {
    await new Promise<void>(resolve => void this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://${this.credentials === undefined ? '' : `${this.credentials}@`}127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private isAllowed(header: string | undefined): boolean {
    return this.credentials === undefined || header === `Basic ${Buffer.from(this.credentials).toString('base64')}`;
  }
}

let collector: Collector;
let proxy: Proxy;
async function setUp(credentials?: string): Promise<void> {
  proxy = new Proxy(credentials);
  await proxy.start();
}
beforeEach(async () => {
  collector = await Collector.start();
  setEnvironment({ NODE_ENV: 'production', HTTP_PROXY: undefined, HTTPS_PROXY: undefined, NO_PROXY: undefined, no_proxy: undefined });
});
afterEach(async () => {
  proxy.stop();
  await collector.stop();
});

async function exportTwice(): Promise<void> {
  const pipeline = await startPipeline({ exporter: 'otlp' });
  for (const name of ['a', 'b']) {
    pipeline.tracer.startSpan(name).end();
    await pipeline.forceFlush();
  }
  await pipeline.shutdown();
}

describe('a collector behind a proxy', () => {
  it.each([undefined, 'user:secret'])('is reached over HTTP, with credentials %s', async credentials => {
    await setUp(credentials);
    const { port } = new URL(collector.url);
    setEnvironment({ HTTP_PROXY: proxy.url, OTEL_EXPORTER_OTLP_ENDPOINT: `http://collector.invalid:${port}` });
    await exportTwice();
    expect(collector.spans.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(collector.requests[0]?.headers.host).toBe(`collector.invalid:${port}`);
    expect(proxy.asked).toEqual(Array(2).fill(`POST http://collector.invalid:${port}/v1/traces`));
    expect(said).toEqual([]);
  });

  it('is given the credentials of its own URL, and the proxy those of the proxy', async () => {
    await setUp('user:100%');
    const { port } = new URL(collector.url);
    setEnvironment({ HTTP_PROXY: proxy.url, OTEL_EXPORTER_OTLP_ENDPOINT: `http://me:mine@collector.invalid:${port}` });
    await exportTwice();
    expect(collector.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('me:mine').toString('base64')}`);
    expect(said).toEqual([]);
  });

  it('is reached over HTTPS, through one tunnel, with TLS all the way', async () => {
    await setUp('user:secret');
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-tracing-'));
    const certificate = join(folder, 'cert.pem');
    writeFileSync(certificate, selfSigned.cert);
    const bodies: Buffer[] = [];
    const server = createTlsServer(selfSigned, (request, response) => {
      request.on('data', (chunk: Buffer) => bodies.push(chunk)).on('end', () => response.end());
    });
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    setEnvironment({
      HTTPS_PROXY: proxy.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: `https://localhost:${port}`,
      OTEL_EXPORTER_OTLP_CERTIFICATE: certificate,
    });
    await exportTwice();
    expect(said).toEqual([]);
    expect(bodies).toHaveLength(2);
    expect(proxy.asked).toEqual([`CONNECT localhost:${port}`]);
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  it('is reached without it where NO_PROXY excepts it', async () => {
    await setUp();
    setEnvironment({ HTTP_PROXY: proxy.url, NO_PROXY: 'example.com,127.0.0.1', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    await exportTwice();
    expect(collector.spans).toHaveLength(2);
    expect(proxy.asked).toEqual([]);
  });

  it('is not reached where the proxy refuses, which is said', async () => {
    await setUp('user:secret');
    setEnvironment({
      HTTPS_PROXY: proxy.url.replace('secret', 'wrong'),
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.invalid:4318',
    });
    const pipeline = await startPipeline({ exporter: 'otlp' });
    pipeline.tracer.startSpan('a').end();
    await pipeline.forceFlush();
    const { host } = new URL(proxy.url);
    expect(said).toEqual([
      expect.stringContaining(
        `https://collector.invalid:4318/v1/traces could not be reached through the proxy http://${host} (the proxy ${host} answered 407). Look at the proxy`,
      ),
    ]);
  });
});

describe('NO_PROXY', () => {
  beforeEach(() => setUp());
  it.each([
    ['https://api.vendor.com', '', true],
    ['https://api.vendor.com', '*', false],
    ['https://api.vendor.com', 'vendor.com', false],
    ['https://api.vendor.com', '.vendor.com', false],
    ['https://api.vendor.com', '*.vendor.com', false],
    ['https://api.othervendor.com', 'vendor.com', true],
    ['https://api.vendor.com', 'vendor.com:443', false],
    ['https://api.vendor.com:4318', 'vendor.com:443', true],
    ['https://[::1]:4318', '::1', false],
    ['https://[::1]:4318', '[::1]', false],
    ['https://10.0.0.7:4318', 'localhost, 10.0.0.7', false],
    ['https://10.1.2.3:4318', '172.16.0.0/12,10.0.0.0/8', false],
    ['https://11.1.2.3:4318', '10.0.0.0/8', true],
    ['https://[fd00::7]:4318', 'fd00::/8', false],
    ['https://10.1.2.3:4318', '10.0.0.0/99', true],
    ['https://api.vendor.com', '10.0.0.0/8', true],
  ])('for %s is "%s": the proxy is used: %s', (url, NO_PROXY, isUsed) => {
    expect(proxyFor(new URL(url), { HTTPS_PROXY: 'proxy:3128', NO_PROXY })?.href).toBe(isUsed ? 'http://proxy:3128/' : undefined);
  });

  it('is not needed for an endpoint that nobody named: that is on this machine', async () => {
    const { otlpSettings } = await import('../../lib/sdk/otlp/settings.js');
    expect(otlpSettings({ HTTP_PROXY: 'http://proxy:3128' }).target.proxy).toBeUndefined();
  });

  it('is refused with a proxy that is none', () => {
    expect(() => proxyFor(new URL('https://x'), { https_proxy: 'socks5://proxy' })).toThrow(
      'https_proxy is "socks5://proxy"; expected the URL of a proxy',
    );
    expect(() => proxyFor(new URL('https://x'), { https_proxy: 'http://me:a/b secret@pro xy:1' })).toThrow(
      'https_proxy is "http://…@pro xy:1"',
    );
  });
});
