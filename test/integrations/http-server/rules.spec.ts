import { Controller, Get, Injectable, UnauthorizedException, UseGuards } from '@nestjs/common';
import { propagation, SpanKind, trace } from '@opentelemetry/api';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { adapters, startApplication } from './http-application.js';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const caller = { traceparent: `00-${traceId}-${parentId}-01`, baggage: 'tenant=acme' };
const unsampledCaller = { traceparent: `00-${traceId}-${parentId}-00` };

@Injectable()
class Service {
  constructor(private readonly tracer: Tracer) {}
  @Span() work() {
    const carrier: Record<string, string> = {};
    this.tracer.inject(carrier);
    return { carrier, traceId: this.tracer.traceId, baggage: propagation.getActiveBaggage()?.getEntry('tenant')?.value };
  }
}

class Refuses {
  canActivate(): boolean {
    throw new UnauthorizedException();
  }
}

@Controller()
class AppController {
  constructor(readonly service: Service) {}
  @Get('health') health() {
    return this.service.work();
  }
  @Get('health/deep') deep() {
    return this.service.work();
  }
  @Get('work') work() {
    return this.service.work();
  }
  @NoSpan() @Get('quiet/:id') quiet() {
    return this.service.work();
  }
  @NoSpan() @Get('quiet-guarded') @UseGuards(Refuses) quietGuarded() {
    return 'never';
  }
}

@NoSpan()
@Controller('silent')
class SilentController {
  constructor(readonly service: Service) {}
  @Get() get() {
    return this.service.work();
  }
}

const controllers = [AppController, SilentController];
const providers = [Service];

describe.each(adapters)('the rules for requests on %s', adapter => {
  it.each([
    ['an exact path', '/health', ['/health', '/health?full=1'], ['/health/deep', '/work']],
    ['a prefix', '/health*', ['/health', '/health/deep'], ['/work']],
    ['a pattern', /^\/health/, ['/health', '/health/deep'], ['/work']],
    ['a function', (request: { url?: string }) => request.url === '/work', ['/work'], ['/health']],
    ['a list', ['/health', '/work'], ['/health', '/work'], ['/health/deep']],
  ])('ignore %s', async (_kind, ignore, ignored, traced) => {
    const test = await startApplication(adapter, { controllers, providers, inbound: { ignore } });
    try {
      for (const path of ignored) expect((await test.request(path)).status).toBe(200);
      for (const path of traced) await test.request(path);
      await test.recorder.waitForSpans(traced.length * 2);
      const servers = test.recorder.spans.filter(span => span.kind === SpanKind.SERVER);
      expect(servers.map(span => span.attributes['url.path'])).toEqual(traced);
      expect(test.recorder.spans).toHaveLength(traced.length * 2);
    } finally {
      await test.close();
    }
  });

  it.each(['/health', '/quiet/1', '/silent'])('pass the caller on through %s, which is not traced', async path => {
    const test = await startApplication(adapter, { controllers, providers, inbound: { ignore: '/health' } });
    try {
      const answer = JSON.parse((await test.request(path, { headers: caller })).body);
      expect(answer.carrier.traceparent).toBe(caller.traceparent);
      expect(answer.carrier.baggage).toBe(caller.baggage);
      const alone = JSON.parse((await test.request(path)).body);
      expect(alone.carrier.traceparent).toBeUndefined();
      expect(test.recorder.spans).toHaveLength(0);
    } finally {
      await test.close();
    }
  });

  it('make no span for a handler without one that a guard refuses', async () => {
    const test = await startApplication(adapter, { controllers, providers });
    try {
      expect((await test.request('/quiet-guarded')).status).toBe(401);
      await test.request('/work');
      await test.recorder.waitForSpans(2);
      expect(test.recorder.spans).toHaveLength(2);
    } finally {
      await test.close();
    }
  });

  it('continue the caller, its baggage and its decision by default', async () => {
    const test = await startApplication(adapter, { controllers, providers });
    try {
      const answer = JSON.parse((await test.request('/work', { headers: caller })).body);
      expect(answer).toMatchObject({ traceId, baggage: 'acme' });
      await test.recorder.waitForSpans(2);
      expect(test.recorder.find('GET /work')!.parentSpanContext?.spanId).toBe(parentId);
      test.recorder.clear();
      const unsampled = JSON.parse((await test.request('/work', { headers: unsampledCaller })).body);
      expect(unsampled.traceId).toBe(traceId);
      expect(unsampled.carrier.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
      expect(unsampled.carrier.traceparent).not.toContain(parentId);
      expect(test.recorder.spans).toHaveLength(0);
    } finally {
      await test.close();
    }
  });

  it.each([
    ['nobody', false],
    ['a function that says no', () => false],
    [
      'a function that throws',
      () => {
        throw new Error('rule');
      },
    ],
  ])('link an untrusted caller and start a new trace when %s is trusted', async (_who, trust) => {
    const test = await startApplication(adapter, { controllers, providers, inbound: { trust, ignore: '/health' } });
    try {
      for (const headers of [caller, unsampledCaller]) {
        test.recorder.clear();
        const answer = JSON.parse((await test.request('/work', { headers })).body);
        expect(answer.traceId).not.toBe(traceId);
        expect(answer.baggage).toBeUndefined();
        await test.recorder.waitForSpans(2);
        const server = test.recorder.find('GET /work')!;
        expect(server.parentSpanContext).toBeUndefined();
        expect(server.links.map(link => link.context.spanId)).toEqual([parentId]);
      }
      const ignored = JSON.parse((await test.request('/health', { headers: caller })).body);
      expect(ignored.carrier.traceparent).toBeUndefined();
    } finally {
      await test.close();
    }
  });

  it('hand the trace id to the client, capture allowed headers and call the hooks', async () => {
    const calls: string[] = [];
    const test = await startApplication(adapter, {
      controllers,
      providers,
      inbound: {
        responseHeader: true,
        captureRequestHeaders: ['X-Tenant'],
        captureResponseHeaders: ['x-trace-id', 'Content-Type'],
        onRequest: (span, request) => {
          calls.push(`request ${request.url}`);
          span.setAttribute('hook', 'ran');
          throw new Error('hook');
        },
        onResponse: (_span, response) => {
          calls.push(`response ${response.statusCode}`);
          throw new Error('hook');
        },
      },
    });
    try {
      const answer = await test.request('/work', { headers: { 'x-tenant': 'acme', cookie: 'secret' } });
      await test.recorder.waitForSpans(2);
      const server = test.recorder.find('GET /work')!;
      expect(answer.headers['x-trace-id']).toBe(server.spanContext().traceId);
      expect(server.attributes).toMatchObject({ hook: 'ran', 'http.request.header.x-tenant': ['acme'] });
      expect(server.attributes['http.response.header.x-trace-id']).toEqual([answer.headers['x-trace-id']]);
      expect(JSON.stringify(server.attributes)).not.toContain('secret');
      expect(calls).toEqual(['request /work', 'response 200']);
      expect((await test.request('/quiet/1')).headers['x-trace-id']).toBeUndefined();
    } finally {
      await test.close();
    }
  });

  it('leave the request untraced but answered, and the caller passed on, when tracing is disabled', async () => {
    const test = await startApplication(adapter, { controllers, providers, tracing: { enabled: false } });
    try {
      expect(Object.hasOwn(globalThis, Symbol.for('opentelemetry.js.api.1')) && trace.getTracerProvider()).toBeDefined();
      const answer = JSON.parse((await test.request('/work', { headers: caller })).body);
      expect(answer.carrier.traceparent).toBe(caller.traceparent);
      const alone = JSON.parse((await test.request('/work')).body);
      expect(alone.carrier.traceparent).toBeUndefined();
      expect(test.recorder.spans).toHaveLength(0);
    } finally {
      await test.close();
    }
  });
});
