/** Wires tracing into a Nest application: when each hook is set, and that all of them are taken out again. */
import { EventEmitter } from 'node:events';
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
  type OnModuleInit,
  Optional,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, LazyModuleLoader, ModulesContainer } from '@nestjs/core';
import { Arrivals } from './inbound/arrival.js';
import { workersEntrance } from './inbound/bullmq.js';
import { entrancesOf } from './inbound/entrances.js';
import { witnessHandlers } from './inbound/controller-handlers.js';
import { ExceptionObserver } from './inbound/exception-observer.filter.js';
import { traceGraphql } from './inbound/graphql.js';
import { HttpServerTracing } from './inbound/http-server.js';
import { traceRpcServers } from './inbound/rpc-server.js';
import { traceGateways, witnessGateways } from './inbound/websocket-adapter.js';
import { ServerSpanInterceptor } from './inbound/server-span.interceptor.js';
import { StartUp } from './inbound/start-up.js';
import { openEntrances } from './inbound/static-providers.js';
import { undoAll } from './local/replace-method.js';
import { Tracer } from './local/tracer.js';
import { installLogCorrelation } from './logs/log-correlation.js';
import { traceJobProducers } from './outbound/bullmq.js';
import { traceClientProxies } from './outbound/client-proxies.js';
import { traceFetch } from './outbound/fetch.js';
import { traceHttpServices } from './outbound/http-service.js';
import { RunningApplication } from './tracing.application.js';
import { messages } from './tracing.messages.js';
import type { TracingOptions } from './tracing.options.js';

const OPTIONS = Symbol.for('nestjs-tracing/options');
const RUNNING = Symbol.for('nestjs-tracing/running-application');

/** Makes the options of {@link TracingModule.forRootAsync}. @publicApi */
export interface TracingOptionsFactory {
  createTracingOptions(): TracingOptions | Promise<TracingOptions>;
}

/** How {@link TracingModule.forRootAsync} comes by its options: exactly one of `useFactory`, `useClass`, `useExisting`. @publicApi */
export interface TracingAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** Returns the options; receives the providers named in `inject`. */
  readonly useFactory?: FactoryProvider<TracingOptions | Promise<TracingOptions>>['useFactory'];
  /** Tokens of what `useFactory` receives. @default [] */
  readonly inject?: FactoryProvider['inject'];
  /** A class that is instantiated to make the options. */
  readonly useClass?: Type<TracingOptionsFactory>;
  /** A provider of an imported module that makes the options. */
  readonly useExisting?: Type<TracingOptionsFactory> | string | symbol;
}

/** Traces the application that imports it. Global: import it once, in the root module. @publicApi */
@Module({})
export class TracingModule implements NestModule, OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private readonly interceptor: ServerSpanInterceptor;
  private readonly http: HttpServerTracing;
  private readonly arrivals: Arrivals;
  /** False for a second import into the same application, and for one without `forRoot()`. */
  private readonly isInCharge: boolean;
  private readonly adapterReady: { unsubscribe(): void } | undefined;
  private readonly startUp: StartUp | undefined;
  private isClosed = false;
  /** What ends the tracing of what else enters. */
  private readonly entrances: (() => void)[] = [];

  /** Nest's to call. @internal */
  constructor(
    @Optional() @Inject(RUNNING) private readonly running: RunningApplication,
    private readonly config: ApplicationConfig,
    private readonly modules: ModulesContainer,
    private readonly adapterHost: HttpAdapterHost,
    private readonly lazyModules: LazyModuleLoader,
  ) {
    if (running === undefined) throw new Error(messages.importedWithoutForRoot());
    this.interceptor = new ServerSpanInterceptor(running);
    this.http = new HttpServerTracing(running, config);
    this.arrivals = new Arrivals(running);
    this.isInCharge = running.takeCharge(this);
    if (!this.isInCharge) return;
    if (running.isEnabled) config.addGlobalInterceptor(this.interceptor);
    // Interceptors make streams of what handlers return, also where there is nothing for them to do.
    const onSeam = () => this.withdrawInterceptor();
    this.entrances.push(
      traceRpcServers(modules, this.arrivals, onSeam),
      traceGateways(running, config, modules, this.arrivals, {
        onAdapter: onSeam,
        onPolling: (server, path) => this.http.leaveToSockets(server, path),
      }),
    );
    this.beFirstAndLast();
    if (!running.isEnabled) return;
    const { startedAt } = running;
    if (startedAt !== undefined) this.startUp = new StartUp(running, startedAt, () => running.deliver());
    // Controllers are classes only so far: what wraps their handlers now is what the routers find later.
    for (const controller of this.controllers()) running.whileInForce(() => witnessHandlers(controller));
    running.whileInForce(() => witnessGateways(modules));
    // Fires at once where the adapter exists already; under a TestingModule when the application is created.
    this.adapterReady = adapterHost.init$.subscribe(() => this.http.hookAdapter(adapterHost.httpAdapter));
    running.whileInForce(() => installLogCorrelation(running));
  }

  /** Traces the application. Works without options; see {@link TracingOptions} for what can be set. */
  static forRoot(options: TracingOptions = {}): DynamicModule {
    return moduleWith([{ provide: OPTIONS, useValue: options }]);
  }

  /** As {@link forRoot}, with options that other providers help to make. */
  static forRootAsync(options: TracingAsyncOptions): DynamicModule {
    return moduleWith(optionsProviders(options), options.imports);
  }

  /** Middleware is configured after gateways were built and right before HTTP routes take their copy of the global enhancers. */
  async configure(_consumer: MiddlewareConsumer): Promise<void> {
    if (!this.isInCharge) return;
    this.running.proceed();
    if (this.running.isEnabled) {
      this.withdrawInterceptor();
      this.config.addGlobalFilter(new ExceptionObserver());
    }
    await traceGraphql(this.running, this.modules, this.arrivals);
  }

  onModuleInit(): void {
    if (!this.isInCharge) return;
    this.running.proceed();
    // Routes are registered: whatever is built from here on carries the interceptor again.
    const interceptors = this.config.getGlobalInterceptors();
    if (this.running.isEnabled && !interceptors.includes(this.interceptor)) interceptors.unshift(this.interceptor);
    const server: unknown = this.adapterHost.httpAdapter?.getHttpServer();
    if (server instanceof EventEmitter) this.http.hookServer(server);
    this.running.whileInForce(() => traceHttpServices(this.modules, this.lazyModules));
    this.running.whileInForce(() => traceClientProxies(this.running, this.modules, this.lazyModules));
    this.running.whileInForce(() => traceJobProducers(this.modules, this.lazyModules));
    this.entrances.push(
      openEntrances(
        this.modules,
        entrancesOf(this.running, this.arrivals, () => this.running.deliver()),
      ),
    );
    this.startUp?.instantiated(this.modules, server instanceof EventEmitter ? server : undefined, this);
    if (this.running.outbound.fetch) this.running.whileInForce(traceFetch);
  }

  onApplicationBootstrap(): void {
    if (!this.isInCharge) return;
    this.running.succeed();
    this.startUp?.bootstrapping();
    // What providers made when their modules were initialized; what they make now comes in a moment.
    this.lookAgain();
    setImmediate(() => this.lookAgain());
  }

  /** The HTTP server has been closed by now: what was in flight has ended. */
  async onApplicationShutdown(): Promise<void> {
    if (!this.isInCharge) return;
    this.http.close();
    this.isClosed = true;
    this.startUp?.close();
    this.arrivals.close();
    undoAll(this.entrances.splice(0))();
    this.adapterReady?.unsubscribe();
    await this.running.stop();
  }

  private lookAgain(): void {
    if (this.isClosed) return;
    this.running.whileInForce(() => traceClientProxies(this.running, this.modules, this.lazyModules));
    this.running.whileInForce(() => traceJobProducers(this.modules, this.lazyModules));
    this.entrances.push(openEntrances(this.modules, [workersEntrance(this.arrivals)]));
  }

  /**
   * Nest calls the hooks of modules by their distance from the root, and when closing the other way round: every provider is looked at
   * before its hooks run, and what is under way when the application closes ends before its spans are delivered.
   */
  private beFirstAndLast(): void {
    for (const module of this.modules.values()) if (module.metatype === TracingModule) module.distance = Infinity;
  }

  private withdrawInterceptor(): void {
    const interceptors = this.config.getGlobalInterceptors();
    const position = interceptors.indexOf(this.interceptor);
    if (position >= 0) interceptors.splice(position, 1);
  }

  private *controllers(): Generator<Type> {
    for (const module of this.modules.values()) {
      for (const { metatype } of module.controllers.values()) {
        if (typeof metatype === 'function') yield metatype as Type;
      }
    }
  }
}

function moduleWith(optionsProvider: Provider[], imports: ModuleMetadata['imports'] = []): DynamicModule {
  return {
    module: TracingModule,
    global: true,
    imports,
    providers: [
      ...optionsProvider,
      {
        provide: RUNNING,
        inject: [OPTIONS, ModulesContainer],
        useFactory: RunningApplication.of,
      },
      {
        provide: Tracer,
        inject: [RUNNING],
        useFactory: (running: RunningApplication) => new Tracer(running),
      },
    ],
    exports: [Tracer],
  };
}

function optionsProviders({ useFactory, useClass, useExisting, inject }: TracingAsyncOptions): Provider[] {
  const given = [useFactory, useClass, useExisting].filter(way => way !== undefined);
  if (given.length !== 1) throw new Error(messages.asyncOptionsAmbiguous(given.length));
  if (useFactory !== undefined) return [{ provide: OPTIONS, useFactory, inject }];
  const factory = useClass ?? useExisting ?? '';
  return [
    {
      provide: OPTIONS,
      inject: [factory],
      useFactory: (made: TracingOptionsFactory) => made.createTracingOptions(),
    },
    ...(useClass === undefined ? [] : [{ provide: useClass, useClass }]),
  ];
}
