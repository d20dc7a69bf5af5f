/** Specs of messages without a handler, over the transports that accept every message. */
import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { lastValueFrom } from 'rxjs';
import { Microservices } from './microservices.js';
import { transports } from './transports.js';

@Controller()
class Handlers {
  @MessagePattern('known') known() {
    return 1;
  }
}

const takers = transports.filter(({ name }) => ['TCP', 'RabbitMQ'].includes(name));

describe.each(takers)('a message over $name that nobody has a handler for', transport => {
  let test: Microservices;
  const start = async (setup: object = {}) => (test = await Microservices.start(transport, { controllers: [Handlers], ...setup }));
  afterEach(() => test.close());

  it.each(['send', 'emit'] as const)('has a span that fails, in the trace of its sender (%s)', async way => {
    await start();
    const pattern = 'unknown'.repeat(100);
    await test.inRequest(client => lastValueFrom(client[way](pattern, {}), { defaultValue: undefined }).catch(() => undefined));
    const { recorder } = test;
    const span = await recorder.waitForSpan(
      ({ kind, name }) => /nestjs\.tcp|^consume/.test(name) && kind !== SpanKind.CLIENT && kind !== SpanKind.PRODUCER,
    );
    expect(span.kind).toBe(transport.name === 'TCP' ? SpanKind.SERVER : SpanKind.CONSUMER);
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'There is no handler for this message.' });
    expect(span.attributes['error.type']).toBe('NO_HANDLER');
    expect(span.name).not.toContain('unknown');
    if (transport.name === 'TCP') {
      expect(span.attributes).toMatchObject({ 'rpc.method': '_OTHER', 'rpc.method_original': pattern.slice(0, 256) });
    }
    await recorder.waitForSpans(3);
    expect(recorder.parentOf(span)).toBeDefined();
    expect(recorder.spans).toHaveLength(3);
    expect(test.open.size).toBe(0);
  });

  it('is answered as it is without tracing, and the next one is handled', async () => {
    const outcomes = [];
    for (const untraced of [undefined, 'server'] as const) {
      await start({ untraced });
      const outcome = await test.inRequest(client => lastValueFrom(client.send('unknown', {})).catch((thrown: unknown) => thrown));
      outcomes.push(outcome);
      expect(await test.inRequest(client => lastValueFrom(client.send('known', {})))).toBe(1);
      if (untraced === undefined) await test.close();
    }
    expect(outcomes[0]).toEqual(outcomes[1]);
  });

  it('has none where rules ignore it', async () => {
    await start({ inbound: { ignoreMessages: ['unknown'] } });
    await test.inRequest(client => lastValueFrom(client.send('unknown', {})).catch(() => undefined));
    await test.inRequest(client => lastValueFrom(client.send('known', {})));
    await test.recorder.waitForSpans(5);
    expect(test.recorder.spans.filter(({ status, kind }) => kind === SpanKind.SERVER && status.code === SpanStatusCode.ERROR)).toEqual([]);
    expect(test.recorder.spans).toHaveLength(5);
  });
});
