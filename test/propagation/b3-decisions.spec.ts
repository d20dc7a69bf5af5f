import { Controller, Get, Inject } from '@nestjs/common';
import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace-node';
import { NoSpan, Tracer, type TracingOptions } from '../../lib/index.js';
import { type Adapter, adapters, startApplication, type TestApplication } from '../integrations/http-server/http-application.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const ids = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN };

@Controller()
class Gateway {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}
  /** The headers of an outgoing call. */
  @Get('carried') carried() {
    return this.tracer.span('child', () => this.tracer.inject({}));
  }
  @Get('quiet') @NoSpan() quiet() {
    return this.tracer.inject({});
  }
  @Get('new') newTrace() {
    return this.tracer.span('new', { root: true }, () => ({}));
  }
}

describe.each(adapters)('a caller that speaks B3, on %s', (adapter: Adapter) => {
  let app: TestApplication;
  afterEach(() => app.close());
  const start = async (tracing: TracingOptions = {}) => (app = await startApplication(adapter, { controllers: [Gateway], tracing }));
  const carriedFor = async (headers: Record<string, string>, path = '/carried') =>
    JSON.parse((await app.request(path, { headers })).body) as Record<string, string>;

  describe.each([
    ['in the single header', { b3: `${TRACE}-${SPAN}` }],
    ['in multiple headers', ids],
  ])('and leaves the decision to us %s', (_form, headers) => {
    it.each<[string, TracingOptions['sampler'], boolean]>([
      ['everything', undefined, true],
      ['nothing', 0, false],
      ['by a parent-based Sampler, everything', new ParentBasedSampler({ root: new AlwaysOnSampler() }), true],
      ['by a parent-based Sampler, nothing', new ParentBasedSampler({ root: new AlwaysOffSampler() }), false],
    ])('is continued, and recorded as our own traces are: %s', async (_what, sampler, isRecorded) => {
      await start({ sampler });
      const { b3, traceparent } = await carriedFor(headers);
      expect(b3).toMatch(new RegExp(`^${TRACE}-[0-9a-f]{16}-${isRecorded ? 1 : 0}$`));
      expect(traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-0${isRecorded ? 1 : 0}$`));
      if (!isRecorded) {
        expect(app.recorder.spans).toEqual([]);
        return;
      }
      await app.recorder.waitForSpan('GET /carried');
      expect(app.recorder.find('GET /carried')?.parentSpanContext).toMatchObject({ traceId: TRACE, spanId: SPAN });
      expect(app.recorder.tree()).toBe(['GET /carried (server)', '  child'].join('\n'));
    });

    it('is passed on undecided by a request that is not traced', async () => {
      await start();
      expect(await carriedFor(headers, '/quiet')).toEqual({ b3: `${TRACE}-${SPAN}` });
      await app.close();
      await start({ propagators: ['tracecontext', 'b3multi'] });
      expect(await carriedFor(headers, '/quiet')).toEqual(ids);
    });
  });

  const refusals: Record<string, string>[] = [{ b3: '0' }, { 'x-b3-sampled': '0' }, { 'x-b3-sampled': 'false' }];
  const wishes: Record<string, string>[] = [
    { b3: '1' },
    { b3: 'd' },
    { 'x-b3-sampled': '1' },
    { 'x-b3-sampled': 'true' },
    { 'x-b3-flags': '1' },
  ];

  it.each(refusals)('and sends %j without ids has no trace recorded', async headers => {
    for (const sampler of [undefined, 1, new ParentBasedSampler({ root: new AlwaysOnSampler() })]) {
      await start({ sampler });
      expect(await carriedFor(headers)).toMatchObject({ b3: expect.stringMatching(/^[0-9a-f]{32}-[0-9a-f]{16}-0$/) });
      expect(app.recorder.spans).toEqual([]);
      await app.close();
    }
  });

  it.each(wishes)('and sends %j without ids has its trace recorded, as a root', async headers => {
    for (const sampler of [0, new ParentBasedSampler({ root: new AlwaysOffSampler() })]) {
      await start({ sampler });
      expect(await carriedFor(headers)).toMatchObject({ b3: expect.stringMatching(/^[0-9a-f]{32}-[0-9a-f]{16}-1$/) });
      expect((await app.recorder.waitForSpan('GET /carried')).parentSpanContext).toBeUndefined();
      await app.close();
    }
  });

  it('is not asked where the sampler is not parent-based, where it is not trusted, or where W3C says otherwise', async () => {
    await start({ sampler: new AlwaysOnSampler() });
    await carriedFor({ b3: '0' });
    await app.recorder.waitForSpan('GET /carried');
    await app.close();
    await start({ inbound: { trust: false } });
    await carriedFor({ b3: '0' });
    expect((await app.recorder.waitForSpan('GET /carried')).links).toEqual([]);
    await app.close();
    await start();
    await carriedFor({ b3: '0', traceparent: `00-${TRACE}-${SPAN}-01` });
    await app.recorder.waitForSpan('GET /carried');
  });

  it('decides about the trace of the request, not about others that begin in it', async () => {
    await start();
    await carriedFor({ b3: '0' }, '/new');
    expect(app.recorder.spans.map(({ name }) => name)).toEqual(['new']);
  });

  it('is passed on by a request that is not traced', async () => {
    await start();
    expect(await carriedFor({ 'x-b3-sampled': '0' }, '/quiet')).toEqual({ b3: '0' });
    expect(await carriedFor({ b3: 'd' }, '/quiet')).toEqual({ b3: '1' });
  });
});
