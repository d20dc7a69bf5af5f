import http from 'node:http';
import { createRequire } from 'node:module';
import axios, { type AxiosInstance } from 'axios';
import got, { CancelError } from 'got';
import nodeFetch from 'node-fetch';
import superagent from 'superagent';
import { SpanStatusCode } from '@opentelemetry/api';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { traceNodeHttp } from '../../../lib/integrations/http-client/node-http.js';
import { traceSubgraph } from '../../../lib/integrations/http-client/subgraph-calls.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, type OutboundSetup, traceparentOf } from './outbound-application.js';

const require = createRequire(import.meta.url);
// These two have no types.
const followRedirects = require('follow-redirects') as { readonly http: typeof http };
const fetchWithRetries = require('make-fetch-happen') as (url: string, init?: object) => Promise<{ text(): Promise<string> }>;

describe('a library that calls through node:http', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let stop: () => void;

  const restart = async (setup: OutboundSetup) => {
    await application.close();
    application = new OutboundApplication(setup);
  };

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    stop = traceNodeHttp();
  });
  afterEach(async () => {
    stop();
    await application.finish();
  });

  const described = () =>
    application.clientSpans.map(({ attributes }) => [
      String(attributes['url.full']).slice(downstream.url.length),
      attributes['http.response.status_code'],
      attributes['http.request.resend_count'],
    ]);

  const libraries: [string, (url: string) => Promise<unknown>][] = [
    ['got', url => got(url, { retry: { limit: 0 } }).text()],
    ['node-fetch', async url => (await nodeFetch(url)).text()],
    ['make-fetch-happen', async url => (await fetchWithRetries(url, { retry: 0 })).text()],
    ['superagent', async url => (await superagent.get(url)).text],
    ['axios, whose instance nobody traces', async url => (await axios.create().get<unknown>(url)).data],
    [
      'follow-redirects',
      url =>
        new Promise((resolve, reject) => {
          followRedirects.http.get(url, response => response.resume().once('end', resolve)).once('error', reject);
        }),
    ],
  ];

  describe.each(libraries)('(%s)', (_name, read) => {
    it('has one span for a call and takes the trace along', async () => {
      await application.serve(() => read(`${downstream.url}/ok`));
      expect(described()).toEqual([['/ok', 200, undefined]]);
      expect(application.childrenOf(application.span('request'))).toEqual(['GET']);
      expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
    });

    it('has a span per redirect, counted', async () => {
      await application.serve(() => read(`${downstream.url}/redirect/2`));
      expect(described()).toEqual([
        ['/redirect/2', 302, undefined],
        ['/redirect/1', 302, 1],
        ['/redirect/0', 200, 2],
      ]);
      expect(application.childrenOf(application.span('request'))).toEqual(['GET', 'GET', 'GET']);
      expect(downstream.headersOf('/redirect/0').traceparent).toBe(traceparentOf(application.clientSpans[2]!));
    });

    it('gives trace headers only to hosts that may have them, redirects included', async () => {
      const elsewhere = await startDownstream();
      await restart({ outbound: { propagateTo: `127.0.0.1:${downstream.port}` } });
      await application.serve(() => read(`${downstream.url}/redirect/1?to=${elsewhere.url}/ok`));
      await elsewhere.close();
      expect(application.clientSpans).toHaveLength(2);
      expect(elsewhere.headersOf('/ok').traceparent).toBeUndefined();
    });

    it('has the right parent among 100 at the same time', async () => {
      const paths = Array.from({ length: 100 }, (_, index) => `/ok/${index}`);
      await Promise.all(paths.map(path => application.serve(span => (span.updateName(path), read(downstream.url + path)))));
      for (const path of paths) {
        const [client, ...others] = application.clientSpans.filter(({ attributes }) => attributes['url.full'] === downstream.url + path);
        expect(others).toEqual([]);
        expect(client?.parentSpanContext?.spanId).toBe(application.span(path).spanContext().spanId);
        expect(downstream.headersOf(path).traceparent).toBe(traceparentOf(client!));
      }
    });

    it('has no second span where the official instrumentation makes one', async () => {
      const { request } = http;
      Object.assign(request, { __wrapped: true });
      try {
        await application.serve(() => read(`${downstream.url}/ok`));
      } finally {
        Reflect.deleteProperty(request, '__wrapped');
      }
      expect(application.clientSpans).toEqual([]);
    });
  });

  it('(got) has a span for each attempt', async () => {
    await application.serve(() =>
      got(`${downstream.url}/flaky/got/1`, { retry: { limit: 1, calculateDelay: ({ computedValue }) => computedValue && 1 } }),
    );
    expect(described()).toEqual([
      ['/flaky/got/1', 503, undefined],
      ['/flaky/got/1', 200, undefined],
    ]);
  });

  it('(got) that misses its deadline has failed', async () => {
    await application.serve(() => got(`${downstream.url}/hang`, { timeout: { request: 50 }, retry: { limit: 0 } }).catch(() => undefined));
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.ERROR);
    expect(application.clientSpan.attributes['error.type']).toBe('ETIMEDOUT');
  });

  it('(got) that the caller cancels has not failed', async () => {
    const arrival = downstream.arrival('/hang');
    await application.serve(async () => {
      const call = got(`${downstream.url}/hang`);
      await arrival;
      call.cancel();
      await expect(call).rejects.toBeInstanceOf(CancelError);
      // The connection closes a moment later.
      while (application.clientSpans.length === 0) await new Promise(setImmediate);
    });
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('(node-fetch) that the caller aborts has not failed', async () => {
    const abort = new AbortController();
    const arrival = downstream.arrival('/hang');
    await application.serve(async () => {
      const call = nodeFetch(`${downstream.url}/hang`, { signal: abort.signal });
      await arrival;
      abort.abort();
      await expect(call).rejects.toMatchObject({ name: 'AbortError' });
      while (application.clientSpans.length === 0) await new Promise(setImmediate);
    });
    expect(application.clientSpan.status.code).toBe(SpanStatusCode.UNSET);
  });

  describe('(axios, whose instance is traced)', () => {
    let client: AxiosInstance;
    beforeEach(() => void (client = traceAxios(axios.create())));

    it.each(['/ok', '/redirect/2', '/status/404'])('has one span for a call to %s', async path => {
      await application.serve(() => client.get(downstream.url + path).catch(() => undefined));
      expect(application.clientSpans).toHaveLength(1);
      expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpan));
    });

    it('has one span where a redirect leads to a host that may not have trace headers', async () => {
      const elsewhere = await startDownstream();
      await restart({ outbound: { propagateTo: `127.0.0.1:${downstream.port}` } });
      await application.serve(() => client.get(`${downstream.url}/redirect/1?to=${elsewhere.url}/ok`));
      await elsewhere.close();
      expect(application.clientSpan.attributes['http.request.resend_count']).toBe(1);
      expect(elsewhere.headersOf('/ok').traceparent).toBeUndefined();
    });

    it('has one span where no host may have trace headers', async () => {
      await restart({ outbound: { propagateTo: 'users.test' } });
      await application.serve(() => client.get(`${downstream.url}/redirect/1`));
      expect(application.clientSpans).toHaveLength(1);
      expect(downstream.requests.at(-1)?.headers.traceparent).toBeUndefined();
    });

    it('has a span for each attempt', async () => {
      await application.serve(async () => {
        const failure: unknown = await client.get(`${downstream.url}/flaky/axios/1`).catch((error: unknown) => error);
        await client.request((failure as { config: object }).config);
      });
      expect(described()).toEqual([
        ['/flaky/axios/1', 503, undefined],
        ['/flaky/axios/1', 200, 1],
      ]);
    });

    it('leaves a different call that is made meanwhile its own span', async () => {
      await application.serve(() =>
        client.get(`${downstream.url}/redirect/1`, { beforeRedirect: () => void http.get(`${downstream.url}/ok/inner`).end() }),
      );
      while (application.clientSpans.length < 2) await new Promise(setImmediate);
      expect(
        described()
          .map(([path]) => path)
          .sort(),
      ).toEqual(['/ok/inner', '/redirect/1']);
      expect(application.childrenOf(application.span('request'))).toEqual(['GET', 'GET']);
    });

    it('leaves a call that follows in a stream of the response its own span', async () => {
      await application.serve(async () => {
        const { data } = await client.get<http.IncomingMessage>(`${downstream.url}/big`, { responseType: 'stream' });
        await new Promise<void>(resolve => {
          data.resume().once('end', () => http.get(`${downstream.url}/ok`, response => response.resume().once('end', resolve)));
        });
      });
      expect(described().map(([path]) => path)).toEqual(['/big', '/ok']);
    });

    it('has its span where outbound.http is false, too', async () => {
      await restart({ outbound: { http: false } });
      await application.serve(() => client.get(`${downstream.url}/redirect/1`));
      expect(application.clientSpans).toHaveLength(1);
    });
  });

  describe('(the fetcher of an Apollo gateway)', () => {
    const source = { fetcher: fetchWithRetries };
    let release: () => void;
    beforeEach(() => void (release = traceSubgraph(source)));
    afterEach(() => release());

    it('has one span for a call in a request', async () => {
      await application.serve(async () =>
        (await source.fetcher(`${downstream.url}/ok`, { method: 'POST', body: '{}', agent: false })).text(),
      );
      expect(described()).toEqual([['/ok', 200, undefined]]);
      expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
    });

    it('has no span outside any request, where it reads schemas', async () => {
      await (await source.fetcher(`${downstream.url}/ok`)).text();
      expect(application.clientSpans).toEqual([]);
      expect(downstream.headersOf('/ok').traceparent).toBeUndefined();
    });
  });
});
