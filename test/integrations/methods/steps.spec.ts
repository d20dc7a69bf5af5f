import {
  type ArgumentsHost,
  BadRequestException,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  type INestApplication,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestInterceptor,
  type NestMiddleware,
  type NestModule,
  Param,
  ParseIntPipe,
  type PipeTransform,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { concatMap, map, type Observable, of } from 'rxjs';
import { type MethodsOptions, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

@Injectable()
class AuthGuard implements CanActivate {
  async canActivate() {
    await turn();
    return true;
  }
}

@Injectable()
class RolesGuard implements CanActivate {
  canActivate() {
    return true;
  }
}

class TrimPipe implements PipeTransform {
  transform(value: unknown) {
    return value;
  }
}

@Injectable()
class Service {
  async load(id: number) {
    await turn();
    return { id };
  }
}

@Injectable()
class WrapInterceptor implements NestInterceptor {
  constructor(private readonly service: Service) {}
  intercept(_execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(concatMap(async data => ({ data, more: await this.service.load(2) })));
  }
}

/** Has methods with the names of other steps. */
@Injectable()
class OddGuard implements CanActivate {
  canActivate() {
    return [this.intercept(1), this.use('a'), this.transform(), this.catch()].join() === '1,a,t,c';
  }
  intercept(count: number) {
    return count;
  }
  use(text: string) {
    return text;
  }
  transform() {
    return 't';
  }
  catch() {
    return 'c';
  }
}

@Injectable()
class AnyInterceptor implements NestInterceptor {
  intercept(_execution: ExecutionContext, next?: CallHandler): Observable<unknown> {
    return next === undefined ? of('alone') : next.handle();
  }
}

@Injectable()
class SpecialInterceptor extends AnyInterceptor {
  override intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    return super.intercept(execution).pipe(concatMap(alone => super.intercept(execution, next).pipe(map(answer => [alone, answer]))));
  }
}

@Injectable()
class SyncInterceptor implements NestInterceptor {
  intercept(_execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map(data => ({ data })));
  }
}

@Injectable()
class AsyncInterceptor implements NestInterceptor {
  async intercept(_execution: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    await turn();
    return next.handle();
  }
}

@Catch(BadRequestException)
class BadRequestFilter implements ExceptionFilter {
  catch(exception: BadRequestException, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: unknown): void } }>();
    response.status(400).send({ filtered: exception.message });
  }
}

@Injectable()
class SessionMiddleware implements NestMiddleware {
  use(_request: unknown, _response: unknown, next: () => void) {
    setImmediate(next);
  }
}

function stamp(_request: unknown, _response: unknown, next: () => void): void {
  next();
}

@Controller('users')
@UseGuards(RolesGuard)
class UsersController {
  constructor(private readonly service: Service) {}

  @Get(':id')
  @UseInterceptors(AsyncInterceptor, WrapInterceptor, SyncInterceptor)
  @UsePipes(new TrimPipe())
  one(@Param('id', ParseIntPipe) id: number) {
    return this.service.load(id);
  }

  @Get('odd/ones')
  @UseGuards(OddGuard)
  @UseInterceptors(SpecialInterceptor)
  odd() {
    return 'odd';
  }

  @Get('bad/:id')
  @UseFilters(BadRequestFilter)
  bad(@Param('id') _id: string) {
    throw new BadRequestException('no');
  }
}

async function start(
  methods: MethodsOptions,
  adapter?: FastifyAdapter,
): Promise<{ app: INestApplication; recorder: TraceRecorder; url: string }> {
  const recorder = new TraceRecorder();
  @Module({
    imports: [TracingModule.forRoot({ exporter: recorder, methods, outbound: { fetch: false, http: false } })],
    controllers: [UsersController],
    providers: [Service, { provide: APP_GUARD, useClass: AuthGuard }],
  })
  class AppModule implements NestModule {
    configure(consumer: MiddlewareConsumer) {
      consumer.apply(SessionMiddleware, stamp).forRoutes(UsersController);
    }
  }
  const app =
    adapter === undefined
      ? await NestFactory.create(AppModule, { logger: false, abortOnError: false })
      : await NestFactory.create(AppModule, adapter, { logger: false, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  return { app, recorder, url: await app.getUrl() };
}

async function get(url: string): Promise<unknown> {
  const answer = await fetch(url);
  return answer.json();
}

describe.each([
  ['Express', () => undefined],
  ['Fastify', () => new FastifyAdapter()],
])('methods.steps on %s', (name, adapter) => {
  it('makes a span of each step, below the server span and not below each other', async () => {
    const { app, recorder, url } = await start({ countBelowMs: 0 }, adapter());
    const answer = await get(`${url}/users/7`);
    await app.close();
    expect(answer).toEqual({ data: { data: { id: 7 } }, more: { id: 2 } });
    const names = recorder.tree().split('\n').map(line => line.trimEnd()); // prettier-ignore
    expect(names.filter(name => !name.includes('Parser')).sort()).toEqual(
      [
        'GET /users/:id (server)',
        '  AsyncInterceptor.intercept',
        '  AsyncInterceptor.intercept (after)',
        '  AuthGuard.canActivate',
        `  ${name}Adapter.reply`,
        '  ParseIntPipe.transform',
        '  RolesGuard.canActivate',
        '  Service.load',
        '  SessionMiddleware.use',
        '  SyncInterceptor.intercept',
        '  SyncInterceptor.intercept (after)',
        '  TrimPipe.transform',
        '  WrapInterceptor.intercept',
        '  WrapInterceptor.intercept (after)',
        '    Service.load',
        '  stamp',
      ].sort(),
    );
    expect(recorder.find('AuthGuard.canActivate')?.attributes).toMatchObject({
      'nestjs.step': 'guard',
      'code.function.name': 'AuthGuard.canActivate',
    });
  });

  it('takes only the method for a step that Nest calls, and a call of super for a part of it', async () => {
    const { app, recorder, url } = await start({ countBelowMs: 0 }, adapter());
    expect(await get(`${url}/users/odd/ones`)).toEqual(['alone', 'odd']);
    await app.close();
    const names = recorder.spans.map(({ name }) => name).filter(name => /Odd|Special|Any/.test(name));
    const helpers = ['OddGuard.catch', 'OddGuard.intercept', 'OddGuard.transform', 'OddGuard.use'];
    const steps = ['OddGuard.canActivate', 'SpecialInterceptor.intercept', 'SpecialInterceptor.intercept (after)'];
    expect(names.sort()).toEqual([...helpers, ...steps].sort());
    expect(recorder.find('OddGuard.intercept')?.attributes['nestjs.step']).toBeUndefined();
  });

  it('counts short steps, and keeps their answers', async () => {
    const { app, recorder, url } = await start({ countBelowMs: 10_000 }, adapter());
    await get(`${url}/users/7`);
    await app.close();
    const [server] = recorder.roots;
    expect(server?.attributes).toMatchObject({
      'nestjs.calls.RolesGuard.canActivate.count': 1,
      'nestjs.calls.TrimPipe.transform.count': 1,
      'nestjs.calls.SyncInterceptor.intercept.count': 1,
      'nestjs.calls.SyncInterceptor.intercept (after).count': 1,
      'nestjs.calls.stamp.count': 1,
    });
  });

  it('makes a span of a filter, and fails no interceptor by the error of a handler', async () => {
    const { app, recorder, url } = await start({ countBelowMs: 0 }, adapter());
    expect(await get(`${url}/users/bad/7`)).toEqual({ filtered: 'no' });
    await app.close();
    expect(recorder.find('BadRequestFilter.catch')?.attributes['nestjs.step']).toBe('filter');
    expect(recorder.find('BadRequestFilter.catch')?.status.code).toBe(0);
  });

  it('makes none if it is off, or if a rule forbids it', async () => {
    const off = await start({ steps: false }, adapter());
    await get(`${off.url}/users/7`);
    await off.app.close();
    expect(off.recorder.spans.map(({ name }) => name).sort()).toEqual(['GET /users/:id', 'Service.load', 'Service.load']);
    const forbidden = await start({ not: ['*Guard', ParseIntPipe], countBelowMs: 0 }, adapter());
    await get(`${forbidden.url}/users/7`);
    await forbidden.app.close();
    expect(forbidden.recorder.spans.map(({ name }) => name).filter(name => /Guard|ParseInt/.test(name))).toEqual([]);
  });
});
