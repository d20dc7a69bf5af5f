import { setTimeout } from 'node:timers/promises';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxy,
  ClientProxyFactory,
  type CustomTransportStrategy,
  EventPattern,
  MessagePattern,
  Payload,
  Server,
  Transport,
} from '@nestjs/microservices';
import { SpanKind } from '@opentelemetry/api';
import { defer, lastValueFrom, type Observable, of, throwError } from 'rxjs';
import { TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { TracedContext } from '../../traced-context.js';

/** A strategy like the first one in Nest's documentation: it calls handlers and does not support Observables. */
class PlainStrategy extends Server implements CustomTransportStrategy {
  listen(callback: () => void) {
    callback();
  }
  close() {}
  on() {}
  unwrap(): never {
    throw new Error('there is nothing below');
  }
  receive(pattern: string, data: unknown): unknown {
    return this.getHandlerByPattern(pattern)!(data);
  }
}

@Controller()
class Handlers {
  static readonly told: unknown[] = [];

  @MessagePattern('echo') echo(@Payload() data: unknown) {
    return data;
  }

  @EventPattern('told') tell(@Payload() data: unknown) {
    Handlers.told.push(data);
  }
}

describe('a custom transport strategy', () => {
  it('gets from its handlers what it gets without tracing, in a span for each message', async () => {
    const recorder = new TraceRecorder();
    @Module({ imports: [TracingModule.forRoot({ exporter: recorder })], controllers: [Handlers] })
    class AppModule {}
    const strategy = new PlainStrategy();
    const application = await NestFactory.createMicroservice(AppModule, { strategy, logger: false });
    await application.listen();
    try {
      expect(await strategy.receive('echo', 'hello')).toBe('hello');
      await strategy.receive('told', 'news');
      expect(Handlers.told).toEqual(['news']);
      await recorder.waitForSpans(2);
      const facts = recorder.spans.map(({ name, kind, attributes }) => [name, kind, attributes['code.function.name']]);
      expect(facts).toEqual([
        ['echo', SpanKind.SERVER, 'Handlers.echo'],
        ['told', SpanKind.SERVER, 'Handlers.tell'],
      ]);
    } finally {
      await application.close();
    }
  });
});

/** Every `emit()` waits for a subscriber. */
class ColdClient extends ClientProxy {
  readonly sent: unknown[] = [];
  connect() {
    return Promise.resolve();
  }
  close() {}
  unwrap(): never {
    throw new Error('there is nothing below');
  }
  protected publish() {
    return () => undefined;
  }
  protected dispatchEvent<T>(): Promise<T> {
    return Promise.reject(new Error('is never called'));
  }
  override emit<Result>(pattern: unknown, data: unknown): Observable<Result> {
    return defer(() => {
      if (pattern === 'lost') return throwError(() => new RangeError('no place'));
      if (pattern === 'refused') return throwError(() => ({ code: 5, details: 'not found' }));
      this.sent.push(data);
      return of(data as Result);
    });
  }
}

describe("a client of the user's own", () => {
  let traced: TracedContext;
  const start = async <T extends object>(client: T): Promise<T> => {
    traced = await TracedContext.start({ providers: [{ provide: 'CLIENT', useValue: client }] });
    return client;
  };
  afterEach(() => traced.context.close());

  it('whose emit waits for a subscriber sends once for each, with a span for each', async () => {
    const client = await start(new ColdClient());
    await traced.inRequest(async () => {
      const event = client.emit('told', 1);
      expect(client.sent).toEqual([]);
      await lastValueFrom(event);
      expect(client.sent).toEqual([1]);
      await lastValueFrom(event);
      expect(client.sent).toEqual([1, 1]);
    });
    await expect(traced.inRequest(() => lastValueFrom(client.emit('lost', 2)))).rejects.toThrow('no place');
    await traced.recorder.waitForSpans(5);
    expect(traced.hops()).toEqual(['- > request', '- > request', 'request > lost', 'request > told', 'request > told']);
    expect(traced.recorder.find('lost')!.attributes['error.type']).toBe('RangeError');
  });

  it('whose emit is subscribed to later has one span all the same', async () => {
    const client = await start(new ColdClient());
    await traced.inRequest(async () => {
      const event = client.emit('told', 1);
      await setTimeout(20);
      await lastValueFrom(event);
    });
    expect(traced.hops()).toEqual(['- > request', 'request > told']);
  });

  it('fails the span of what Nest refuses to send, though nobody may subscribe', async () => {
    const client = await start(ClientProxyFactory.create({ transport: Transport.TCP }));
    traced.inRequest(() => void client.emit('told', undefined));
    await traced.recorder.waitForTrace();
    expect(traced.hops()).toEqual(['- > request', 'request > told']);
    expect(traced.recorder.find('told')!.attributes['error.type']).toBe('InvalidMessageException');
  });

  it('that fails with an object says on its span what is in it', async () => {
    const client = await start(new ColdClient());
    await expect(lastValueFrom(client.emit('refused', 1))).rejects.toEqual({ code: 5, details: 'not found' });
    const { status } = await traced.recorder.waitForSpan('refused');
    expect(status.message).toBe('{"code":5,"details":"not found"}');
  });

  it('that stands in for one in tests may return anything', async () => {
    const client = await start(Object.assign(new ColdClient(), { emit: (): unknown => undefined, send: () => 'sent' }));
    expect([client.emit(), client.send()]).toEqual([undefined, 'sent']);
  });

  it('has spans with names for patterns that are no texts', async () => {
    const client = await start(new ColdClient());
    await traced.inRequest(() => lastValueFrom(client.emit(Symbol('told'), 1)));
    await traced.recorder.waitForSpans(2);
    const { name, attributes } = traced.recorder.find(({ kind }) => kind === SpanKind.CLIENT)!;
    expect([name, attributes['rpc.method']]).toEqual(['nestjs.custom', '_OTHER']);
  });
});
