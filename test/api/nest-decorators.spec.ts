/** @Span() among the decorators of Nest: routes, parameters, guards, message patterns and request-scoped providers do not notice. */
import {
  applyDecorators,
  Body,
  CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  Inject,
  Injectable,
  Param,
  ParseIntPipe,
  Post,
  Query,
  Scope,
  SetMetadata,
  Sse,
  UseGuards,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, MetadataScanner, ModuleRef, Reflector, REQUEST } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { context, type Span as OpenTelemetrySpan, trace } from '@opentelemetry/api';
import { map, type Observable, of } from 'rxjs';
import request from 'supertest';
import { CurrentSpan, Span, Traceable } from '../../lib/api/span.decorator.js';
import { NoSpan } from '../../lib/api/no-span.decorator.js';
import { SpanAttribute } from '../../lib/api/span-attribute.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';
import { TestApplication } from '../application.js';

const app = new TestApplication();
const tracer = new Tracer(app);
let nest: NestExpressApplication;

@Injectable()
class RolesGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(execution: ExecutionContext): boolean {
    return this.reflector.get<string>('role', execution.getHandler()) !== 'nobody';
  }
}

@Injectable({ scope: Scope.REQUEST })
class RequestService {
  constructor(@Inject(REQUEST) private readonly request: { url: string }) {}

  @Span()
  async url() {
    await Promise.resolve();
    return this.request.url;
  }
}

@Injectable()
class Listener {
  @SetMetadata('EVENT_LISTENER', 'order.created')
  @Span()
  above() {
    return 'above';
  }

  @Span()
  @SetMetadata('EVENT_LISTENER', 'order.created')
  below() {
    return 'below';
  }

  @Span()
  untouched() {}
}

const Traced = (name: string): MethodDecorator => applyDecorators(Span(name), SetMetadata('role', 'composed'));

@Controller('orders')
@UseGuards(RolesGuard)
class OrdersController {
  constructor(private readonly service: RequestService) {}

  @Get('above/:id')
  @HttpCode(203)
  @Header('x-a', 'b')
  @SetMetadata('role', 'user')
  @Span()
  above(@Param('id', ParseIntPipe) @SpanAttribute('order.id') id: number, @Query('q') q: string) {
    return { id, q };
  }

  @Span()
  @SetMetadata('role', 'user')
  @Header('x-a', 'b')
  @HttpCode(203)
  @Get('below/:id')
  below(@Param('id', ParseIntPipe) @SpanAttribute('order.id') id: number, @Query('q') q: string) {
    return { id, q };
  }

  @SetMetadata('role', 'nobody')
  @Span()
  @Get('forbidden')
  forbidden() {}

  @Post()
  @Traced('composed')
  composed(@Body() body: object) {
    return body;
  }

  @Get('scoped')
  @Span()
  scoped() {
    return this.service.url();
  }

  @Get('stream')
  @Span()
  stream(): Observable<{ n: number }> {
    return of(1, 2).pipe(map(n => ({ n })));
  }

  @Span()
  @Sse('sse')
  sse(): Observable<{ data: string }> {
    return of({ data: 'one' }, { data: 'two' });
  }

  @Get('current')
  @Span()
  current(@CurrentSpan() span: OpenTelemetrySpan) {
    span.setAttribute('seen', true);
    return { isRecording: span.isRecording() };
  }

  @Get('hidden')
  @NoSpan()
  @Span()
  hidden() {
    return 'hidden';
  }

  @MessagePattern('above')
  @Span()
  messageAbove(@Payload() payload: unknown) {
    return payload;
  }

  @Span()
  @EventPattern('below')
  messageBelow(@Payload() payload: unknown) {
    return payload;
  }
}

@Traceable()
@Controller('traceable')
class TraceableBefore {
  @Get(':id')
  one(@Param('id') id: string) {
    return id;
  }
}

@Controller('traceable-too')
@Traceable()
class TraceableAfter extends TraceableBefore {
  @Get('own/:id')
  own(@Param('id') id: string) {
    return id;
  }
}

beforeAll(async () => {
  const module = await Test.createTestingModule({
    imports: [DiscoveryModule],
    controllers: [OrdersController, TraceableBefore, TraceableAfter],
    providers: [RequestService, Listener],
  }).compile();
  nest = module.createNestApplication<NestExpressApplication>(new ExpressAdapter(), { logger: false });
  nest.use((_request: unknown, response: { once(event: string, fn: () => void): void }, next: () => void) => {
    const span = tracer.startSpan('request');
    response.once('close', () => span.end());
    context.with(trace.setSpan(context.active(), span), next);
  });
  await nest.init();
});
afterEach(() => expect(app.reset()).toEqual([]));
afterAll(async () => {
  await nest.close();
  await app.close();
});

const get = (path: string): request.Test => request(nest.getHttpServer()).get(path);

describe('@Span() on route handlers', () => {
  it.each(['above', 'below'])('keeps route, parameters, pipes, status and headers when the others stand %s it', async place => {
    const response = await get(`/orders/${place}/7?q=x`).expect(203).expect('x-a', 'b');
    expect(response.body).toEqual({ id: 7, q: 'x' });
    await get(`/orders/${place}/seven`).expect(400);
    expect(app.span(`OrdersController.${place}`).attributes['order.id']).toBe(7);
  });

  it('keeps metadata that guards read', async () => {
    await get('/orders/forbidden').expect(403);
    expect(app.names).toEqual(['request']);
  });

  it('works inside applyDecorators()', async () => {
    await request(nest.getHttpServer()).post('/orders').send({ a: 1 }).expect(201, { a: 1 });
    expect(app.names).toContain('composed');
    expect(Reflect.getMetadata('role', OrdersController.prototype.composed)).toBe('composed');
  });

  it('works with request-scoped providers', async () => {
    await Promise.all([get('/orders/scoped?1').expect(200, '/orders/scoped?1'), get('/orders/scoped?2').expect(200, '/orders/scoped?2')]);
    const tree = ['request', '  OrdersController.scoped', '    RequestService.url'];
    expect(app.tree().split('\n')).toEqual([...tree, ...tree]);
  });

  it('works with handlers that return Observables, server-sent events included', async () => {
    await get('/orders/stream').expect(200, { n: 2 });
    const { text } = await get('/orders/sse').expect(200);
    expect(text).toContain('data: one');
    expect(text).toContain('data: two');
    const tree = ['request', '  OrdersController.stream', 'request', '  OrdersController.sse'];
    expect(app.tree().split('\n')).toEqual(tree);
  });

  it('gives way to @NoSpan()', async () => {
    await get('/orders/hidden').expect(200, 'hidden');
    expect(app.names).toEqual(['request']);
  });

  it.each(['traceable/7', 'traceable-too/7', 'traceable-too/own/7'])('works on whole controllers: %s', async path => {
    await get(`/${path}`).expect(200, '7');
    expect(app.names).toHaveLength(2);
  });
});

describe('@CurrentSpan()', () => {
  it('is the span of the request, also for a handler with a span of its own', async () => {
    await get('/orders/current').expect(200, { isRecording: true });
    expect(app.span('request').attributes).toEqual({ seen: true });
  });

  it('is a span that records nothing where nothing is traced', async () => {
    await app.close();
    await get('/orders/current').expect(200, { isRecording: false });
  });
});

describe('@Span() and explorers', () => {
  it('keeps name, length and metadata of the method', () => {
    const { above, below, messageAbove, messageBelow } = OrdersController.prototype;
    expect([above, below, messageAbove, messageBelow].map(method => [method.name, method.length])).toEqual([
      ['above', 2],
      ['below', 2],
      ['messageAbove', 1],
      ['messageBelow', 1],
    ]);
    for (const method of [messageAbove, messageBelow]) {
      expect(Reflect.getMetadataKeys(method).sort()).toEqual(
        expect.arrayContaining(['microservices:handler_type', 'microservices:pattern']) as unknown,
      );
    }
    const own = Object.assign(() => 1, { tag: 'mine' });
    const descriptor = { value: own };
    (Span() as (target: object, key: string, descriptor: object) => void)(Listener.prototype, 'own', descriptor);
    expect(descriptor.value).not.toBe(own);
    expect(descriptor.value.tag).toBe('mine');
  });

  it('lets them find methods of providers by their metadata', () => {
    const discovery = nest.get(ModuleRef, { strict: false }).get(DiscoveryService, { strict: false });
    const wrapper = discovery.getProviders().find(({ metatype }) => metatype === Listener)!;
    const instance = wrapper.instance as Listener;
    const methods = new MetadataScanner().getAllMethodNames(Object.getPrototypeOf(instance) as object);
    const listeners = methods.filter(name => Reflect.getMetadata('EVENT_LISTENER', instance[name as keyof Listener]) === 'order.created');
    expect(listeners).toEqual(['above', 'below']);
  });
});
