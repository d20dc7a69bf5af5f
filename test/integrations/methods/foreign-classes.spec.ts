import { Controller, Get, Inject, Injectable, Module, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Context } from '@opentelemetry/api';
import type { ReadableSpan, Sampler, SamplingResult, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { CLS_ID, ClsModule, ClsService, InjectableProxy } from 'nestjs-cls';
import { Tracer, TRACING_OPTIONS, TracingModule, type TracingOptions } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

@Injectable()
class Work {
  async do() {
    await turn();
    return 'done';
  }
}

/** Parts of the pipeline, as users write them, with helper methods. */
@Injectable()
class OwnExporter implements SpanExporter {
  readonly names: string[] = [];
  export(spans: ReadableSpan[], done: (result: { code: number }) => void): void {
    for (const span of spans) this.keep(span);
    done({ code: 0 });
  }
  keep(span: ReadableSpan): void {
    this.names.push(span.name);
  }
  async shutdown(): Promise<void> {
    await turn();
  }
}

@Injectable()
class OwnSampler implements Sampler {
  calls = 0;
  shouldSample(): SamplingResult {
    this.calls += 1;
    return this.decide();
  }
  decide(): SamplingResult {
    return { decision: 2 };
  }
  toString(): string {
    return 'OwnSampler';
  }
}

@Injectable()
class OwnProcessor implements SpanProcessor {
  readonly started: string[] = [];
  readonly ended: string[] = [];
  onStart(span: { readonly name: string }, _parent: Context): void {
    this.note(this.started, span.name);
  }
  onEnd(span: ReadableSpan): void {
    this.note(this.ended, span.name);
  }
  note(list: string[], name: string): void {
    list.push(name);
  }
  async forceFlush(): Promise<void> {
    await turn();
  }
  async shutdown(): Promise<void> {
    await turn();
  }
}

@Module({ providers: [OwnExporter, OwnSampler, OwnProcessor], exports: [OwnExporter, OwnSampler, OwnProcessor] })
class PipelineModule {}

describe('parts of the pipeline that are providers, with methods', () => {
  it('make no spans of their own, and each span once', async () => {
    const tracing = TracingModule.forRootAsync({
      imports: [PipelineModule],
      inject: [OwnExporter, OwnSampler, OwnProcessor],
      useFactory: (exporter: OwnExporter, sampler: OwnSampler, processor: OwnProcessor): TracingOptions => ({
        exporter,
        sampler,
        spanProcessors: [processor],
        methods: { countBelowMs: 0 },
      }),
    });
    @Module({ imports: [PipelineModule, tracing], providers: [Work] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    const [exporter, sampler, processor] = [app.get(OwnExporter), app.get(OwnSampler), app.get(OwnProcessor)];
    for (let index = 0; index < 3; index++) await app.get(Tracer).span('request', () => app.get(Work).do());
    await app.close();
    const expected = ['Work.do', 'Work.do', 'Work.do', 'request', 'request', 'request'];
    expect(app.get(TRACING_OPTIONS)).toBeDefined();
    expect([...exporter.names].sort()).toEqual(expected);
    expect([...processor.ended].sort()).toEqual(expected);
    expect([...processor.started].sort()).toEqual(expected);
    expect(sampler.calls).toBe(6);
  });
});

class Registry extends Map<string, number> {
  async total() {
    await turn();
    return [...this.values()].reduce((sum, one) => sum + one, 0);
  }
}
class Tags extends Set<string> {
  async joined() {
    await turn();
    return [...this].join();
  }
}
class Moment extends Date {
  async year() {
    await turn();
    return this.getFullYear();
  }
}
class List extends Array<number> {
  async first() {
    await turn();
    return this[0];
  }
}
class Later extends Promise<string> {
  async value() {
    return this;
  }
}
class Failure extends Error {
  async text() {
    await turn();
    return this.message;
  }
}

@Injectable()
class Sealed {
  readonly #secret = 'sealed';
  constructor() {
    Object.freeze(this);
  }
  async read() {
    await turn();
    return this.#secret;
  }
}

@Injectable()
class Guarded {
  async read() {
    await turn();
    return 'guarded';
  }
}

function valuesOf(prototype: object): (readonly [key: PropertyKey, value: unknown])[] {
  return Reflect.ownKeys(prototype).map(key => [key, Object.getOwnPropertyDescriptor(prototype, key)?.value as unknown] as const);
}

describe('providers of classes of the language, with methods', () => {
  const natives = [Map, Set, Date, Array, Promise, Error, Object, Function].map(classRef => {
    const prototype = classRef.prototype as object;
    return { prototype, before: valuesOf(prototype) };
  });
  const refused: PropertyKey[] = [];
  const proxy = new Proxy(new Guarded(), {
    get: (target, key) => Reflect.get(target, key, target) as unknown,
    set: (_target, key) => {
      refused.push(key);
      return false;
    },
    defineProperty: (_target, key) => {
      refused.push(key);
      return false;
    },
  });
  const providers = [
    { provide: 'map', useValue: new Map([['a', 1]]) },
    { provide: Registry, useFactory: () => new Registry([['a', 1]]) },
    { provide: Tags, useValue: new Tags(['a', 'b']) },
    { provide: Moment, useValue: new Moment('2026-12-01T12:00:00Z') },
    { provide: List, useFactory: () => List.of(5, 6) },
    { provide: Failure, useValue: new Failure('failed') },
    { provide: 'later', useValue: { promise: Later.resolve('later') } },
    { provide: 'null', useValue: Object.create(null) as object },
    { provide: 'date', useValue: new Date(0) },
    { provide: 'frozen', useValue: Object.freeze({ find: () => 'found' }) },
    { provide: Guarded, useFactory: () => proxy },
    Sealed,
  ];

  it.each([true, { fields: true }])('work as before, have spans of their own methods only: %j', async methods => {
    const app = await TracedContext.start({ providers }, { methods });
    const { context } = app;
    const use = async (): Promise<void> => {
      const registry = context.get(Registry);
      registry.set('b', 2);
      expect([registry.get('b'), registry.size, await registry.total()]).toEqual([2, 2, 3]);
      const tags = context.get(Tags);
      expect([tags.has('a'), await tags.joined()]).toEqual([true, 'a,b']);
      expect([context.get(Moment).getTime(), await context.get(Moment).year()]).toEqual([Date.parse('2026-12-01T12:00:00Z'), 2026]);
      expect([context.get(List).map(one => one + 1)[1], await context.get(List).first()]).toEqual([7, 5]);
      expect(await context.get(Failure).text()).toBe('failed');
      expect(await context.get<{ promise: Later }>('later').promise).toBe('later');
      expect(context.get<Map<string, number>>('map').get('a')).toBe(1);
      expect(context.get<Date>('date').getTime()).toBe(0);
      expect(context.get<{ find(): string }>('frozen').find()).toBe('found');
      expect([context.get(Guarded) === proxy, await context.get(Guarded).read()]).toEqual([true, 'guarded']);
      expect([Object.isFrozen(context.get(Sealed)), await context.get(Sealed).read()]).toEqual([true, 'sealed']);
    };
    try {
      await app.inRequest(use);
      for (const { prototype, before } of natives) {
        const now = new Map(valuesOf(prototype));
        expect(before.filter(([key, value]) => now.get(key) !== value).map(([key]) => key)).toEqual([]);
        expect(now.size).toBe(before.length);
      }
    } finally {
      await context.close();
    }
    const names = ['Failure.text', 'Guarded.read', 'List.first', 'Moment.year', 'Registry.total', 'Sealed.read', 'Tags.joined'];
    expect(app.hops()).toEqual(['- > request', ...names.map(name => `request > ${name}`)]);
    expect(refused).toEqual([]);
  });
});

@Injectable()
class UsesCls {
  constructor(@Inject(ClsService) private readonly cls: ClsService<{ user: string }>) {}
  async enter(user: string) {
    this.cls.set('user', user);
    await turn();
    return this.leave();
  }
  async leave() {
    await turn();
    return [this.cls.get('user'), this.cls.getId()];
  }
}

@Injectable()
class AppService {
  constructor(@Inject(ClsService) private readonly cls: ClsService) {}
  async whoAmI() {
    await turn();
    return this.cls.getId();
  }
}

describe('nestjs-cls, with methods', () => {
  it('keeps the context of the user through 100 concurrent calls, and its service has no spans', async () => {
    const imports = [ClsModule.forRoot({ global: true })];
    const app = await TracedContext.start({ imports, providers: [UsesCls, AppService] }, { methods: true, fold: false });
    const cls = app.context.get<ClsService<{ user: string }>>(ClsService);
    expect(cls).toBeInstanceOf(ClsService);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        cls.run(async () => {
          cls.set(CLS_ID, `id ${index}`);
          return app.inRequest(async () => [
            ...(await app.context.get(UsesCls).enter(`user ${index}`)),
            await app.context.get(AppService).whoAmI(),
          ]);
        }),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 100 }, (_, index) => [`user ${index}`, `id ${index}`, `id ${index}`]));
    expect(cls.isActive()).toBe(false);
    await app.context.close();
    expect(new Set(app.hops())).toEqual(
      new Set(['- > request', 'request > AppService.whoAmI', 'UsesCls.enter > UsesCls.leave', 'request > UsesCls.enter']),
    );
    expect(app.recorder.spans).toHaveLength(400);
  });

  it('works in requests, by its middleware, with a provider that is a Proxy', async () => {
    const recorder = new TraceRecorder();
    @InjectableProxy()
    class Visitor {
      name = 'nobody';
      async greet() {
        await turn();
        return `Hello ${this.name}`;
      }
    }
    @Controller()
    class Greetings {
      constructor(@Inject(Visitor) private readonly visitor: Visitor) {}
      @Get(':name') async greet(@Param('name') name: string) {
        this.visitor.name = name;
        await turn();
        return this.visitor.greet();
      }
    }
    @Module({
      imports: [
        ClsModule.forRoot({ global: true, middleware: { mount: true }, proxyProviders: [Visitor] }),
        TracingModule.forRoot({ exporter: recorder, methods: true, outbound: { fetch: false, http: false } }),
      ],
      controllers: [Greetings],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const ask = async (index: number): Promise<string> => (await fetch(`${url}/n${index}`)).text();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => ask(index)));
    await app.close();
    expect(answers).toEqual(Array.from({ length: 100 }, (_, index) => `Hello n${index}`));
    expect(recorder.roots).toHaveLength(100);
    expect(recorder.spans.filter(({ name }) => name.startsWith('Cls') && !name.includes('Middleware'))).toEqual([]);
  });
});
