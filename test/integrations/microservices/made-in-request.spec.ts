import { Controller, Injectable } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { Span } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { grpc, deskOf, DeskController, Books } from './desk.js';
import { Microservices } from './microservices.js';
import { transportsAndKafka } from './transports.js';

@Injectable()
class Service {
  @Span() work() {}
}

@Controller()
class Handlers {
  constructor(private readonly service: Service) {}
  @MessagePattern('sum') sum(@Payload() _data: unknown) {
    this.service.work();
    return 3;
  }
  @EventPattern('happened') happened(@Payload() _data: unknown) {
    this.service.work();
  }
}

/** A request context, as if a request started the application or connected a microservice. */
const REQUEST = trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }));
beforeAll(() => void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()));
afterAll(() => context.disable());

const isHandling = ({ kind }: FinishedSpan) => kind === SpanKind.CONSUMER || kind === SpanKind.SERVER;

describe.each(transportsAndKafka)('a server of $name that was started in a request', transport => {
  it('has later messages outside of that request', async () => {
    const services = await context.with(REQUEST, () =>
      Microservices.start(transport, { controllers: [Handlers], providers: [Service], untraced: 'client' }),
    );
    try {
      const { recorder, caller } = services;
      await firstValueFrom(caller.client.send('sum', {}));
      await lastValueFrom(caller.client.emit('happened', {}), { defaultValue: undefined });
      // The server's own commands to Redis are spans of the request.
      const isDone = (spans: readonly FinishedSpan[]) => spans.filter(isHandling).length >= 2;
      await recorder.waitForSpans(isDone, { timeoutMs: 15_000 });
      const handlings = recorder.spans.filter(isHandling);
      expect(handlings.map(({ parentSpanContext, links }) => [parentSpanContext, links])).toEqual([
        [undefined, []],
        [undefined, []],
      ]);
      expect(recorder.spans.filter(({ name }) => name === 'Service.work').map(span => recorder.parentOf(span))).toEqual(handlings);
    } finally {
      await services.close();
    }
  });
});

it('a server of gRPC that was started in a request has later calls outside of that request', async () => {
  const services = await context.with(REQUEST, () =>
    Microservices.start(grpc, { controllers: [DeskController], providers: [Books], untraced: 'client' }),
  );
  try {
    await firstValueFrom(deskOf(services.caller.client).ask({ what: 'now', number: 1 }));
    const handling = await services.recorder.waitForSpan(isHandling);
    expect(handling.spanContext().traceId).not.toBe(trace.getSpanContext(REQUEST)?.traceId);
    expect(services.recorder.parentOf(services.recorder.find('Books.look')!)).toBe(handling);
  } finally {
    await services.close();
  }
});
