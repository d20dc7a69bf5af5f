import { InjectQueue, Processor, WorkerHost } from '@nestjs/bullmq';
import { Controller, Get, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  CommandBus,
  CommandHandler,
  CqrsModule,
  EventBus,
  EventsHandler,
  type ICommandHandler,
  type IEventHandler,
  type IQueryHandler,
  QueryBus,
  QueryHandler,
  Saga,
} from '@nestjs/cqrs';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Args, Query, Resolver } from '@nestjs/graphql';
import { ClientProxyFactory, EventPattern, MessagePattern, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Interval, ScheduleModule } from '@nestjs/schedule';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import type { AddressInfo } from 'node:net';
import { filter, firstValueFrom, map, type Observable } from 'rxjs';
import { TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Broker } from '../../../sample/brokers/broker.js';
import { redis } from '../../../sample/brokers/redis.js';
import { TracedContext } from '../../traced-context.js';
import { describeWithRedis, JobsApplication } from '../bullmq/jobs.js';
import { GraphqlApplication, servers } from '../graphql/graphql-application.js';
import { SocketApplication } from '../websockets/socket-application.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
const methods = { countBelowMs: 0 };

@Injectable()
class Work {
  async do() {
    await turn();
    return 'done';
  }
}

/** Each span with the name of its parent. */
function hops(recorder: TraceRecorder): string[] {
  return recorder.spans.map(span => `${recorder.parentOf(span)?.name ?? '-'} > ${span.name}`).sort();
}

@Injectable()
class Listeners {
  constructor(private readonly work: Work) {}
  @OnEvent('order.created') async created() {
    return this.help();
  }
  private async help() {
    return this.work.do();
  }
}

@Injectable()
class Jobs {
  runs = 0;
  constructor(private readonly work: Work) {}
  @Interval('often', 5) async often() {
    this.runs += 1;
    await this.work.do();
  }
}

class Place {}
class Find {}
class Placed {}
class Ship {}

@CommandHandler(Place)
class PlaceHandler implements ICommandHandler<Place> {
  constructor(
    private readonly work: Work,
    private readonly events: EventBus,
  ) {}
  async execute() {
    await this.events.publish(new Placed());
    return this.work.do();
  }
}

@CommandHandler(Ship)
class ShipHandler implements ICommandHandler<Ship> {
  constructor(private readonly work: Work) {}
  async execute() {
    return this.work.do();
  }
}

@QueryHandler(Find)
class FindHandler implements IQueryHandler<Find> {
  constructor(private readonly work: Work) {}
  async execute() {
    return this.work.do();
  }
}

@EventsHandler(Placed)
class PlacedHandler implements IEventHandler<Placed> {
  constructor(private readonly work: Work) {}
  async handle() {
    await this.work.do();
  }
}

@Injectable()
class Sagas {
  @Saga() placed(events: Observable<object>): Observable<Ship> {
    return events.pipe(
      filter(event => event instanceof Placed),
      map(() => new Ship()),
    );
  }
}

describe('handlers that have a span already, with methods', () => {
  it('get no second one: listeners of the event emitter', async () => {
    const app = await TracedContext.start({ imports: [EventEmitterModule.forRoot()], providers: [Work, Listeners] }, { methods });
    await app.inRequest(() => app.context.get(EventEmitter2).emitAsync('order.created'));
    await app.context.close();
    expect(app.hops()).toEqual(['- > request', 'Listeners.help > Work.do', 'order.created > Listeners.help', 'request > order.created']);
  });

  it('get no second one: jobs of the scheduler', async () => {
    const app = await TracedContext.start({ imports: [ScheduleModule.forRoot()], providers: [Work, Jobs] }, { methods });
    await app.recorder.waitForSpan('Work.do');
    await app.context.close();
    expect(new Set(app.hops())).toEqual(new Set(['- > Jobs.often', 'Jobs.often > Work.do']));
    expect(app.recorder.spans).toHaveLength(2 * app.context.get(Jobs).runs);
  });

  it('get no second one: handlers and sagas of CQRS', async () => {
    const app = await TracedContext.start(
      { imports: [CqrsModule.forRoot()], providers: [Work, PlaceHandler, ShipHandler, FindHandler, PlacedHandler, Sagas] },
      { methods },
    );
    await app.inRequest(() => app.context.get(CommandBus).execute(new Place()));
    await app.inRequest(() => app.context.get(QueryBus).execute(new Find()));
    await app.recorder.waitForSpans(() => app.recorder.spans.filter(({ name }) => name === 'Work.do').length === 4);
    await app.context.close();
    expect(app.hops()).toEqual([
      '- > request',
      '- > request',
      'Find > Work.do',
      'Place > Placed',
      'Place > Ship',
      'Place > Work.do',
      'Placed > Work.do',
      'Ship > Work.do',
      'request > Find',
      'request > Place',
    ]);
  });

  it('get none for a saga, which lasts as long as the application', async () => {
    const imports = [CqrsModule.forRoot()];
    const app = await TracedContext.start({ imports, providers: [Sagas] }, { methods, startUp: true });
    await app.context.close();
    expect(app.recorder.spans.map(({ name }) => name).filter(name => name.startsWith('Sagas.'))).toEqual([]);
    expect(app.recorder.find('start up') ?? app.recorder.roots[0]).toBeDefined();
  });

  it.each(servers)('get no second one: resolvers, with or without spans of resolvers: %s', async server => {
    @Resolver()
    class Greetings {
      constructor(@Inject(Work) private readonly work: Work) {}
      @Query(() => String) async greeting(@Args('name', { type: () => String }) _name: string) {
        return this.work.do();
      }
    }
    for (const resolvers of [true, false]) {
      const graphql = await GraphqlApplication.start(server, {
        providers: [Greetings, Work],
        graphql: { resolvers },
        tracing: { methods },
      });
      expect(await graphql.send('query Greet { greeting(name: "Ada") }')).toEqual({ data: { greeting: 'done' } });
      await graphql.close();
      const work = graphql.recorder.find('Work.do');
      const parent = work && graphql.recorder.parentOf(work);
      expect(graphql.recorder.spans.filter(({ name }) => name.includes('greeting'))).toHaveLength(1);
      expect(parent?.name).toBe('Greetings.greeting');
    }
  });

  it.each(['socket.io', 'ws'] as const)('get no second one: messages to gateways on %s', async adapter => {
    @WebSocketGateway()
    class Gateway {
      constructor(@Inject(Work) private readonly work: Work) {}
      @SubscribeMessage('take') async take() {
        return { event: 'took', data: await this.work.do() };
      }
    }
    const test = await SocketApplication.start(adapter, { gateways: [Gateway], providers: [Work], tracing: { methods } });
    const client = await test.connect();
    client.send('take');
    await test.recorder.waitForSpan('message take');
    await client.close();
    await test.close();
    expect(hops(test.recorder)).toContain('message take > Work.do');
    expect(test.recorder.spans.filter(({ name }) => name.startsWith('Gateway.'))).toEqual([]);
  });

  it('get no second one: routes, and handlers of microservices', async () => {
    @Controller()
    class Desk {
      constructor(@Inject(Work) private readonly work: Work) {}
      @MessagePattern('ask') async ask() {
        return this.work.do();
      }
      @EventPattern('tell') async tell(_data: unknown) {
        await this.work.do();
      }
      @Get('route') async route() {
        return this.help();
      }
      private async help() {
        return this.work.do();
      }
    }
    const recorder = new TraceRecorder();
    @Module({
      imports: [
        TracingModule.forRoot({ exporter: recorder, methods: { ...methods, steps: false }, outbound: { fetch: false, http: false } }),
      ],
      controllers: [Desk],
      providers: [Work],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
    const microservice = app.connectMicroservice<MicroserviceOptions>({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: 0 },
    });
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    const { port } = microservice.unwrap<{ address(): AddressInfo }>().address();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
    expect(await firstValueFrom(client.send('ask', {}))).toBe('done');
    await firstValueFrom(client.emit('tell', {}), { defaultValue: undefined });
    await (await fetch(`${await app.getUrl()}/route`)).text();
    await recorder.waitForSpans(() => recorder.spans.filter(({ name }) => name === 'Work.do').length === 3);
    client.close();
    await app.close();
    expect(hops(recorder)).toEqual([
      '- > GET /route',
      '- > ask',
      '- > tell',
      'Desk.help > Work.do',
      'GET /route > Desk.help',
      'ask > Work.do',
      'tell > Work.do',
    ]);
  });
});

@Processor('mail')
class MailProcessor extends WorkerHost {
  constructor(@Inject(Work) private readonly work: Work) {
    super();
  }
  async process() {
    return this.work.do();
  }
}

@Injectable()
class Sender {
  constructor(@InjectQueue('mail') private readonly queue: { add(name: string, data: object): Promise<unknown> }) {}
  async send() {
    await this.queue.add('letter', {});
  }
}

describeWithRedis('processors of BullMQ, with methods', () => {
  it('get no second span', async () => {
    const broker = await Broker.start(redis);
    const application = await JobsApplication.start(broker, { queues: ['mail'], providers: [MailProcessor, Work, Sender], methods });
    await application.inRequest(() => application.context.get(Sender).send());
    await application.recorder.waitForSpan('process mail');
    await application.close();
    await broker.stop();
    expect(hops(application.recorder)).toEqual([
      '- > request',
      'Sender.send > send mail',
      'process mail > Work.do',
      'request > Sender.send',
      'send mail > process mail',
    ]);
  });
});
