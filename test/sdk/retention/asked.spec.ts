/** A trace that the application or a caller asks for is kept, whatever the options would decide. */
import { Controller, Get, Inject } from '@nestjs/common';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createTraceState, trace } from '@opentelemetry/api';
import { Tracer } from '../../../lib/index.js';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { adapters, startApplication, type TestApplication } from '../../integrations/http-server/http-application.js';
import { caller, pipelineOf, traceIdOf } from './local-roots.js';

const SECRET = 'a secret of some length';
const keepHeader = { name: 'X-Keep-Trace', secret: SECRET };
const unsampled = `00-${traceIdOf('00000000000001')}-b7ad6b7169203331-02`;

@Controller()
class WorkController {
  constructor(@Inject(Tracer) private readonly tracer: Tracer) {}

  @Get('plain') plain() {
    return this.tracer.span('inner', () => this.tracer.inject<Record<string, string>>({}));
  }

  @Get('asked') asked() {
    const isKept = this.tracer.span('inner', () => this.tracer.keep());
    return { isKept, ...this.tracer.span('call', () => this.tracer.inject<Record<string, string>>({})) };
  }
}

let test: TestApplication;
afterEach(() => test?.close());

const start = (adapter: (typeof adapters)[number], tracing: Parameters<typeof startApplication>[1]['tracing']) =>
  startApplication(adapter, { controllers: [WorkController], tracing }).then(started => (test = started));

describe.each(adapters)('Tracer.keep() on %s', adapter => {
  it('keeps the trace of the request, and asks the next services to keep theirs', async () => {
    await start(adapter, { keep: { ratio: 0, slowerThanMs: 60_000 } });
    await test.request('/plain');
    const headers = JSON.parse((await test.request('/asked')).body);
    expect(headers.isKept).toBe(true);
    expect(headers.tracestate).toBe('nestjs=keep');
    await test.recorder.waitForSpans(3);
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['inner', 'call', 'GET /asked']);
    expect(test.recorder.find('GET /asked')?.attributes['nestjs.keep.reason']).toBe('asked');
  });

  it('says no where nothing is recorded', async () => {
    await start(adapter, { keep: { ratio: 0 }, sampler: 0 });
    expect(JSON.parse((await test.request('/asked')).body).isKept).toBe(false);
    await test.close();
    expect(test.recorder.spans).toEqual([]);
  });

  it('says yes without the option keep, for a trace that is recorded', async () => {
    await start(adapter, {});
    expect(JSON.parse((await test.request('/asked')).body).isKept).toBe(true);
  });
});

describe.each(adapters)('the header of inbound.keepHeader on %s', adapter => {
  const tracing = { keep: { ratio: 0, slowerThanMs: 60_000 }, inbound: { keepHeader, captureRequestHeaders: ['x-keep-trace', 'accept'] } };

  it('keeps the trace if it has the secret, and is never recorded', async () => {
    await start(adapter, tracing);
    const headers = { accept: 'text/plain' };
    await test.request('/plain', { headers });
    await test.request('/plain', { headers: { ...headers, 'x-keep-trace': `${SECRET}x` } });
    await test.request('/plain', { headers: { ...headers, 'x-keep-trace': '' } });
    const answer = await test.request('/plain', { headers: { ...headers, 'x-keep-trace': SECRET } });
    expect(JSON.parse(answer.body).tracestate).toBe('nestjs=keep');
    await test.recorder.waitForSpans(2);
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['inner', 'GET /plain']);
    const { attributes } = test.recorder.find('GET /plain')!;
    expect(attributes).toMatchObject({ 'nestjs.keep.reason': 'asked', 'http.request.header.accept': ['text/plain'] });
    expect(JSON.stringify(test.recorder.spans.map(span => [span.attributes, span.events, span.resource.attributes]))).not.toContain(SECRET);
  });

  it('makes a trace recorded that the caller, or the sampler, leaves out', async () => {
    await start(adapter, { ...tracing, sampler: 0 });
    for (const headers of [{ traceparent: unsampled }, { traceparent: unsampled, 'x-keep-trace': 'wrong' }, {}])
      await test.request('/plain', { headers });
    const answers = [
      await test.request('/plain', { headers: { traceparent: unsampled, 'x-keep-trace': SECRET } }),
      await test.request('/plain', { headers: { 'x-keep-trace': SECRET } }),
    ];
    expect(answers.map(({ body }) => JSON.parse(body).traceparent)).toEqual([
      expect.stringMatching(/-0[13]$/),
      expect.stringMatching(/-0[13]$/),
    ]);
    await test.recorder.waitForSpans(4);
    await test.close();
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['inner', 'GET /plain', 'inner', 'GET /plain']);
    expect(test.recorder.find('GET /plain')?.spanContext().traceId).toBe(traceIdOf('00000000000001'));
  });

  it('works without the option keep', async () => {
    await start(adapter, { sampler: 0, inbound: { keepHeader } });
    await test.request('/plain');
    await test.request('/plain', { headers: { 'x-keep-trace': SECRET } });
    await test.recorder.waitForSpans(2);
    expect(test.recorder.spans.map(({ name }) => name)).toEqual(['inner', 'GET /plain']);
  });
});

describe('a caller that keeps the trace', () => {
  it('is followed by the next service', async () => {
    const { request, exported } = await pipelineOf({ keep: { ratio: 0 } });
    const traceId = traceIdOf('00000000000000');
    request('asked', 1, caller(traceId, 1, createTraceState('nestjs=keep,a=1')));
    request('other', 1, caller(traceIdOf('00000000000001'), 1, createTraceState('a=1')));
    expect(exported().map(({ name, attributes }) => [name, attributes['nestjs.keep.reason']])).toEqual([['asked', 'asked']]);
  });

  it('is too late after the decision', async () => {
    const { open, keepTrace } = await pipelineOf({ keep: { ratio: 0 } });
    const root = open('root');
    const late = open('late', root);
    root.end();
    expect(keepTrace(trace.setSpan(caller(traceIdOf('00000000000000')), late))).toBe(false);
    late.end();
  });
});

describe('a mistake in inbound.keepHeader', () => {
  it('stops the start, without the secret in the message', () => {
    const resolve = (header: object) => () => resolveOptions({ inbound: { keepHeader: header as typeof keepHeader } });
    expect(resolve({ name: 'x-keep', secret: 'tooshort' })).toThrow(
      '"inbound.keepHeader.secret" must be a text of at least 16 printable ASCII',
    );
    expect(resolve({ name: 'x-keep', secret: 'tooshort' })).not.toThrow('tooshort');
    for (const secret of [`${SECRET}\n`, ` ${SECRET}`, `ä ${SECRET}`, undefined])
      expect(resolve({ name: 'x-keep', secret })).toThrow('ASCII');
    expect(resolve({ name: 'x keep', secret: SECRET })).toThrow('"inbound.keepHeader.name"');
    expect(resolve({ header: 'x-keep', secret: SECRET })).toThrow('inbound.keepHeader.header');
  });
});
