/** Wraps the start of the GraphQL drivers of an application: Apollo, Yoga, Mercurius and gateways, and drivers derived from them. */
import module from 'node:module';
import type { ModulesContainer } from '@nestjs/core';
import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { hasMethods } from '../../wrapping/has-methods.js';
import { type ApolloOptions, hasSockets, tracedApollo, traceSockets, type TraceSubgraph } from './apollo.js';
import { ChangingContext } from './changing-context.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { classesOf } from '../../wrapping/provider-search.js';
import type { NestSeams } from '../../nest/integration.js';
import type { TracingApplication } from '../../spans/work.js';
import { declaredResolvers, isResolver, observeResolvers } from './field.js';
import { traceMercurius } from './mercurius.js';
import { guard, Operations } from './operation.js';
import { type Resolve, resolveProperty, type Schema, traceSchema } from './schema.js';
import { Subscriptions, tracedFilter } from './subscription.js';
import { yogaPlugin } from './yoga.js';

interface DriverOptions extends ApolloOptions {
  /** Undefined for a gateway. */
  readonly schema?: Schema | null;
  /** The user's default resolver. */
  readonly fieldResolver?: Resolve;
  /** For Mercurius: true if there are subscriptions. */
  readonly subscription?: unknown;
}

/**
 * Traces `drivers` and the resolvers of their application. Must run before a driver is started and before Nest explores the resolvers.
 * Returns how to undo it. @internal
 */
export function traceDrivers(
  drivers: readonly object[],
  application: TracingApplication,
  { modules, inbound }: NestSeams,
  traceSubgraph: TraceSubgraph,
): Undo {
  const undo = application.isEnabled ? resolversOf(modules).map(observeResolvers) : [];
  for (const driver of drivers) {
    const traced = guard(() => new TracedDriver(driver, new Operations(application, inbound), modules, traceSubgraph));
    if (traced !== undefined) undo.push(traced.undo);
  }
  return undoAll(undo);
}

class TracedDriver {
  readonly undo: Undo;
  private readonly subscriptions: Subscriptions;
  private readonly steps: Undo[] = [];

  constructor(
    private readonly driver: object,
    private readonly operations: Operations,
    private readonly modules: ModulesContainer,
    private readonly traceSubgraph: TraceSubgraph,
  ) {
    this.subscriptions = new Subscriptions(operations);
    this.steps.push(
      replaceMethod(driver, 'start', start => this.starting(start)),
      replaceMethod(driver, 'subscriptionWithFilter', withFilter => this.filtering(withFilter)),
    );
    this.undo = undoAll(this.steps);
  }

  private starting(start: Method): Method {
    const prepare = (options: DriverOptions) => this.prepare(options);
    const finish = (options: DriverOptions) => this.finish(options);
    const { isEnabled } = this.operations.application;
    return async function (options, ...rest) {
      const given = (options ?? {}) as DriverOptions;
      const { gateway, subscription = false } = given;
      // In a disabled application, requests pass their context on without this. Only sockets and gateways need it.
      if (!isEnabled && !hasSockets(given) && subscription === false && gateway === undefined) return start.call(this, options, ...rest);
      const prepared = guard(() => prepare(given)) ?? options;
      // Work that the driver starts here goes on later, like the polling of a gateway: it must not belong to the current span.
      const started = new ChangingContext(context.active());
      try {
        const result = await context.with(started, () => start.call(this, prepared, ...rest));
        guard(() => finish(given));
        return result;
      } finally {
        started.become(ROOT_CONTEXT);
      }
    };
  }

  /** Nest sets the filters of subscriptions while it builds the schema. */
  private filtering(withFilter: Method): Method {
    const { subscriptions } = this;
    return function (instance, filter, makeSubscribe, ...rest) {
      const isKnown = typeof filter === 'function' && typeof makeSubscribe === 'function';
      if (!isKnown) return withFilter.call(this, instance, filter, makeSubscribe, ...rest);
      const makeTraced = (...args: unknown[]): unknown => {
        const subscribe: unknown = (makeSubscribe as Method)(...args);
        return typeof subscribe === 'function' ? subscriptions.tracedSource(subscribe as Method) : subscribe;
      };
      return withFilter.call(this, instance, tracedFilter(filter as Method), makeTraced, ...rest);
    };
  }

  /** Returns the options that the driver is started with instead. */
  private prepare(options: DriverOptions): DriverOptions {
    const { operations, subscriptions, steps } = this;
    operations.isLeftToOthers = guard(isGraphqlInstrumented) ?? false;
    const { schema, fieldResolver, path, plugins = [] } = options;
    if (typeof schema?.getTypeMap === 'function') {
      const resolvers = declaredResolvers(resolversOf(this.modules));
      steps.push(traceSchema(schema, { operations, subscriptions, resolvers, defaultResolver: fieldResolver ?? resolveProperty }));
    }
    if (isYoga(this.driver)) {
      operations.route = path;
      return operations.application.isEnabled ? { ...options, plugins: [...plugins, yogaPlugin(operations)] } : options;
    }
    if (isApollo(this.driver)) return tracedApollo(options, operations, dataSource => steps.push(this.traceSubgraph(dataSource)));
    operations.route = path ?? '/graphql';
    return options;
  }

  /** Called when the driver has started. */
  private finish(options: DriverOptions): void {
    const { driver, operations, steps } = this;
    if (isApollo(driver)) {
      steps.push(traceSockets(driver, options, operations));
      return;
    }
    const { instance } = driver as { instance?: unknown };
    if (typeof instance === 'object' && instance !== null) steps.push(traceMercurius(instance, operations));
  }
}

function isApollo(driver: object): boolean {
  return hasMethods(driver, 'registerExpress') && 'instance' in driver;
}

function isYoga(driver: object): boolean {
  return hasMethods(driver, 'registerExpress', 'mergeConditionalSchema');
}

function resolversOf(modules: ModulesContainer): Function[] {
  return [...classesOf(modules, 'providers')].filter(isResolver);
}

/** Returns true if OpenTelemetry's instrumentation of graphql is active: it replaces `execute` by a function that it marks. */
function isGraphqlInstrumented(): boolean {
  const { _cache: cache } = module as unknown as { _cache?: Record<string, { exports?: { execute?: unknown } } | undefined> };
  return Object.entries(cache ?? {}).some(([file, loaded]) => {
    if (!/[\\/]graphql[\\/]execution[\\/]execute\.js$/.test(file)) return false;
    const execute: unknown = loaded?.exports?.execute;
    return typeof execute === 'function' && '__wrapped' in execute && execute.__wrapped === true;
  });
}
