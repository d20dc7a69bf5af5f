/** The Nest module: installs tracing during the start of the application, and removes it at the end. */
import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  type MiddlewareConsumer,
  Module,
  type ModuleMetadata,
  type NestModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  Optional,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ApplicationConfig, ExternalContextCreator, HttpAdapterHost, LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { Tracer } from './api/tracer.js';
import { integrations, loadIntegrations } from './integrations/list.js';
import { handlers } from './nest/handlers.js';
import { NestSeams } from './nest/integration.js';
import { ServerSpanInterceptor } from './nest/server-span.interceptor.js';
import { InboundOperations } from './spans/inbound.js';
import { RunningApplication } from './tracing.application.js';
import { callback, instanceOf, isObject, objectOf } from './options/checks.js';
import { importersOf, isEmpty, reportCopies } from './options/module-imports.js';
import { messages } from './options/messages.js';
import type { TracingOptions } from './options/tracing-options.js';

/**
 * The injection token of the options of `forRoot(options)` or `forRootAsync()`. Tests override the options by it:
 * `Test.createTestingModule({ imports: [AppModule] }).overrideProvider(TRACING_OPTIONS).useValue({ exporter: recorder })`.
 * There is no such provider if no import of the module has options. @publicApi
 */
export const TRACING_OPTIONS = Symbol.for('nestjs-tracing/options');
const RUNNING = Symbol.for('nestjs-tracing/running-application');

/** Creates the options of {@link TracingModule.forRootAsync}. @publicApi */
export interface TracingOptionsFactory {
  createTracingOptions(): TracingOptions | Promise<TracingOptions>;
}

/** How {@link TracingModule.forRootAsync} gets its options: by exactly one of `useFactory`, `useClass`, `useExisting`. @publicApi */
export interface TracingAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** Returns the options. Receives the providers named in `inject`. */
  readonly useFactory?: FactoryProvider<TracingOptions | Promise<TracingOptions>>['useFactory'];
  /** Tokens of the providers that `useFactory` receives. @default [] */
  readonly inject?: FactoryProvider['inject'];
  /** A class that Nest instantiates to create the options. */
  readonly useClass?: Type<TracingOptionsFactory>;
  /** A provider of an imported module that creates the options. */
  readonly useExisting?: Type<TracingOptionsFactory> | string | symbol;
}

/** At the end of the application, Nest calls this module first and {@link TracingModule} last. */
@Module({})
class TracingShutdownModule implements OnModuleDestroy {
  constructor(private readonly modules: ModulesContainer) {
    // At the end, Nest calls modules by their distance from the root, the nearest first, and waits for each.
    for (const module of modules.values()) if (module.metatype === TracingShutdownModule) module.distance = -Infinity;
  }

  /** Other modules close next. They may take longer than the process has, for example to drain a queue. */
  onModuleDestroy(): void {
    RunningApplication.in(this.modules)?.then(
      running => running.exportAtOnce(),
      () => undefined,
    );
  }
}

/** Traces the application that imports it. It is global: import it once, in the root module. @publicApi */
@Module({})
export class TracingModule implements NestModule, OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private readonly inbound: InboundOperations;
  private readonly seams: NestSeams;
  /** True for the one import that installs tracing. False for other imports into the same application. */
  private readonly isInCharge: boolean;

  /** @internal */
  constructor(
    @Optional() @Inject(RUNNING) private readonly running: RunningApplication,
    config: ApplicationConfig,
    modules: ModulesContainer,
    adapterHost: HttpAdapterHost,
    lazyModules: LazyModuleLoader,
    externalContexts: ExternalContextCreator,
  ) {
    if (running === undefined) throw new Error(messages.importedWithoutForRoot());
    const nest = { config, modules, adapterHost, lazyModules, externalContexts };
    this.inbound = new InboundOperations(running);
    this.seams = new NestSeams(running, nest, this.inbound, new ServerSpanInterceptor(this.inbound), this);
    this.isInCharge = running.takeCharge(this);
    if (!this.isInCharge) return;
    for (const integration of [handlers, ...integrations]) {
      if (running.isEnabled || integration.passesThrough === true) integration.install(running, this.seams);
    }
    beFirstAndLast(modules);
  }

  /**
   * Traces the application. Works without options; {@link TracingOptions} names the defaults. Several imports share one tracing: those
   * without options use those of the other import. Different options, or options that are not valid, make the start fail with an error.
   */
  static forRoot(options?: TracingOptions): DynamicModule {
    const isNothingSet = options === undefined || (isObject(options) && isEmpty(options));
    return moduleWith(isNothingSet ? [] : [{ provide: TRACING_OPTIONS, useValue: options }]);
  }

  /**
   * Like {@link forRoot}, with options that other providers help to create. Throws an Error unless exactly one of `useFactory`, `useClass`
   * and `useExisting` is set.
   */
  static forRootAsync(options: TracingAsyncOptions): DynamicModule {
    return moduleWith(optionsProviders(options), options.imports);
  }

  /** Nest configures middleware after it has built gateways, and right before HTTP routes copy the global enhancers. */
  async configure(_consumer: MiddlewareConsumer): Promise<void> {
    if (!this.isInCharge) return;
    this.running.proceed();
    await this.seams.configure();
  }

  onModuleInit(): void {
    if (!this.isInCharge) return;
    this.running.proceed();
    this.seams.init();
  }

  onApplicationBootstrap(): void {
    if (!this.isInCharge) return;
    this.running.succeed();
    this.seams.bootstrap();
  }

  /** Nest has closed its servers by now. Handlers may still be running. */
  async onApplicationShutdown(): Promise<void> {
    if (!this.isInCharge) return;
    this.seams.beginToClose();
    await this.running.finish(() => this.inbound.isAtWork);
    this.seams.close();
    await this.running.stop();
  }
}

/**
 * Makes this module the farthest from the root. Nest calls the farthest first at the start, so tracing sees each provider before its hooks
 * run. Nest calls it last at the end, so work in flight ends before the last export.
 */
function beFirstAndLast(modules: ModulesContainer): void {
  for (const module of modules.values()) if (module.metatype === TracingModule) module.distance = Infinity;
}

/** Builds the module. Without own options it injects those of another import, which exports them globally. */
function moduleWith(optionsProvider: Provider[], imports: ModuleMetadata['imports'] = []): DynamicModule {
  // Reported now, because a start that fails may not create an instance.
  reportCopies();
  return {
    module: TracingModule,
    global: true,
    imports: [TracingShutdownModule, ...imports],
    providers: [
      ...optionsProvider,
      {
        provide: RUNNING,
        inject: [{ token: TRACING_OPTIONS, optional: true }, ModulesContainer],
        useFactory: (options: TracingOptions | undefined, modules: ModulesContainer) =>
          RunningApplication.of(options === undefined ? {} : options, modules, () => importersOf(modules, TracingModule), loadIntegrations),
      },
      {
        provide: Tracer,
        inject: [RUNNING],
        useFactory: (running: RunningApplication) => new Tracer(running),
      },
    ],
    exports: optionsProvider.length === 0 ? [Tracer] : [Tracer, TRACING_OPTIONS],
  };
}

const ASYNC_OPTIONS = [
  'imports',
  'inject',
  'useFactory',
  'useClass',
  'useExisting',
] as const satisfies readonly (keyof TracingAsyncOptions)[];

function optionsProviders(options: TracingAsyncOptions): Provider[] {
  const { useFactory, useClass, useExisting, inject } = objectOf('forRootAsync()', options, ASYNC_OPTIONS);
  const given = [useFactory, useClass, useExisting].filter(way => way !== undefined);
  if (given.length !== 1) throw new Error(messages.asyncOptionsAmbiguous(given.length));
  if (useFactory !== undefined) {
    return [{ provide: TRACING_OPTIONS, useFactory: callback('forRootAsync().useFactory', useFactory), inject }];
  }
  const factory = useClass ?? useExisting ?? '';
  const path = `forRootAsync().${useClass === undefined ? 'useExisting' : 'useClass'}`;
  return [
    {
      provide: TRACING_OPTIONS,
      inject: [factory],
      useFactory: (made: TracingOptionsFactory) => instanceOf('createTracingOptions')(path, made).createTracingOptions(),
    },
    ...(useClass === undefined ? [] : [{ provide: useClass, useClass }]),
  ];
}
