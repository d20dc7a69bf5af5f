/** What an integration is, and its access to Nest: providers, configuration and lifecycle. */
import { EventEmitter } from 'node:events';
import type { NestInterceptor } from '@nestjs/common';
import type {
  AbstractHttpAdapter,
  ApplicationConfig,
  ExternalContextCreator,
  HttpAdapterHost,
  LazyModuleLoader,
  ModulesContainer,
} from '@nestjs/core';
import type { ResolvedTracingOptions } from '../options/resolved-options.js';
import type { InboundOperations } from '../spans/inbound.js';
import type { TracingApplication } from '../spans/work.js';
import { ProviderSearch, type ProviderTracing } from '../wrapping/provider-search.js';
import { type Method, undoAll } from '../wrapping/replace-method.js';

/** How one technology is traced. @internal */
export interface Integration {
  /** The name of its folder. */
  readonly name: string;
  /** True if it is also installed while tracing is disabled, to pass a caller's context on to outgoing calls. @default false */
  readonly passesThrough?: boolean;
  /** Loads code that not every application needs. Called before {@link install}, unless tracing is disabled. */
  load?(options: ResolvedTracingOptions): Promise<void>;
  /** Called once for each application, before Nest makes providers. Must register with `nest` how to undo all that it sets up. */
  install(application: TracingApplication, nest: NestSeams): void;
}

type Step = () => void;

/** A function that a user gives to the HTTP framework: middleware of Express and middie, or a hook of Fastify. @internal */
export interface FrameworkLayer {
  readonly fn: Method;
  /** The name of the hook. Undefined for middleware. */
  readonly hook?: string;
  /** The name of the plugin of Fastify that adds the hook. */
  readonly plugin?: string | undefined;
}

/** The part of the application that integrations use. */
interface ApplicationParts {
  readonly startedAt: number | undefined;
  whileInForce(install: () => Step): void;
  exportAtOnce(): void;
}

interface NestParts {
  readonly config: ApplicationConfig;
  readonly modules: ModulesContainer;
  readonly adapterHost: HttpAdapterHost;
  readonly lazyModules: LazyModuleLoader;
  readonly externalContexts: ExternalContextCreator;
}

/** The places at which integrations hook into one Nest application. @internal */
export class NestSeams {
  readonly config: ApplicationConfig;
  readonly modules: ModulesContainer;
  readonly externalContexts: ExternalContextCreator;
  private readonly configuring: (() => void | Promise<void>)[] = [];
  private readonly initializing: Step[] = [];
  private readonly bootstrapping: Step[] = [];
  private readonly closing: Step[] = [];
  private readonly undo: Step[] = [];
  private traceLayer: ((layer: FrameworkLayer) => Method) | undefined = undefined;
  private readonly pollers: ((server: object, path: string) => void)[] = [];
  private readonly tracings: ProviderTracing[] = [];
  private readonly providers: ProviderSearch;
  private isClosed = false;

  constructor(
    private readonly application: ApplicationParts,
    private readonly nest: NestParts,
    /** Opens the spans of inbound operations. */
    readonly inbound: InboundOperations,
    /** Our global interceptor. Code that wraps all interceptors must skip it. */
    readonly interceptor: NestInterceptor,
    /** The module that calls the integrations. They do not get it as a provider. */
    self: object,
  ) {
    this.config = nest.config;
    this.modules = nest.modules;
    this.externalContexts = nest.externalContexts;
    this.providers = new ProviderSearch(nest.modules, nest.lazyModules, self);
  }

  /** When the start of the application began, in milliseconds since 1970. Undefined if `startUp` is off. */
  get startedAt(): number | undefined {
    return this.application.startedAt;
  }

  /** Calls `step` with the HTTP adapter, as soon as there is one. */
  onAdapter(step: (adapter: AbstractHttpAdapter) => void): void {
    const { adapterHost } = this.nest;
    // Fires at once if the adapter exists. With a TestingModule it fires when the application is created.
    const subscription = adapterHost.init$.subscribe(() => {
      const adapter = adapterHost.httpAdapter as AbstractHttpAdapter | null | undefined;
      if (adapter !== null && adapter !== undefined) step(adapter);
    });
    this.undo.push(() => subscription.unsubscribe());
  }

  /** Returns the HTTP server, from {@link onInit} on. Returns undefined if there is none, or if it is not an EventEmitter. */
  httpServer(): EventEmitter | undefined {
    const server: unknown = this.nest.adapterHost.httpAdapter?.getHttpServer();
    return server instanceof EventEmitter ? server : undefined;
  }

  /** Calls `step` when gateways are built, before routes are registered. `isFirst`: before the steps of other integrations. */
  onConfigure(step: () => void | Promise<void>, isFirst = false): void {
    if (isFirst) this.configuring.unshift(step);
    else this.configuring.push(step);
  }

  /** Calls `step` when routes are registered and all providers are made, before any other `onModuleInit`. */
  onInit(step: Step): void {
    this.initializing.push(step);
  }

  /** Calls `step` after every `onModuleInit`. */
  onBootstrap(step: Step): void {
    this.bootstrapping.push(step);
  }

  /** Calls `step` when the application begins to close. Handlers may still be running. */
  onClosing(step: Step): void {
    this.closing.push(step);
  }

  /** Calls `step` when handlers are done or given up, to undo what the integration has set up. Calls the last step first. */
  onClose(step: Step): void {
    this.undo.push(step);
  }

  /** Traces the providers that `tracing` finds, from {@link onInit} on, also those that are made or loaded later. */
  eachProvider(tracing: ProviderTracing): void {
    this.tracings.push(tracing);
  }

  /** Calls `install` when this application comes into force, for hooks that applications share. `install` returns how to undo it. */
  whileInForce(install: () => Step): void {
    this.application.whileInForce(install);
  }

  /** Keeps our interceptor out of handlers that Nest builds next: it would turn every answer into a stream. */
  withdrawInterceptor(): void {
    const interceptors = this.config.getGlobalInterceptors();
    const position = interceptors.indexOf(this.interceptor);
    if (position >= 0) interceptors.splice(position, 1);
  }

  /** Announces a path that socket clients poll: requests below it get no span. */
  announcePolling(server: object, path: string): void {
    for (const step of this.pollers) step(server, path);
  }

  onPolling(step: (server: object, path: string) => void): void {
    this.pollers.push(step);
  }

  /** Wraps each layer that the HTTP framework gets from now on, and on Express also those that it has. */
  onLayer(trace: (layer: FrameworkLayer) => Method): void {
    this.traceLayer = trace;
  }

  /** True if something wraps layers. */
  get hasLayerTracing(): boolean {
    return this.traceLayer !== undefined;
  }

  /** Returns what the framework gets in place of the layer. */
  layer(layer: FrameworkLayer): Method {
    return this.traceLayer?.(layer) ?? layer.fn;
  }

  /** Exports spans as soon as they end, because the application begins to close. */
  exportAtOnce(): void {
    this.application.exportAtOnce();
  }

  /** Called by the module, like all methods below, when Nest configures middleware. */
  async configure(): Promise<void> {
    for (const step of this.configuring) await step();
  }

  /** Called before any other `onModuleInit`. */
  init(): void {
    for (const step of this.initializing) step();
    // Applications may share clients, so these are traced while the application is in force. Other providers belong to it alone.
    const clients = this.tracings.filter(({ everyInstance }) => everyInstance === true);
    this.whileInForce(() => this.providers.trace(clients));
    this.undo.push(this.providers.trace(this.tracings.filter(tracing => !clients.includes(tracing))));
  }

  /** Called before any other `onApplicationBootstrap`. */
  bootstrap(): void {
    for (const step of this.bootstrapping) step();
    // Finds what providers made in `onModuleInit`, and a moment later what they make in `onApplicationBootstrap`.
    this.lookAgain();
    setImmediate(() => this.lookAgain());
  }

  beginToClose(): void {
    this.isClosed = true;
    for (const step of this.closing) step();
  }

  /** Called when handlers are done or given up. */
  close(): void {
    this.inbound.close();
    undoAll(this.undo)();
  }

  private lookAgain(): void {
    if (!this.isClosed) this.providers.lookAgain();
  }
}
