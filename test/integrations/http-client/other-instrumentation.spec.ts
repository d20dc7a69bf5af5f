import http2 from 'node:http2';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { HttpInstrumentation, type HttpInstrumentationConfig } from '@opentelemetry/instrumentation-http';
import { UndiciInstrumentation, type UndiciInstrumentationConfig } from '@opentelemetry/instrumentation-undici';
import axios, { type AxiosAdapter } from 'axios';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

const require = createRequire(import.meta.url);

/** Patches `http` as the instrumentation does at `require`. jest's module loader does not support its hooks. */
function instrumentHttp(application: OutboundApplication, config: HttpInstrumentationConfig = {}): () => void {
  const instrumentation = new HttpInstrumentation({ disableIncomingRequestInstrumentation: true, ...config });
  instrumentation.disable();
  instrumentation.setTracerProvider(providerOf(application));
  const definitions = instrumentation['init']();
  for (const { name, patch } of definitions) patch?.(require(name), undefined);
  return () => {
    for (const { name, unpatch } of definitions) unpatch?.(require(name), undefined);
  };
}

function instrumentUndici(application: OutboundApplication, config: UndiciInstrumentationConfig = {}): () => void {
  const instrumentation = new UndiciInstrumentation(config);
  instrumentation.setTracerProvider(providerOf(application));
  return () => instrumentation.disable();
}

/** Their spans have the same exporter as ours but another scope. */
const scopes = { theirs: 'theirs', ours: 'test' };
const providerOf = (application: OutboundApplication) => ({ getTracer: () => application.tracerNamed(scopes.theirs) });

describe('a call that another instrumentation sees too', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  const undo: (() => void)[] = [];

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    propagation.setGlobalPropagator(application.propagator);
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) step();
    propagation.disable();
    await application.finish();
  });

  const client = () => traceAxios(axios.create({ baseURL: downstream.url }));
  const made = () => application.clientSpans.map(span => span.instrumentationScope.name);
  /** Expects exactly one span, and its context at the receiver. */
  const expectOne = (scope: string) => {
    expect(made()).toEqual([scope]);
    expect(downstream.requests.at(-1)?.headers.traceparent).toBe(traceparentOf(application.clientSpan));
    application.reset();
  };

  describe('instrumentation-http', () => {
    const callThrough = async (adapter?: AxiosAdapter | string) => {
      await application.serve(() => client().get('/ok', adapter === undefined ? {} : { adapter: adapter as AxiosAdapter }));
    };

    it('makes the span of a call through axios; there is no second one', async () => {
      undo.push(instrumentHttp(application));
      await callThrough();
      expectOne(scopes.theirs);
    });

    it('makes the span where a function of the user calls the http adapter, too', async () => {
      undo.push(instrumentHttp(application));
      const http = axios.getAdapter('http');
      await callThrough(config => http(config));
      expectOne(scopes.theirs);
    });

    it('leaves calls through the fetch adapter to us', async () => {
      undo.push(instrumentHttp(application), traceFetch());
      await callThrough('fetch');
      expectOne(scopes.ours);
    });

    it('leaves calls over HTTP/2 to us', async () => {
      undo.push(instrumentHttp(application));
      const server = http2.createServer((_request, response) => response.end('{}'));
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      await application.serve(() => client().get(url, { httpVersion: 2, http2Options: { sessionTimeout: 1 } } as object));
      server.close();
      expect(made()).toEqual([scopes.ours]);
    });

    it('leaves them all to us where its outgoing side is switched off', async () => {
      undo.push(instrumentHttp(application, { disableOutgoingRequestInstrumentation: true }));
      await callThrough();
      expectOne(scopes.ours);
    });

    it('leaves them to us again once it is switched off', async () => {
      instrumentHttp(application)();
      await callThrough();
      expectOne(scopes.ours);
    });

    it('that is told to ignore a call is obeyed: it has no span', async () => {
      undo.push(instrumentHttp(application, { ignoreOutgoingRequestHook: () => true }));
      await callThrough();
      expect(made()).toEqual([]);
    });

    it('does not stand between an untraced request and what its caller sent', async () => {
      undo.push(instrumentHttp(application));
      const caller = trace.setSpanContext(ROOT_CONTEXT, {
        traceId: '0af7651916cd43dd8448eb211c80319c',
        spanId: 'b7ad6b7169203331',
        traceFlags: 1,
      });
      await application.relaySuppressed(caller, () => client().get('/ok'));
      expect(made()).toEqual([]);
      expect(downstream.headersOf('/ok').traceparent).toContain('b7ad6b7169203331');
    });
  });

  describe('instrumentation-undici', () => {
    const call = () => application.serve(async () => (await fetch(`${downstream.url}/ok`)).text());

    it.each(['before us', 'after us'])('makes the span of a fetch, registered %s; there is no second one', async order => {
      if (order === 'before us') undo.push(instrumentUndici(application), traceFetch());
      else undo.push(traceFetch(), instrumentUndici(application));
      for (let i = 0; i < 3; i += 1) {
        await call();
        expectOne(scopes.theirs);
      }
    });

    it.each(['before us', 'after us'])('makes the span outside any request too, registered %s', async order => {
      if (order === 'before us') undo.push(instrumentUndici(application), traceFetch());
      else undo.push(traceFetch(), instrumentUndici(application));
      for (let i = 0; i < 2; i += 1) {
        await (await fetch(`${downstream.url}/ok`)).text();
        expectOne(scopes.theirs);
      }
    });

    const deaf: UndiciInstrumentationConfig = { ignoreRequestHook: () => true };

    it('leaves the call to us where it is told to ignore it', async () => {
      undo.push(instrumentUndici(application, deaf), traceFetch());
      await call();
      expectOne(scopes.ours);
    });

    it('leaves every call but the first to us where it ignores them and was registered after us', async () => {
      undo.push(traceFetch(), instrumentUndici(application, deaf));
      await call();
      expect(made()).toEqual([]);
      await call();
      expectOne(scopes.ours);
    });

    it('leaves calls to us again once it is gone', async () => {
      undo.push(traceFetch());
      const stop = instrumentUndici(application);
      await call();
      application.reset();
      stop();
      await call();
      expectOne(scopes.ours);
    });

    it('makes no second span where axios calls through fetch', async () => {
      undo.push(instrumentUndici(application), traceFetch());
      await application.serve(() => client().get('/ok', { adapter: 'fetch' }));
      expectOne(scopes.ours);
    });

    it('is told apart from trace headers that the user passes on', async () => {
      undo.push(instrumentUndici(application, deaf), traceFetch());
      const headers = { traceparent: '00-11111111111111111111111111111111-2222222222222222-01' };
      await application.serve(async () => (await fetch(`${downstream.url}/ok`, { headers })).text());
      expectOne(scopes.ours);
    });
  });

  it('may be seen by anybody who only looks', async () => {
    const seen: unknown[] = [];
    const look = (message: unknown) => seen.push(message);
    undo.push(traceFetch(), () => unsubscribe('undici:request:create', look));
    subscribe('undici:request:create', look);
    for (let i = 0; i < 2; i += 1) {
      await application.serve(async () => (await fetch(`${downstream.url}/ok`)).text());
      expectOne(scopes.ours);
    }
    expect(seen).toHaveLength(2);
  });
});
