import {
  Body,
  Controller,
  Get,
  type INestApplication,
  type INestApplicationContext,
  Inject,
  Injectable,
  Module,
  Post,
  Scope,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Client, ClientProxy, ClientProxyFactory, ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { SpanKind } from '@opentelemetry/api';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import request from 'supertest';
import { Span, traceClientProxy, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { Microservices } from './microservices.js';
import { type Pair, transports } from './transports.js';

@Injectable()
class Service {
  readonly seen: unknown[] = [];
  @Span() work(data: unknown) {
    this.seen.push(data);
    return data;
  }
}

@Controller()
class Handlers {
  constructor(private readonly service: Service) {}

  @MessagePattern('echo') echo(@Payload() data: unknown) {
    return this.service.work(data);
  }

  @EventPattern('told') first(@Payload() data: unknown) {
    this.service.work(data);
  }
}

@Controller()
class OtherHandlers {
  constructor(private readonly service: Service) {}

  @EventPattern('told') async second(@Payload() data: unknown) {
    await Promise.resolve();
    this.service.work(data);
  }
}

@Controller({ scope: Scope.REQUEST })
class RequestScoped {
  private static made = 0;
  private readonly number = ++RequestScoped.made;
  constructor(private readonly service: Service) {}

  @MessagePattern('scoped') scoped() {
    return this.service.work(this.number);
  }
}

const quiet = { logger: false } as const;

describe.each(transports)('applications that talk over $name', transport => {
  let pair: Pair;
  let recorder: TraceRecorder;
  let running: INestApplicationContext[];
  beforeAll(() => transport.prepare(), 60_000);
  beforeEach(async () => {
    pair = await transport.prepare();
    recorder = new TraceRecorder();
    running = [];
  });
  afterEach(async () => {
    for (const application of running.reverse()) await application.close();
  });

  const tracing = (serviceName: string, enabled = true) => TracingModule.forRoot({ serviceName, exporter: recorder, enabled });
  const isSending = ({ kind }: { kind: SpanKind }) => kind === SpanKind.CLIENT || kind === SpanKind.PRODUCER;

  const isHandling = ({ kind }: { kind: SpanKind }) => kind === SpanKind.SERVER || kind === SpanKind.CONSUMER;

  async function startServer(controllers = [Handlers, OtherHandlers], enabled = true): Promise<void> {
    @Module({ imports: [tracing('server', enabled)], controllers, providers: [Service] })
    class ServerModule {}
    const server = await NestFactory.createMicroservice(ServerModule, { ...pair.server, ...quiet });
    await server.listen();
    running.push(server);
  }

  async function startHttp(module: Type): Promise<INestApplication> {
    const application = await NestFactory.create(module, quiet);
    running.push(application);
    await application.listen(0, '127.0.0.1');
    return application;
  }

  /** Returns the span names from the root of a trace to "Service.work". */
  async function lineage(): Promise<string[]> {
    const names: string[] = [];
    await recorder.waitForTrace();
    for (let span = recorder.find('Service.work'); span !== undefined; span = recorder.parentOf(span)) names.unshift(span.name);
    return names;
  }

  it.each([true, false])('are one trace in a hybrid application, inheritAppConfig: %s', async inheritAppConfig => {
    @Controller()
    class Entrance {
      constructor(@Inject('SELF') private readonly client: ClientProxy) {}
      @Get('ask') ask() {
        return firstValueFrom(this.client.send('echo', { id: 7 }));
      }
    }
    @Module({
      imports: [tracing('hybrid'), ClientsModule.register([{ name: 'SELF', ...pair.client }])],
      controllers: [Entrance, Handlers],
      providers: [Service],
    })
    class HybridModule {}
    const application = await NestFactory.create(HybridModule, quiet);
    running.push(application);
    application.connectMicroservice(pair.server, { inheritAppConfig });
    await application.startAllMicroservices();
    await application.listen(0, '127.0.0.1');
    await request(application.getHttpServer()).get('/ask').expect(200, { id: 7 });
    expect(await lineage()).toEqual(['GET /ask', `${transport.sending}echo`, `${transport.handling}echo`, 'Service.work']);
    expect(recorder.spans).toHaveLength(4);
  });

  it('are one trace with clients of registerAsync, of @Client(), and those handed to traceClientProxy', async () => {
    await startServer();
    const own = traceClientProxy(ClientProxyFactory.create(pair.client));
    @Controller()
    class Entrance {
      @Client(pair.client) declared!: ClientProxy;
      constructor(@Inject('LATE') private readonly late: ClientProxy) {}
      @Post('ask/:which') ask(@Body() { which }: { which: 'declared' | 'late' | 'own' }) {
        const client = { declared: this.declared, late: this.late, own }[which];
        return firstValueFrom(client.send('echo', { which }));
      }
    }
    @Module({
      imports: [tracing('client'), ClientsModule.registerAsync([{ name: 'LATE', useFactory: () => Promise.resolve(pair.client) }])],
      controllers: [Entrance],
    })
    class ClientModule {}
    const application = await startHttp(ClientModule);
    for (const which of ['declared', 'late', 'own']) {
      recorder.clear();
      await request(application.getHttpServer()).post(`/ask/${which}`).send({ which }).expect(201, { which });
      expect(await lineage()).toEqual(['POST /ask/:which', `${transport.sending}echo`, `${transport.handling}echo`, 'Service.work']);
      expect(recorder.spans.filter(isSending)).toHaveLength(1);
    }
    await own.close();
  });

  it('make one span of an event that has two handlers, and both work inside it', async () => {
    const services = await Microservices.start(transport, { controllers: [Handlers, OtherHandlers], providers: [Service] });
    running.push(services.server, services.context);
    recorder = services.recorder;
    await services.inRequest(client => lastValueFrom(client.emit('told', 'news'), { defaultValue: undefined }));
    await recorder.waitForSpans(5);
    const works = recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(works.map(work => recorder.parentOf(work)?.name)).toEqual([services.handling('told'), services.handling('told')]);
    expect(recorder.spans.filter(isHandling)).toHaveLength(1);
    expect(services.server.get(Service).seen).toEqual(['news', 'news']);
  });

  it('have request-scoped controllers: one for each message, and each message its own span', async () => {
    const services = await Microservices.start(transport, { controllers: [RequestScoped], providers: [Service] });
    running.push(services.server, services.context);
    recorder = services.recorder;
    const ask = () => services.inRequest(client => firstValueFrom(client.send('scoped', {})));
    const numbers = [await ask(), await ask()] as number[];
    expect(numbers[1]).toBe(numbers[0]! + 1);
    await recorder.waitForSpans(8);
    const handling = recorder.spans.filter(isHandling);
    expect(handling.map(span => span.attributes['code.function.name'])).toEqual(['RequestScoped.scoped', 'RequestScoped.scoped']);
    const works = recorder.spans.filter(({ name }) => name === 'Service.work');
    expect(works.map(work => recorder.parentOf(work))).toEqual(handling);
  });

  it('are one trace where one in the middle is not traced', async () => {
    @Controller()
    class Middle {
      constructor(@Inject('NEXT') private readonly next: ClientProxy) {}
      @MessagePattern('relayed') relayed(@Payload() data: unknown) {
        return this.next.send('echo', data);
      }
    }
    const behind = await transport.prepare();
    @Module({ imports: [tracing('middle', false), ClientsModule.register([{ name: 'NEXT', ...behind.client }])], controllers: [Middle] })
    class MiddleModule {}
    const middle = await NestFactory.createMicroservice(MiddleModule, { ...pair.server, ...quiet });
    await middle.listen();
    running.push(middle);
    const front = pair;
    pair = behind;
    await startServer([Handlers]);
    @Module({ imports: [tracing('front'), ClientsModule.register([{ name: 'CLIENT', ...front.client }])] })
    class FrontModule {}
    const application = await NestFactory.createApplicationContext(FrontModule, quiet);
    running.push(application);
    const client = application.get<ClientProxy>('CLIENT');
    expect(await application.get(Tracer).span('request', () => firstValueFrom(client.send('relayed', 'x')))).toBe('x');
    expect(await lineage()).toEqual(['request', `${transport.sending}relayed`, `${transport.handling}echo`, 'Service.work']);
    expect(recorder.spans).toHaveLength(4);
  });

  it('keep their spans apart in one process: each exports what it sends or handles', async () => {
    await startServer();
    const own = new TraceRecorder();
    @Module({
      imports: [
        TracingModule.forRoot({ serviceName: 'client', exporter: own }),
        ClientsModule.register([{ name: 'CLIENT', ...pair.client }]),
      ],
    })
    class ClientModule {}
    const application = await NestFactory.createApplicationContext(ClientModule, quiet);
    running.push(application);
    const client = application.get<ClientProxy>('CLIENT');
    await application.get(Tracer).span('request', () => firstValueFrom(client.send('echo', 1)));
    await own.waitForSpans(2);
    await recorder.waitForSpans(2);
    expect(own.spans.map(({ name }) => name)).toEqual([`${transport.sending}echo`, 'request']);
    expect(recorder.spans.map(({ name }) => name).sort()).toEqual([`${transport.handling}echo`, 'Service.work'].sort());
    await firstValueFrom(client.send('echo', 2));
    await own.waitForSpans(3);
    expect(own.spans.map(({ name }) => name)).toEqual([`${transport.sending}echo`, 'request', `${transport.sending}echo`]);
  });
});
