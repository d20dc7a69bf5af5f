import { Agent, getGlobalDispatcher, interceptors, MockAgent, request as undiciRequest, setGlobalDispatcher } from 'undici';
import { SpanStatusCode } from '@opentelemetry/api';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

describe('a call through undici', () => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let stop: () => void;
  const dispatcher = getGlobalDispatcher();

  beforeAll(async () => void (downstream = await startDownstream()));
  afterAll(() => downstream.close());
  beforeEach(() => {
    application = new OutboundApplication();
    stop = traceFetch();
  });
  afterEach(async () => {
    stop();
    setGlobalDispatcher(dispatcher);
    await application.finish();
  });

  it('is a span, and replaces a header that the user set', async () => {
    await application.serve(async () => {
      const headers = { TraceParent: '00-11111111111111111111111111111111-2222222222222222-01' };
      await (await undiciRequest(`${downstream.url}/ok`, { headers })).body.dump();
    });
    expect(application.clientSpan.attributes).toMatchObject({ 'http.response.status_code': 200 });
    expect(downstream.headersOf('/ok').traceparent).toBe(traceparentOf(application.clientSpan));
  });

  it('has a span per attempt where a dispatcher retries', async () => {
    const agent = new Agent().compose(interceptors.retry({ maxRetries: 2, minTimeout: 1, maxTimeout: 2 }));
    await application.serve(async () => (await undiciRequest(`${downstream.url}/flaky/undici/1`, { dispatcher: agent })).body.dump());
    expect(application.clientSpans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([503, 200]);
  });

  it('that the caller aborts with a reason of its own has not failed', async () => {
    for (const reason of [undefined, 'enough']) {
      const abort = new AbortController();
      const arrival = downstream.arrival('/hang');
      const pending = application
        .serve(() => undiciRequest(`${downstream.url}/hang`, { signal: abort.signal }))
        .catch((error: unknown) => error);
      await arrival;
      abort.abort(reason);
      await pending;
      expect(application.clientSpan.status).toEqual({ code: SpanStatusCode.UNSET });
      application.reset();
    }
  });

  it('that is mocked never reaches the wire and has no span', async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock.get('http://mocked.test').intercept({ path: '/' }).reply(200, 'ok');
    setGlobalDispatcher(mock);
    await application.serve(async () => (await undiciRequest('http://mocked.test/')).body.dump());
    expect(application.clientSpans).toEqual([]);
  });
});
