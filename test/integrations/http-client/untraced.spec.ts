import axios, { type AxiosInstance } from 'axios';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-node';
import { traceAxios } from '../../../lib/integrations/http-client/axios.js';
import { traceFetch } from '../../../lib/integrations/http-client/fetch.js';
import { refusedSpan, rootContextOf } from '../../application.js';
import { type Downstream, startDownstream } from './downstream.js';
import { OutboundApplication, traceparentOf } from './outbound-application.js';

describe.each(['axios', 'fetch'] as const)('a call through %s', way => {
  let downstream: Downstream;
  let application: OutboundApplication;
  let client: AxiosInstance;
  let stop: () => void;
  /** How often the URL of the last call was computed. */
  let readings = 0;

  beforeAll(async () => {
    downstream = await startDownstream();
    client = traceAxios(axios.create());
    stop = traceFetch();
  });
  afterAll(async () => {
    stop();
    await downstream.close();
  });
  afterEach(() => application.finish());

  const call = async () => {
    const url = `${downstream.url}/ok`;
    readings = 0;
    const paramsSerializer = () => {
      readings += 1;
      return '';
    };
    await (way === 'axios' ? client.get(url, { params: {}, paramsSerializer }) : fetch(url).then(response => response.text()));
    return downstream.requests.at(-1)?.headers.traceparent;
  };
  const caller = trace.setSpanContext(ROOT_CONTEXT, {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: 1,
    isRemote: true,
  });

  it('from a request that is not traced passes on what its caller sent, and makes no span', async () => {
    application = new OutboundApplication();
    expect(await application.relay(caller, call)).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    expect(application.spans).toEqual([]);
  });

  it('from such a request passes it on where tracing is suppressed too, as it is around ignored requests', async () => {
    application = new OutboundApplication();
    await application.relay(caller, async () => {
      expect(await context.with(suppressTracing(context.active()), call)).toMatch(/b7ad6b7169203331/);
    });
    expect(application.spans).toEqual([]);
  });

  it('from such a request passes nothing on to hosts that are ignored or may not have headers', async () => {
    for (const outbound of [{ ignore: '*' }, { propagateTo: 'users.test' }]) {
      application = new OutboundApplication({ outbound });
      expect(await application.relay(caller, call)).toBeUndefined();
      await application.close();
    }
  });

  it('from a disabled application passes on what the caller sent', async () => {
    application = new OutboundApplication({ isEnabled: false });
    expect(await application.relay(caller, call)).toMatch(/b7ad6b7169203331/);
    expect(await context.with(rootContextOf(application), call)).toBeUndefined();
    expect(application.spans).toEqual([]);
  });

  it('of an exporter is left alone', async () => {
    let questions = 0;
    application = new OutboundApplication({ outbound: { ignore: () => (questions += 1) < 0 } });
    await application.serve(async () => {
      expect(await context.with(suppressTracing(context.active()), call)).toBeUndefined();
    });
    expect(questions).toBe(0);
    expect(application.clientSpans).toEqual([]);
  });

  it('that is known not to be sampled says so to its receiver, and costs no attributes', async () => {
    const unsampledSpan = () => refusedSpan();
    application = new OutboundApplication({ unsampledSpan });
    await context.with(rootContextOf(application), async () => {
      expect(await call()).toBe(`00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`);
    });
    expect(application.spans).toEqual([]);
    // axios itself computes it once.
    if (way === 'axios') expect(readings).toBe(1);
  });

  it('that the sampler refuses says so to its receiver', async () => {
    application = new OutboundApplication({ sampler: new AlwaysOffSampler() });
    expect(await application.serve(call)).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(application.spans).toEqual([]);
  });

  it('belongs to the application that makes it, whoever came first', async () => {
    application = new OutboundApplication();
    const other = new OutboundApplication();
    const header = await other.serve(call);
    expect(application.spans).toEqual([]);
    expect(header).toBe(traceparentOf(other.clientSpan));
    await other.close();
  });
});
