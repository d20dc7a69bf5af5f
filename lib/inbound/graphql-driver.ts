/** What the drivers of the GraphQL modules of an application are started with: Apollo's, Mercurius's and those made from them. */
import type { ModulesContainer } from '@nestjs/core';
import { type Method, replaceMethod, undoAll } from '../local/replace-method.js';
import { reportTrouble } from '../local/trouble.js';
import type { TracingApplication } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { Arrivals } from './arrival.js';
import { apolloPlugin } from './graphql-apollo.js';
import type { Resolve, Schema } from './graphql-document.js';
import { declaredResolvers, isResolver, witnessResolvers } from './graphql-field.js';
import { isGraphqlInstrumented } from './graphql-instrumentation.js';
import { traceMercurius } from './graphql-mercurius.js';
import { Operations } from './graphql-operation.js';
import { traceSchema } from './graphql-schema.js';
import { Subscriptions } from './graphql-subscription.js';
import { tracedGraphqlWs } from './graphql-ws.js';
import { CarrierSearch } from './websocket-carrier.js';
import { guard } from './graphql-guard.js';

/** The settings that a driver is started with. */
interface DriverOptions {
  readonly schema?: Schema;
  readonly path?: string;
  readonly plugins?: readonly unknown[];
  readonly fieldResolver?: Resolve;
  readonly context?: unknown;
  /** Of Apollo. */
  readonly subscriptions?: Readonly<Record<string, unknown>> | undefined;
  readonly installSubscriptionHandlers?: boolean;
  /** Of Mercurius. */
  readonly subscription?: unknown;
}

/**
 * Traces `drivers`, none of which must have been started, and the resolvers of their application, of which Nest must not have looked at any
 * yet. Returns what undoes it. @internal
 */
export function traceDrivers(
  drivers: readonly object[],
  application: TracingApplication,
  modules: ModulesContainer,
  arrivals: Arrivals,
): () => void {
  const undo = application.isEnabled ? [...resolversOf(modules)].map(witnessResolvers) : [];
  for (const driver of drivers) {
    try {
      const search = new CarrierSearch(application.propagator.fields(), headers => arrivals.hasContext(headers));
      undo.push(new TracedDriver(driver, application, modules, arrivals, search).undo);
    } catch (error) {
      reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
    }
  }
  return undoAll(undo);
}

class TracedDriver {
  readonly undo: () => void;
  private readonly operations: Operations;
  private readonly subscriptions: Subscriptions;
  private readonly steps: (() => void)[] = [];

  constructor(
    private readonly driver: object,
    application: TracingApplication,
    private readonly modules: ModulesContainer,
    private readonly arrivals: Arrivals,
    private readonly search: CarrierSearch,
  ) {
    this.operations = new Operations(application);
    this.subscriptions = new Subscriptions(this.operations, arrivals, search);
    this.steps.push(replaceMethod(driver, 'start', start => this.starting(start)));
    this.undo = () => undoAll(this.steps)();
  }

  private starting(start: Method): Method {
    const prepare = (options: DriverOptions, isLeftToOthers: boolean) => this.prepare(options, isLeftToOthers);
    const finish = (options: DriverOptions, isLeftToOthers: boolean) => this.finish(options, isLeftToOthers);
    const { isEnabled } = this.operations.application;
    return async function (options, ...rest) {
      const given = (options ?? {}) as DriverOptions;
      // The context of requests is passed on in any case.
      if (!isEnabled && socketsOf(given) === undefined) return start.call(this, options, ...rest);
      const isLeftToOthers = guard(isGraphqlInstrumented) ?? false;
      const prepared = guard(() => prepare(given, isLeftToOthers)) ?? options;
      const result = await start.call(this, prepared, ...rest);
      guard(() => finish(given, isLeftToOthers));
      return result;
    };
  }

  private prepare(options: DriverOptions, isLeftToOthers: boolean): DriverOptions {
    const { operations, subscriptions, arrivals, search } = this;
    const { schema, fieldResolver } = options;
    if (schema !== undefined && typeof schema.getTypeMap === 'function') {
      const resolvers = declaredResolvers(resolversOf(this.modules));
      this.steps.push(traceSchema(schema, { operations, subscriptions, resolvers, isLeftToOthers, resolveProperty: fieldResolver }));
    }
    if (!isApollo(this.driver)) return options;
    const { isEnabled } = operations.application;
    const plugins = [
      ...(options.plugins ?? []),
      ...(isEnabled ? [apolloPlugin(operations, options.path, this.hasSpan(isLeftToOthers))] : []),
    ];
    const sockets = socketsOf(options);
    const config = sockets?.['graphql-ws'];
    if (config === undefined || config === false || config === null) return { ...options, plugins };
    const contextValue = sockets?.['context'] ?? options.context;
    const tracing = { operations, arrivals, search };
    const traced = tracedGraphqlWs(config === true ? {} : config, contextValue, tracing);
    return { ...options, plugins, subscriptions: { ...sockets, 'graphql-ws': traced } };
  }

  private finish({ path }: DriverOptions, isLeftToOthers: boolean): void {
    if (isApollo(this.driver)) return;
    const { operations, arrivals, search } = this;
    const { instance } = this.driver as { instance?: unknown };
    if (typeof instance !== 'object' || instance === null) return;
    const route = path ?? '/graphql';
    this.steps.push(traceMercurius(instance, { operations, arrivals, search, route, hasSpan: this.hasSpan(isLeftToOthers) }));
  }

  private hasSpan(isLeftToOthers: boolean): boolean {
    const { graphql, isEnabled } = this.operations.application;
    return isEnabled && graphql.operations && !isLeftToOthers;
  }
}

/** By which operations come without a request, if there are any. */
function socketsOf({
  subscriptions,
  installSubscriptionHandlers,
  subscription,
}: DriverOptions): Readonly<Record<string, unknown>> | undefined {
  if (subscriptions !== undefined) return subscriptions;
  if (installSubscriptionHandlers === true) return { 'graphql-ws': true };
  return subscription === undefined || subscription === false ? undefined : {};
}

/** Drivers for Apollo register it with either framework; their options hold plugins of Apollo's. */
function isApollo(driver: object): boolean {
  return typeof Reflect.get(driver, 'registerExpress') === 'function';
}

function* resolversOf(modules: ModulesContainer): Generator<Function> {
  const seen = new Set<Function>();
  for (const module of modules.values()) {
    for (const { metatype, isNotMetatype } of module.providers.values()) {
      if (isNotMetatype || typeof metatype !== 'function' || seen.has(metatype) || !isResolver(metatype)) continue;
      seen.add(metatype);
      yield metatype;
    }
  }
}
