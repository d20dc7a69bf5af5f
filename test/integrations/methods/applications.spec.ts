import { AsyncLocalStorage } from 'node:async_hooks';
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
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  type NestInterceptor,
  Param,
  type PipeTransform,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Observable } from 'rxjs';
import { type MethodsOptions, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

class OneGuard implements CanActivate {
  canActivate() {
    return true;
  }
}
class OnePipe implements PipeTransform {
  transform(value: unknown) {
    return value;
  }
}
class OneInterceptor implements NestInterceptor {
  intercept(_execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle();
  }
}
@Catch(BadRequestException)
class OneFilter implements ExceptionFilter {
  catch(_exception: unknown, host: ArgumentsHost) {
    host.switchToHttp().getResponse<{ status(code: number): { send(body: unknown): void } }>().status(400).send({ filtered: true });
  }
}
class ByApp {
  static readonly Guard = class AppGuard extends OneGuard {};
  static readonly Pipe = class AppPipe extends OnePipe {};
  static readonly Interceptor = class AppInterceptor extends OneInterceptor {};
  static readonly Filter = class AppFilter extends OneFilter {};
}

@Controller('users')
class UsersController {
  @Get(':id') one(@Param('id') id: string) {
    if (id === 'bad') throw new BadRequestException();
    return { id };
  }
}

async function listen(module: ModuleMetadata, options: TracingOptions, prepare: (app: INestApplication) => void, adapter?: FastifyAdapter) {
  const recorder = new TraceRecorder();
  const tracing = TracingModule.forRoot({ exporter: recorder, outbound: { fetch: false, http: false }, ...options });
  @Module({ ...module, imports: [...(module.imports ?? []), tracing] })
  class AppModule {}
  const settings = { logger: false, abortOnError: false } as const;
  const app =
    adapter === undefined ? await NestFactory.create(AppModule, settings) : await NestFactory.create(AppModule, adapter, settings);
  prepare(app);
  await app.listen(0, '127.0.0.1');
  return { app, recorder, url: await app.getUrl() };
}

describe.each([
  ['Express', () => undefined],
  ['Fastify', () => new FastifyAdapter()],
])('global enhancers with methods, on %s', (_name, adapter) => {
  const STEPS = ['Guard.canActivate', 'Interceptor.intercept', 'Interceptor.intercept (after)', 'Pipe.transform'];

  it.each([
    ['One', 'useGlobal…()'],
    ['App', 'APP_…'],
  ])('have a span each, below the server span: %s, registered by %s', async (prefix, way) => {
    const byToken = [
      { provide: APP_GUARD, useClass: ByApp.Guard },
      { provide: APP_PIPE, useClass: ByApp.Pipe },
      { provide: APP_INTERCEPTOR, useClass: ByApp.Interceptor },
      { provide: APP_FILTER, useClass: ByApp.Filter },
    ];
    const isByToken = way === 'APP_…';
    const { app, recorder, url } = await listen(
      { controllers: [UsersController], providers: isByToken ? byToken : [] },
      { methods: { countBelowMs: 0 } },
      nest => {
        if (isByToken) return;
        nest.useGlobalGuards(new OneGuard());
        nest.useGlobalPipes(new OnePipe());
        nest.useGlobalInterceptors(new OneInterceptor());
        nest.useGlobalFilters(new OneFilter());
      },
      adapter(),
    );
    expect(await (await fetch(`${url}/users/7`)).json()).toEqual({ id: '7' });
    expect(await (await fetch(`${url}/users/bad`)).json()).toEqual({ filtered: true });
    await app.close();
    const steps = recorder.roots.map(root =>
      recorder.spans
        .filter(span => recorder.parentOf(span) === root && span.name.startsWith(prefix))
        .map(({ name }) => name)
        .sort(),
    );
    const named = STEPS.map(step => `${prefix}${step}`);
    expect(steps).toEqual([named, [`${prefix}Filter.catch`, ...named]]);
  });
});

@Injectable()
class Repository {
  async find(index: number) {
    await turn();
    return index;
  }
}

@Injectable()
class Service {
  constructor(@Inject(Repository) private readonly repository: Repository) {}
  async all(count: number) {
    for (let index = 0; index < count; index++) await this.repository.find(index);
  }
}

describe('a loop of calls', () => {
  const loop = async (options: TracingOptions, count: number): Promise<TracedContext> => {
    const app = await TracedContext.start({ providers: [Repository, Service] }, options);
    await app.inRequest(() => app.context.get(Service).all(count));
    await app.context.close();
    return app;
  };

  it('is folded by default where methods are traced', async () => {
    const { recorder } = await loop({ methods: true }, 50);
    const calls = recorder.spans.filter(({ name }) => name === 'Repository.find');
    expect(calls.length).toBeLessThan(10);
    const counts = calls.map(({ attributes }) => Number(attributes['nestjs.folded.count'] ?? 1));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(50);
  });

  it('is not folded if it is short, or if the option is off', async () => {
    expect((await loop({ methods: true }, 15)).recorder.spans.filter(({ name }) => name === 'Repository.find')).toHaveLength(15);
    expect((await loop({ methods: true, fold: false }, 50)).recorder.spans.filter(({ name }) => name === 'Repository.find')).toHaveLength(
      50,
    );
  });
});

@Injectable()
class SharedService {
  async work() {
    await turn();
    return this.help();
  }
  async help() {
    return Promise.resolve('helped');
  }
}

describe('two applications that share a class', () => {
  const original = Object.getOwnPropertyDescriptor(SharedService.prototype, 'work')?.value as unknown;
  const start = (methods: MethodsOptions | boolean) => TracedContext.start({ providers: [SharedService] }, { methods });
  const work = async (app: TracedContext): Promise<string[]> => {
    app.recorder.clear();
    expect(await app.inRequest(() => app.context.get(SharedService).work())).toBe('helped');
    await app.recorder.waitForTrace();
    return app.hops();
  };
  const TRACED = ['- > request', 'SharedService.work > SharedService.help', 'request > SharedService.work'];

  it.each([
    ['the traced one starts first', [true, false]],
    ['the traced one starts last', [false, true]],
  ])('trace it each by their own options, also when the other one closes: %s', async (_case, [first, second]) => {
    const apps = [await start(first!), await start(second!)];
    const traced = apps[first ? 0 : 1]!;
    const untraced = apps[first ? 1 : 0]!;
    expect(await work(traced)).toEqual(TRACED);
    expect(await work(untraced)).toEqual(['- > request']);
    const [both] = await Promise.all([work(traced), untraced.context.get(SharedService).work()]);
    expect(both).toEqual(TRACED);
    await untraced.context.close();
    expect(await work(traced)).toEqual(TRACED);
    await traced.context.close();
    expect(SharedService.prototype.work).toBe(original);
  });

  it('stops to trace in the one that closes, and goes on in the other', async () => {
    const [one, other] = [await start(true), await start({ not: '*.help' })];
    expect(await work(one)).toEqual(TRACED);
    expect(await work(other)).toEqual(['- > request', 'request > SharedService.work']);
    await one.context.close();
    expect(await work(other)).toEqual(['- > request', 'request > SharedService.work']);
    await other.context.close();
    expect(SharedService.prototype.work).toBe(original);
    expect(await new SharedService().work()).toBe('helped');
  });

  it('leave calls outside of their work alone', async () => {
    const store = new AsyncLocalStorage<string>();
    const app = await start(true);
    expect(await store.run('mine', async () => [await new SharedService().work(), store.getStore()])).toEqual(['helped', 'mine']);
    await app.context.close();
    expect(app.recorder.spans).toEqual([]);
  });
});
