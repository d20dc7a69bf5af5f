import {
  ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestInterceptor,
  type PipeTransform,
  Query,
  Req,
  Scope,
  Sse,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { trace } from '@opentelemetry/api';
import { concatMap, delay, from, interval, map, of, take, tap } from 'rxjs';
import { adapters, startApplication, type TestApplication } from './http-application.js';

const seen = new Map<string, string[]>();
const note = (place: string) => {
  const id = trace.getActiveSpan()?.spanContext().spanId ?? 'none';
  seen.set(place, [...(seen.get(place) ?? []), id]);
};

@Injectable()
class Guard implements CanActivate {
  async canActivate() {
    note('guard');
    await Promise.resolve();
    return true;
  }
}

@Injectable()
class Pipe implements PipeTransform {
  transform(value: unknown) {
    note('pipe');
    return value;
  }
}

@Injectable()
class Interceptor implements NestInterceptor {
  intercept(_ctx: ExecutionContext, next: CallHandler) {
    note('interceptor before');
    return next.handle().pipe(
      delay(1),
      tap(() => note('interceptor after')),
    );
  }
}

@Catch()
class Filter implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost) {
    note('filter');
    const response = host.switchToHttp().getResponse();
    if (typeof response.code === 'function') response.code(418).send({});
    else response.status(418).json({});
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  constructor(@Inject(REQUEST) readonly request: unknown) {
    note('request-scoped provider');
  }
}

@Controller()
class AppController {
  @Get('all')
  @UseGuards(Guard)
  @UseInterceptors(Interceptor)
  async all(@Query('q', Pipe) _q: string) {
    note('handler');
    await new Promise(resolve => setTimeout(resolve, 2));
    note('handler after a timer');
    setImmediate(() => note('immediate'));
    await new Promise(resolve => setImmediate(resolve));
    return 'ok';
  }
  @Get('fails')
  @UseFilters(Filter)
  fails() {
    throw new Error('x');
  }
  @Get('observable') observable() {
    return from([1, 2, 3]).pipe(
      concatMap(n => of(n).pipe(delay(1))),
      tap(() => note('observable')),
      take(3),
    );
  }
  @Sse('events') events() {
    return interval(1).pipe(
      take(3),
      tap(() => note('sse')),
      map(n => ({ data: String(n) })),
    );
  }
}

@Controller('scoped')
class ScopedController {
  constructor(readonly perRequest: PerRequest) {}
  @Get() get(@Req() _request: unknown) {
    note('request-scoped handler');
    return 'ok';
  }
}

describe.each(adapters)('the context of a request on %s', adapter => {
  let test: TestApplication;
  beforeAll(async () => {
    @Module({})
    class MiddlewareModule {
      configure(consumer: MiddlewareConsumer) {
        consumer
          .apply((_req: unknown, _res: unknown, next: () => void) => {
            note('middleware');
            setTimeout(next, 1);
          })
          .forRoutes('all');
      }
    }
    test = await startApplication(adapter, {
      controllers: [AppController, ScopedController],
      providers: [PerRequest],
      imports: [MiddlewareModule],
    });
  });
  afterAll(() => test.close());
  beforeEach(() => {
    seen.clear();
    test.recorder.clear();
  });

  it.each([
    [
      '/all?q=1',
      ['middleware', 'guard', 'pipe', 'interceptor before', 'handler', 'handler after a timer', 'immediate', 'interceptor after'],
    ],
    ['/fails', ['filter']],
    ['/observable', ['observable']],
    ['/events', ['sse']],
    ['/scoped', ['request-scoped provider', 'request-scoped handler']],
  ])('holds everywhere under %s', async (path, places) => {
    await Promise.all([test.request(path), test.request(path)]);
    await test.recorder.waitForSpans(2);
    const ids = test.recorder.spans.map(span => span.spanContext().spanId).sort();
    expect(new Set(ids).size).toBe(2);
    for (const place of places) expect([place, [...new Set(seen.get(place))].sort()]).toEqual([place, ids]);
  });
});
