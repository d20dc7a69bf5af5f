import { jest } from '@jest/globals';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { trace, type TracerProvider } from '@opentelemetry/api';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { type Instrumentation, TracingModule, type TracingOptions } from '../../lib/index.js';
import { TraceRecorder } from '../../lib/testing/index.js';

const NAME = 'instrumentation-example';

/** Makes spans like an instrumentation: as long as it is enabled, with the provider that it was given last. */
class ExampleInstrumentation implements Instrumentation {
  readonly instrumentationName = NAME;
  readonly steps: string[] = [];
  provider: TracerProvider = trace.getTracerProvider();
  protected isOn: boolean;

  constructor(private readonly config = { enabled: true }) {
    this.isOn = config.enabled;
  }

  getConfig() {
    return this.config;
  }

  setTracerProvider(provider: TracerProvider): void {
    this.steps.push('provider');
    this.provider = provider;
  }

  enable(): void {
    this.steps.push('enable');
    this.isOn = true;
  }

  disable(): void {
    this.steps.push('disable');
    this.isOn = false;
  }

  call(): void {
    if (this.isOn) this.provider.getTracer(NAME).startSpan('call').end();
  }
}

async function start(options: TracingOptions) {
  @Module({ imports: [TracingModule.forRoot(options)] })
  class AppModule {}
  return NestFactory.createApplicationContext(AppModule, { logger: false });
}

describe('The option instrumentations', () => {
  afterEach(() => {
    delete process.env.OTEL_SDK_DISABLED;
  });

  const namesIn = (recorder: TraceRecorder) =>
    recorder.spans.map(({ name, instrumentationScope }) => `${instrumentationScope.name}: ${name}`);

  it('records spans of an instrumentation while the application runs', async () => {
    const instrumentation = new ExampleInstrumentation();
    const recorder = new TraceRecorder();
    instrumentation.call();
    const app = await start({ exporter: recorder, instrumentations: [instrumentation] });
    instrumentation.call();
    await app.close();
    instrumentation.call();
    expect(namesIn(recorder)).toEqual([`${NAME}: call`]);
    // It was enabled when it was created.
    expect(instrumentation.steps).toEqual(['provider', 'disable']);
  });

  it('enables an instrumentation that is not, and once if the list has it twice', async () => {
    const instrumentation = new ExampleInstrumentation({ enabled: false });
    const recorder = new TraceRecorder();
    const app = await start({ exporter: recorder, instrumentations: [instrumentation, instrumentation] });
    instrumentation.call();
    await app.close();
    expect(namesIn(recorder)).toEqual([`${NAME}: call`]);
    expect(instrumentation.steps).toEqual(['provider', 'enable', 'disable']);
  });

  it('works again for an application that starts after the first one', async () => {
    const instrumentation = new ExampleInstrumentation();
    for (const recorder of [new TraceRecorder(), new TraceRecorder()]) {
      const app = await start({ exporter: recorder, instrumentations: [instrumentation] });
      instrumentation.call();
      await app.close();
      expect(namesIn(recorder)).toEqual([`${NAME}: call`]);
    }
  });

  it('goes on for the other application if one of two that share it ends', async () => {
    const instrumentation = new ExampleInstrumentation();
    const [first, second] = [new TraceRecorder(), new TraceRecorder()];
    const one = await start({ exporter: first, instrumentations: [instrumentation] });
    const other = await start({ exporter: second, instrumentations: [instrumentation] });
    await other.close();
    instrumentation.call();
    await one.close();
    instrumentation.call();
    expect([namesIn(first), namesIn(second)]).toEqual([[`${NAME}: call`], []]);
    expect(instrumentation.steps.filter(step => step === 'disable')).toHaveLength(1);
  });

  it('disables the instrumentation of a start that failed', async () => {
    const instrumentation = new ExampleInstrumentation();
    @Module({
      imports: [TracingModule.forRoot({ exporter: 'none', instrumentations: [instrumentation] })],
      providers: [{ provide: 'broken', useFactory: () => Promise.reject(new Error('no database')) }],
    })
    class BrokenModule {}
    await expect(NestFactory.createApplicationContext(BrokenModule, { logger: false, abortOnError: false })).rejects.toThrow('no database');
    const app = await start({ exporter: 'none' });
    expect(instrumentation.steps.at(-1)).toBe('disable');
    await app.close();
  });

  it('uses the provider of the option tracerProvider', async () => {
    const instrumentation = new ExampleInstrumentation();
    const provider = new NodeTracerProvider();
    const app = await start({ tracerProvider: provider, instrumentations: [instrumentation] });
    expect(instrumentation.provider).toBe(provider);
    await app.close();
  });

  it('uses a provider that is registered already', async () => {
    const instrumentation = new ExampleInstrumentation();
    const getTracer = jest.fn((name: string) => new NodeTracerProvider().getTracer(name));
    trace.setGlobalTracerProvider({ getTracer });
    const app = await start({ instrumentations: [instrumentation] });
    instrumentation.call();
    expect(getTracer.mock.calls.map(([name]) => name)).toContain(NAME);
    await app.close();
    trace.disable();
  });

  it('registers nothing if tracing is disabled', async () => {
    const instrumentation = new ExampleInstrumentation();
    const app = await start({ enabled: false, instrumentations: [instrumentation] });
    await app.close();
    process.env.OTEL_SDK_DISABLED = 'true';
    const other = await start({ instrumentations: [instrumentation] });
    await other.close();
    expect(instrumentation.steps).toEqual([]);
  });

  it.each(['setTracerProvider', 'enable', 'disable'] as const)(
    'logs once that an instrumentation throws in %s(), and goes on',
    async method => {
      const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
      const broken = new ExampleInstrumentation({ enabled: false });
      Object.assign(broken, {
        instrumentationName: `broken-${method}`,
        [method]: () => {
          throw new Error('not today');
        },
      });
      const working = new ExampleInstrumentation();
      const recorder = new TraceRecorder();
      for (let count = 0; count < 2; count++) {
        const app = await start({ exporter: recorder, instrumentations: [broken, working] });
        working.call();
        await app.close();
      }
      expect(namesIn(recorder)).toEqual([`${NAME}: call`, `${NAME}: call`]);
      const said = warn.mock.calls.map(([message]) => String(message)).filter(message => message.includes('broken-'));
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(new RegExp(`^The instrumentation "broken-${method}" threw in ${method}\\(\\)\\..*not today`));
      warn.mockRestore();
    },
  );
});
