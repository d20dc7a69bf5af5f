import { Controller, Get, Inject, Injectable, Module, type ModuleMetadata, forwardRef } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { context } from '@opentelemetry/api';
import { concat, delay, firstValueFrom, lastValueFrom, NEVER, Observable, of, throwError } from 'rxjs';
import { NoSpan, Span, SpanAttribute, Tracer, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

/** In milliseconds. */
function durationOf({ recorder }: TracedContext, name: string): number {
  const { startTime, endTime } = recorder.find(name) ?? { startTime: [0, 0], endTime: [0, 0] };
  return (endTime[0] - startTime[0]) * 1000 + (endTime[1] - startTime[1]) / 1e6;
}

class Animals {
  async inherited() {
    await turn();
    return this.name();
  }
  async overridden() {
    await turn();
    return 'above';
  }
  protected name() {
    return 'animal';
  }
}

@Injectable()
class Cats extends Animals {
  readonly #secret = 'purr';
  private reads = 0;
  static async count() {
    await turn();
    return 9;
  }
  get read() {
    return (this.reads += 1);
  }
  async inner() {
    await turn();
    return this.#secret;
  }
  async outer() {
    return [await this.inner(), await this.later()];
  }
  private async later() {
    await turn();
    return this.reads;
  }
  override async overridden() {
    return `below ${await super.overridden()}`;
  }
  sync() {
    return 'sync';
  }
  async fails() {
    await turn();
    throw new TypeError('no cat');
  }
  failsAtOnce(): never {
    throw new RangeError('no cat at all');
  }
  stream(): Observable<number> {
    return concat(of(1), of(2).pipe(delay(20)));
  }
  failing(): Observable<never> {
    return throwError(() => new TypeError('in the stream'));
  }
  endless(): Observable<never> {
    return NEVER;
  }
  *steps() {
    yield 1;
    yield 2;
  }
  async *asyncSteps() {
    yield await Promise.resolve(1);
    await turn();
    yield 2;
  }
  @Span('decorated') async decorated() {
    await turn();
  }
  @NoSpan() async hidden() {
    await this.inner();
  }
  async recorded(@SpanAttribute('cat.id') id: number) {
    await turn();
    return id;
  }
  onModuleInit() {}
}

@Injectable()
class Left {
  constructor(@Inject(forwardRef(() => Right)) readonly right: object) {}
  async left() {
    await turn();
    return this;
  }
}

@Injectable()
class Right {
  constructor(@Inject(forwardRef(() => Left)) readonly left: Left) {}
  async right() {
    return this.left.left();
  }
}

@Injectable()
class Frozen {
  constructor() {
    Object.freeze(this);
  }
  async frozen() {
    await turn();
  }
}

@Injectable()
class AppConfig {
  async get() {
    await turn();
  }
}

@Injectable()
class FileLogger {
  log() {}
  error() {}
  async warn() {
    await turn();
  }
}

@Controller()
class CatsController {
  constructor(private readonly cats: Cats) {}
  @Get() async all() {
    return this.helper();
  }
  private async helper() {
    return this.cats.inner();
  }
}

describe('methods: true', () => {
  const originals = { inner: Cats.prototype.inner, count: Cats.count, inherited: Animals.prototype.inherited };
  let app: TracedContext;
  let cats: Cats;

  beforeAll(async () => {
    const module = { providers: [Cats, Left, Right, Frozen, AppConfig, FileLogger], controllers: [CatsController] };
    app = await TracedContext.start(module, { methods: { countBelowMs: 0 } });
    cats = app.context.get(Cats);
  });
  beforeEach(() => app.recorder.clear());
  afterAll(() => app.context.close());

  const hops = async (fn: () => unknown): Promise<string[]> => {
    await app.inRequest(async () => {
      await fn();
    });
    return app.hops().filter(hop => hop !== '- > request');
  };

  it('makes a span of each call below the active span, private methods and private members included', async () => {
    expect(await hops(() => cats.outer())).toEqual(['Cats.outer > Cats.inner', 'Cats.outer > Cats.later', 'request > Cats.outer']);
    expect(app.recorder.find('Cats.inner')?.attributes['code.function.name']).toBe('Cats.inner');
  });

  it('makes no span outside of a recording span', async () => {
    await cats.outer();
    expect(app.recorder.spans).toEqual([]);
  });

  it('makes spans of static methods, and of inherited ones by the name of the class of the instance', async () => {
    expect(await hops(() => Cats.count())).toEqual(['request > Cats.count']);
    app.recorder.clear();
    expect(await hops(() => cats.inherited())).toEqual(['Cats.inherited > Cats.name', 'request > Cats.inherited']);
  });

  it('makes one span of a method that calls the one above by super', async () => {
    expect(await hops(() => cats.overridden())).toEqual(['request > Cats.overridden']);
  });

  it('fails the span of a method that throws or rejects, and throws the same error', async () => {
    await hops(() => cats.fails().catch(() => undefined));
    await hops(() => expect(() => cats.failsAtOnce()).toThrow(RangeError));
    expect(app.recorder.find('Cats.fails')?.attributes['error.type']).toBe('TypeError');
    expect(app.recorder.find('Cats.failsAtOnce')?.attributes['error.type']).toBe('RangeError');
  });

  it('times an Observable from its subscription to its end', async () => {
    expect(await hops(() => lastValueFrom(cats.stream()))).toEqual(['request > Cats.stream']);
    expect(durationOf(app, 'Cats.stream')).toBeGreaterThan(15);
    app.recorder.clear();
    await hops(() => firstValueFrom(cats.failing()).catch(() => undefined));
    expect(app.recorder.find('Cats.failing')?.attributes['error.type']).toBe('TypeError');
    app.recorder.clear();
    await hops(() => cats.endless().subscribe().unsubscribe());
    expect(app.recorder.find('Cats.endless')).toBeDefined();
    app.recorder.clear();
    await hops(() => cats.stream());
    expect(app.recorder.find('Cats.stream')).toBeUndefined();
  });

  it('times generators from the first step to the last', async () => {
    expect(await hops(() => [...cats.steps()])).toEqual(['request > Cats.steps']);
    app.recorder.clear();
    const read = async (): Promise<void> => {
      for await (const _step of cats.asyncSteps());
    };
    expect(await hops(read)).toEqual(['request > Cats.asyncSteps']);
  });

  it('makes one span of a method with @Span(), and none of one with @NoSpan(), which hides only itself', async () => {
    expect(await hops(() => cats.decorated())).toEqual(['request > decorated']);
    app.recorder.clear();
    expect(await hops(() => cats.hidden())).toEqual(['request > Cats.inner']);
  });

  it('records arguments with @SpanAttribute()', async () => {
    await hops(() => cats.recorded(7));
    expect(app.recorder.find('Cats.recorded')?.attributes['cat.id']).toBe(7);
  });

  it('makes no span of configuration, loggers and lifecycle hooks', async () => {
    await hops(async () => {
      await app.context.get(AppConfig).get();
      await app.context.get(FileLogger).warn();
      cats.onModuleInit();
    });
    expect(app.recorder.spans.map(({ name }) => name)).toEqual(['request']);
  });

  it('makes no second span of a handler, but one of each other method of its controller', async () => {
    const controller = app.context.get(CatsController);
    expect(await hops(() => controller.all())).toEqual(['CatsController.helper > Cats.inner', 'request > CatsController.helper']);
  });

  it('reads no getter, and leaves identity, instanceof, own keys and frozen objects as they are', async () => {
    const [left, right] = [app.context.get(Left), app.context.get(Right)];
    expect(await hops(() => right.right())).toEqual(['Right.right > Left.left', 'request > Right.right']);
    expect(left.right).toBe(right);
    expect(await app.inRequest(() => left.left())).toBe(left);
    expect(cats).toBeInstanceOf(Cats);
    expect(Object.keys(cats)).toEqual(['reads']);
    expect(cats.read).toBe(1);
    app.recorder.clear();
    expect(await hops(() => app.context.get(Frozen).frozen())).toEqual(['request > Frozen.frozen']);
  });

  it('passes on this of a borrowed call', async () => {
    const other = { inner: cats.inner, name: () => 'other', inherited: cats.inherited };
    expect(await app.inRequest(() => other.inherited())).toBe('other');
    await expect(app.inRequest(() => other.inner())).rejects.toThrow(TypeError);
  });

  it('keeps name, length and metadata of a method', () => {
    expect([cats.inner.name, cats.recorded.length]).toEqual(['inner', 1]);
  });

  it('keeps parents apart in a hundred concurrent requests', async () => {
    await Promise.all(Array.from({ length: 100 }, () => app.inRequest(() => cats.outer())));
    for (const span of app.recorder.spans.filter(({ name }) => name === 'Cats.inner')) {
      expect(app.recorder.parentOf(span)?.spanContext().traceId).toBe(span.spanContext().traceId);
      expect(app.recorder.parentOf(span)?.name).toBe('Cats.outer');
    }
    expect(app.recorder.spans).toHaveLength(400);
  });

  it('sees methods of objects that are made with new', async () => {
    expect(await hops(() => new Cats().inner())).toEqual(['request > Cats.inner']);
  });

  it('puts the methods back when the application closes', async () => {
    expect(Cats.prototype.inner).not.toBe(originals.inner);
    await app.context.close();
    expect({ inner: Cats.prototype.inner, count: Cats.count, inherited: Animals.prototype.inherited }).toEqual(originals);
  });
});

describe('methods under a TestingModule', () => {
  const tracing = (exporter: TraceRecorder) => TracingModule.forRoot({ exporter, methods: true });

  @Module({ providers: [Cats] })
  class CatsModule {}

  it.each([
    ['a module of the application', { imports: [CatsModule] }],
    ['the test itself', { providers: [Cats] }],
  ])('makes the same spans of providers of %s', async (_place, { imports = [], providers = [] }: ModuleMetadata) => {
    const recorder = new TraceRecorder();
    const module = await Test.createTestingModule({ imports: [...imports, tracing(recorder)], providers }).compile();
    await module.init();
    await module.get(Tracer).span('request', () => module.get(Cats, { strict: false }).outer());
    await module.close();
    expect(recorder.tree()).toBe('request\n  Cats.outer\n    Cats.inner\n    Cats.later');
  });
});

describe('a method outside of tracing', () => {
  it('is the original one without the option', async () => {
    const app = await TracedContext.start({ providers: [Cats] });
    const before = Object.getOwnPropertyDescriptor(Cats.prototype, 'inner')?.value as unknown;
    await app.inRequest(() => app.context.get(Cats).outer());
    await app.context.close();
    expect(app.recorder.spans.map(({ name }) => name)).toEqual(['request']);
    expect(before).toBe(Cats.prototype.inner);
    expect(context.active()).toBeDefined();
  });
});
