import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import {
  AggregateRoot,
  AsyncContext,
  CommandBus,
  CommandHandler,
  CqrsModule,
  EventBus,
  EventPublisher,
  EventsHandler,
  type ICommandHandler,
  type IEventHandler,
  type IQueryHandler,
  ofType,
  QueryBus,
  QueryHandler,
  Saga,
  UnhandledExceptionBus,
} from '@nestjs/cqrs';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { defer, delay, firstValueFrom, map, type Observable } from 'rxjs';
import { NoSpan, Span } from '../../../lib/index.js';
import { LazyQuery } from '../../lazy-query.js';
import { TracedContext } from '../../traced-context.js';

/** The command handler queries this order before it ships it. */
const ABROAD = 44;
/** The query for this order fails. */
const NOWHERE = 404;

class PlaceOrder {
  constructor(readonly id: number) {}
}
class ShipOrder {
  constructor(readonly id: number) {}
}
class RefuseOrder {}
class HideOrder {}
class ScopedCommand {}
class DeleteOrders {
  constructor(readonly failure?: Error) {}
}
class FindOrder {
  constructor(readonly id: number) {}
}
class WatchOrders {}
class OrderPlaced {
  constructor(readonly id: number) {}
}
class OrderRefused {}
class OrderReturned {}
class UnknownCommand {}

@Injectable()
class Work {
  @Span() async do(what: string) {
    await Promise.resolve();
    return what;
  }
}

class Order extends AggregateRoot {
  constructor(private readonly id: number) {
    super();
  }
  place() {
    this.apply(new OrderPlaced(this.id));
  }
}

@CommandHandler(PlaceOrder)
class PlaceOrderHandler implements ICommandHandler<PlaceOrder> {
  constructor(private readonly publisher: EventPublisher) {}
  async execute({ id }: PlaceOrder) {
    await Promise.resolve();
    const order = this.publisher.mergeObjectContext(new Order(id));
    order.place();
    order.commit();
    return `placed ${id}`;
  }
}

@CommandHandler(ShipOrder)
class ShipOrderHandler implements ICommandHandler<ShipOrder> {
  constructor(
    private readonly work: Work,
    private readonly queries: QueryBus,
  ) {}
  async execute({ id }: ShipOrder) {
    if (id === ABROAD || id === NOWHERE) await this.queries.execute(new FindOrder(id));
    return this.work.do(`ship ${id}`);
  }
}

@CommandHandler(RefuseOrder)
class RefuseOrderHandler implements ICommandHandler<RefuseOrder> {
  execute(): Promise<never> {
    return Promise.reject(new RangeError('refused'));
  }
}

@NoSpan()
@CommandHandler(HideOrder)
class HideOrderHandler implements ICommandHandler<HideOrder> {
  constructor(private readonly work: Work) {}
  execute() {
    return this.work.do('hidden');
  }
}

@CommandHandler(DeleteOrders)
class DeleteOrdersHandler implements ICommandHandler<DeleteOrders> {
  constructor(private readonly work: Work) {}
  execute({ failure }: DeleteOrders): Promise<string> {
    const query = new LazyQuery(() => {
      if (failure !== undefined) throw failure;
      return this.work.do('deleted');
    });
    return query as PromiseLike<unknown> as Promise<string>;
  }
}

@CommandHandler(ScopedCommand, { scope: Scope.REQUEST })
class ScopedCommandHandler implements ICommandHandler<ScopedCommand> {
  constructor(
    private readonly work: Work,
    @Inject(REQUEST) private readonly context: AsyncContext,
  ) {}
  execute() {
    return this.work.do(String(this.context instanceof AsyncContext));
  }
}

@QueryHandler(FindOrder)
class FindOrderHandler implements IQueryHandler<FindOrder> {
  constructor(private readonly work: Work) {}
  execute({ id }: FindOrder): Promise<string> {
    if (id === NOWHERE) throw new RangeError('not found');
    return this.work.do(`found ${id}`);
  }
}

@QueryHandler(WatchOrders)
class WatchOrdersHandler implements IQueryHandler<WatchOrders> {
  constructor(private readonly work: Work) {}
  execute() {
    return Promise.resolve(defer(() => this.work.do('watched')));
  }
}

@EventsHandler(OrderPlaced)
class MailHandler implements IEventHandler<OrderPlaced> {
  constructor(private readonly work: Work) {}
  async handle() {
    await this.work.do('mail');
  }
}

@EventsHandler(OrderPlaced, OrderRefused)
class AuditHandler implements IEventHandler<OrderPlaced | OrderRefused> {
  handle(event: OrderPlaced | OrderRefused) {
    if (event instanceof OrderRefused) throw new RangeError('not audited');
  }
}

@EventsHandler(OrderRefused)
class ScopedEventHandler implements IEventHandler<OrderRefused> {
  constructor(
    private readonly work: Work,
    @Inject(REQUEST) readonly request: unknown,
  ) {}
  async handle() {
    await this.work.do('scoped');
  }
}

@Injectable({ scope: Scope.REQUEST })
@EventsHandler(OrderReturned)
class ReturnHandler implements IEventHandler<OrderReturned> {
  constructor(protected readonly work: Work) {}
  async handle(_event: OrderReturned) {
    await this.work.do('returned');
  }
}

@Injectable({ scope: Scope.REQUEST })
@EventsHandler(OrderReturned)
class PolishedReturnHandler extends ReturnHandler {
  override async handle(event: OrderReturned) {
    await super.handle(event);
  }
}

class OrderLost {}

@Injectable()
class OrderSagas {
  @Saga() searching = (events: Observable<object>): Observable<ShipOrder> =>
    events.pipe(
      ofType(OrderLost),
      map(() => {
        throw new Error('lost for good');
      }),
    );

  @Saga() shipping = (events: Observable<object>): Observable<ShipOrder> =>
    events.pipe(
      ofType(OrderPlaced),
      delay(5),
      map(({ id }) => new ShipOrder(id)),
    );
}

describe('CQRS', () => {
  let application: TracedContext;
  const start = async (options: Parameters<typeof TracedContext.start>[1] = {}) => {
    const providers = [
      Work,
      PlaceOrderHandler,
      ShipOrderHandler,
      RefuseOrderHandler,
      HideOrderHandler,
      DeleteOrdersHandler,
      ReturnHandler,
      PolishedReturnHandler,
      ScopedCommandHandler,
      FindOrderHandler,
      WatchOrdersHandler,
      MailHandler,
      AuditHandler,
      ScopedEventHandler,
      OrderSagas,
    ];
    application = await TracedContext.start({ imports: [CqrsModule.forRoot()], providers }, options);
  };
  afterEach(() => application.context.close());
  const execute = (command: object): Promise<unknown> => application.context.get(CommandBus).execute(command as never);

  it('shows a command, the events that its handler publishes, and the commands that sagas issue for them as one trace', async () => {
    await start();
    expect(await application.inRequest(() => execute(new PlaceOrder(7)))).toBe('placed 7');
    await application.recorder.waitForSpan('ShipOrder');
    await application.recorder.waitForTrace();
    expect(application.hops()).toEqual([
      '- > request',
      'OrderPlaced > Work.do',
      'PlaceOrder > OrderPlaced',
      'PlaceOrder > OrderPlaced',
      'PlaceOrder > ShipOrder',
      'ShipOrder > Work.do',
      'request > PlaceOrder',
    ]);
    const { recorder } = application;
    expect(recorder.find('PlaceOrder')!.kind).toBe(SpanKind.INTERNAL);
    expect(recorder.find('PlaceOrder')!.attributes).toEqual({
      'nestjs.cqrs.type': 'command',
      'nestjs.cqrs.name': 'PlaceOrder',
      'code.function.name': 'PlaceOrderHandler.execute',
    });
    expect(recorder.find('ShipOrder')!.attributes['nestjs.cqrs.saga']).toBe('OrderSagas.shipping');
    const handlers = recorder.spans.filter(({ name }) => name === 'OrderPlaced').map(({ attributes }) => attributes['code.function.name']);
    expect(handlers.sort()).toEqual(['AuditHandler.handle', 'MailHandler.handle']);
  });

  it('does not say of what the handler of a command does itself that a saga issued it', async () => {
    await start();
    await application.inRequest(() => execute(new PlaceOrder(ABROAD)));
    await application.recorder.waitForSpan('ShipOrder');
    const { recorder } = application;
    expect(recorder.parentOf(recorder.find('FindOrder')!)).toBe(recorder.find('ShipOrder'));
    expect(recorder.find('FindOrder')!.attributes['nestjs.cqrs.saga']).toBeUndefined();
  });

  it('shows a query with its handler, and gives what it returns', async () => {
    await start();
    expect(await application.inRequest(() => application.context.get(QueryBus).execute(new FindOrder(7)))).toBe('found 7');
    expect(application.hops()).toEqual(['- > request', 'FindOrder > Work.do', 'request > FindOrder']);
    expect(application.recorder.find('FindOrder')!.attributes).toMatchObject({
      'nestjs.cqrs.type': 'query',
      'code.function.name': 'FindOrderHandler.execute',
    });
  });

  it('fails the span of a command whose handler throws, with the error that the caller gets', async () => {
    await start();
    await expect(execute(new RefuseOrder())).rejects.toThrow('refused');
    expect(application.recorder.find('RefuseOrder')!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'refused' });
    expect(() => execute(new UnknownCommand())).toThrow('UnknownCommand');
    expect(application.recorder.find('UnknownCommand')!.status.code).toBe(SpanStatusCode.ERROR);
  });

  it('fails the span of an event handler that throws, and the error goes where it goes without tracing', async () => {
    await start();
    const unhandled: unknown[] = [];
    application.context.get(UnhandledExceptionBus).subscribe(({ exception }) => unhandled.push(exception));
    application.inRequest(() => application.context.get(EventBus).publish(new OrderRefused()));
    await application.recorder.waitForSpan('Work.do');
    await application.recorder.waitForSpans(4);
    const failed = application.recorder.spans.find(({ attributes }) => attributes['code.function.name'] === 'AuditHandler.handle')!;
    expect(failed.status.message).toBe('not audited');
    expect(unhandled).toEqual([expect.objectContaining({ message: 'not audited' })]);
  });

  it('fails the span of a query whose handler throws, with the error that the caller gets', async () => {
    await start();
    await expect(application.context.get(QueryBus).execute(new FindOrder(NOWHERE))).rejects.toThrow('not found');
    expect(application.recorder.find('FindOrder')!.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not found' });
  });

  it('fails the span of a command of a saga, and the error goes where it goes without tracing', async () => {
    await start();
    const unhandled = firstValueFrom(application.context.get(UnhandledExceptionBus));
    expect(await application.inRequest(() => execute(new PlaceOrder(NOWHERE)))).toBe('placed 404');
    const command = await application.recorder.waitForSpan('ShipOrder');
    expect(command.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not found' });
    expect(application.recorder.find('PlaceOrder')!.status.code).toBe(SpanStatusCode.UNSET);
    expect((await unhandled).exception).toMatchObject({ message: 'not found' });
  });

  it('fails a span of a saga that throws, below who published the event, and the error goes where it goes without tracing', async () => {
    await start();
    const unhandled = firstValueFrom(application.context.get(UnhandledExceptionBus));
    application.inRequest(() => application.context.get(EventBus).publish(new OrderLost()));
    const saga = await application.recorder.waitForSpan('OrderSagas.searching');
    expect(saga.status).toEqual({ code: SpanStatusCode.ERROR, message: 'lost for good' });
    expect(saga.attributes).toMatchObject({ 'nestjs.cqrs.type': 'saga', 'code.function.name': 'OrderSagas.searching' });
    expect(application.recorder.parentOf(saga)?.name).toBe('request');
    expect((await unhandled).exception).toMatchObject({ message: 'lost for good' });
  });

  it('is untouched where tracing is off', async () => {
    await start({ enabled: false });
    expect(await application.inRequest(() => execute(new PlaceOrder(7)))).toBe('placed 7');
    expect(application.recorder.spans).toEqual([]);
  });

  it('traces handlers that are made for one command or event', async () => {
    await start();
    expect(await application.inRequest(() => execute(new ScopedCommand()))).toBe('true');
    application.inRequest(() => application.context.get(EventBus).publish(new OrderRefused()));
    await application.recorder.waitForSpans(7);
    expect(application.hops()).toEqual([
      '- > request',
      '- > request',
      'OrderRefused > Work.do',
      'ScopedCommand > Work.do',
      'request > OrderRefused',
      'request > OrderRefused',
      'request > ScopedCommand',
    ]);
  });

  it('has one span for a handler that is made for one event and extends another one', async () => {
    await start();
    application.inRequest(() => application.context.get(EventBus).publish(new OrderReturned()));
    await application.recorder.waitForSpans(5);
    expect(application.hops()).toEqual([
      '- > request',
      'OrderReturned > Work.do',
      'OrderReturned > Work.do',
      'request > OrderReturned',
      'request > OrderReturned',
    ]);
    const handlers = application.recorder.spans.filter(({ name }) => name === 'OrderReturned');
    expect(handlers.map(({ attributes }) => attributes['code.function.name']).sort()).toEqual([
      'PolishedReturnHandler.handle',
      'ReturnHandler.handle',
    ]);
  });

  it('has a query that a handler returns run in its span, which fails where the query does', async () => {
    await start();
    expect(await application.inRequest(() => execute(new DeleteOrders()))).toBe('deleted');
    expect(application.hops()).toEqual(['- > request', 'DeleteOrders > Work.do', 'request > DeleteOrders']);
    application.recorder.clear();
    await expect((async () => await execute(new DeleteOrders(new RangeError('no rows'))))()).rejects.toThrow('no rows');
    expect(application.recorder.find('DeleteOrders')!.status.message).toBe('no rows');
  });

  it('has the span of a handler that returns an Observable end with it, or with the handler where nobody subscribes', async () => {
    await start();
    const watch = (): Promise<Observable<string>> => application.context.get(QueryBus).execute(new WatchOrders());
    expect(await application.inRequest(async () => firstValueFrom(await watch()))).toBe('watched');
    expect(application.hops()).toEqual(['- > request', 'WatchOrders > Work.do', 'request > WatchOrders']);
    application.recorder.clear();
    await application.inRequest(watch);
    await application.recorder.waitForSpan('WatchOrders');
    expect(application.hops()).toEqual(['- > request', 'request > WatchOrders']);
  });

  it('executes a command as without tracing that a caller has given a field called constructor', async () => {
    await start();
    const body = JSON.parse('{ "id": 7, "constructor": "nobody" }') as object;
    expect(await execute(Object.assign(new ShipOrder(1), body))).toBe('ship 7');
    expect(application.hops()).toEqual(['- > ShipOrder', 'ShipOrder > Work.do']);
  });

  it('begins a trace with what nobody sends from a span', async () => {
    await start();
    await execute(new ShipOrder(7));
    expect(application.hops()).toEqual(['- > ShipOrder', 'ShipOrder > Work.do']);
  });

  it('begins a trace per handler and per command of a saga, linked to who published the event, where the options say so', async () => {
    await start({ inbound: { eventOrigin: 'link' } });
    await application.inRequest(() => execute(new PlaceOrder(7)));
    await application.recorder.waitForSpan('ShipOrder');
    expect(application.hops()).toEqual([
      '- > OrderPlaced',
      '- > OrderPlaced',
      '- > ShipOrder',
      '- > request',
      'OrderPlaced > Work.do',
      'ShipOrder > Work.do',
      'request > PlaceOrder',
    ]);
    const { spanId } = application.recorder.find('PlaceOrder')!.spanContext();
    for (const name of ['OrderPlaced', 'ShipOrder']) {
      expect(application.recorder.find(name)!.links.map(({ context }) => context.spanId)).toEqual([spanId]);
    }
  });

  it('makes no span for a handler that wants none, nor for a command or event that the options ignore', async () => {
    await start({ inbound: { ignoreMessages: ['ShipOrder', 'OrderReturned'] } });
    expect(await application.inRequest(() => execute(new HideOrder()))).toBe('hidden');
    expect(await application.inRequest(() => execute(new ShipOrder(7)))).toBe('ship 7');
    application.inRequest(() => application.context.get(EventBus).publish(new OrderReturned()));
    await application.recorder.waitForSpans(3);
    expect(application.hops()).toEqual(['- > request', '- > request', '- > request']);
  });

  it('does not mix up a thousand commands that are under way', async () => {
    await start();
    await Promise.all(Array.from({ length: 1000 }, (_, n) => application.inRequest(() => execute(new PlaceOrder(1000 + n)))));
    await application.recorder.waitForSpans(7000, { timeoutMs: 20_000 });
    const traces = new Map<string, string[]>();
    for (const span of application.recorder.spans) {
      const { traceId } = span.spanContext();
      traces.set(traceId, [...(traces.get(traceId) ?? []), span.name]);
    }
    expect(traces.size).toBe(1000);
    const expected = ['OrderPlaced', 'OrderPlaced', 'PlaceOrder', 'ShipOrder', 'Work.do', 'Work.do', 'request'];
    for (const names of traces.values()) expect(names.sort()).toEqual(expected);
  });
});
