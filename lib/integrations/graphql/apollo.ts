/** Traces Apollo: adds a plugin to its server, and hooks to its socket protocols and to gateways of Apollo Federation. */
import type { EventEmitter } from 'node:events';
import { context } from '@opentelemetry/api';
import { isUntraced } from '../../spans/run-in-span.js';
import { type Undo, undoAll } from '../../wrapping/replace-method.js';
import type { OperationNode } from './attributes.js';
import { GraphqlOperation, guard, type Operations } from './operation.js';
import { followMessages, tracedContext, tracedGraphqlWs, traceSubscriptionServer } from './sockets.js';

export interface ApolloOptions {
  readonly path?: string;
  readonly plugins?: readonly unknown[];
  readonly context?: unknown;
  readonly subscriptions?: Readonly<Record<string, unknown>> | undefined;
  readonly installSubscriptionHandlers?: boolean;
  /** The options of the server in front of a gateway. */
  readonly server?: Pick<ApolloOptions, 'path' | 'plugins'>;
  readonly gateway?: object;
}

/** Traces the calls of a data source: these go to one subgraph. Returns how to undo it. */
export type TraceSubgraph = (dataSource: object) => Undo;

/** Returns the options with our plugin and our callbacks for a gateway or for sockets. Calls `found` with each data source of a gateway. */
export function tracedApollo(options: ApolloOptions, operations: Operations, found: (dataSource: object) => void): ApolloOptions {
  const { gateway, server } = options;
  const withPlugin = ({ plugins = [], path }: Pick<ApolloOptions, 'path' | 'plugins'> = {}) => {
    operations.route = path;
    return operations.application.isEnabled ? [...plugins, apolloPlugin(operations)] : plugins;
  };
  if (gateway !== undefined)
    return { ...options, server: { ...server, plugins: withPlugin(server) }, gateway: tracedGateway(gateway, found) };
  return { ...options, plugins: withPlugin(options), ...tracedSockets(options, operations) };
}

interface RequestContext {
  readonly contextValue?: unknown;
  readonly source?: string;
  readonly operation?: OperationNode | null;
  readonly errors?: readonly unknown[];
}

/** Apollo calls this plugin at the start of each operation, when its document has been parsed, and at its end. */
function apolloPlugin(operations: Operations): object {
  const begin = ({ contextValue }: RequestContext): object | undefined => {
    if (isUntraced(context.active())) return undefined;
    const operation = new GraphqlOperation(operations);
    operations.enlist(contextValue, operation);
    return {
      didResolveOperation: hook(({ operation: node, source }: RequestContext) => operation.resolved(node ?? undefined, source)),
      willSendResponse: hook(({ errors }: RequestContext) => operation.end(errors)),
      unexpectedErrorProcessingRequest: hook(({ error }: { error: unknown }) => operation.end([error])),
    };
  };
  return { requestDidStart: hook(begin) };
}

/** Apollo awaits what its plugins return. */
function hook<Arg, T>(call: (arg: Arg) => T): (arg: Arg) => Promise<T | undefined> {
  return arg => Promise.resolve(guard(() => call(arg)));
}

/** Wraps the options of the protocols that the user has set. Sets no others, so that the driver chooses its own defaults. */
function tracedSockets(options: ApolloOptions, operations: Operations): Partial<ApolloOptions> {
  const { subscriptions, context: contextOf } = options;
  const config = subscriptions?.['graphql-ws'];
  if (isConfigured(config)) {
    const traced = tracedGraphqlWs(config === true ? {} : config, subscriptions?.['context'] ?? contextOf, operations);
    return { subscriptions: { ...subscriptions, 'graphql-ws': traced } };
  }
  if (!hasSockets(options) || typeof contextOf !== 'function') return {};
  return { context: tracedContext(contextOf as (...args: unknown[]) => unknown, operations) };
}

/** Traces the servers of the socket protocols. They exist after the driver has started. Returns how to undo it. */
export function traceSockets(driver: object, { subscriptions }: ApolloOptions, operations: Operations): Undo {
  const { _subscriptionService: service } = driver as { _subscriptionService?: SubscriptionService };
  const undo: Undo[] = [];
  if (typeof service !== 'object') return undoAll(undo);
  const { subServer, wss, options = {} } = service;
  if (subServer !== undefined) undo.push(traceSubscriptionServer(subServer, operations));
  if ('graphql-ws' in options && !isConfigured(subscriptions?.['graphql-ws']) && wss !== undefined) {
    const onConnection = (socket: unknown): void => guard(() => followMessages(socket));
    wss.on('connection', onConnection);
    undo.push(() => wss.off('connection', onConnection));
  }
  return undoAll(undo);
}

/** The part of Nest's Apollo driver that handles subscriptions. */
interface SubscriptionService {
  /** The protocols, by the names of their packages. */
  readonly options?: object;
  /** The server of subscriptions-transport-ws. */
  readonly subServer?: object;
  readonly wss?: EventEmitter;
}

/** Returns true if operations may come over a socket. */
export function hasSockets({ subscriptions, installSubscriptionHandlers }: ApolloOptions): boolean {
  return subscriptions !== undefined || installSubscriptionHandlers === true;
}

/** Returns true if the user has enabled a protocol. Its key may be present with `false` or `undefined`. */
function isConfigured(config: unknown): config is object | true {
  return config === true || (typeof config === 'object' && config !== null);
}

/** The argument that a gateway passes to its hook before it executes a query plan. */
interface ResolvedPlan {
  /** The data sources by the names of their subgraphs. */
  readonly serviceMap: Readonly<Record<string, object>>;
}

interface GatewayConfig {
  readonly experimental_didResolveQueryPlan?: ((plan: ResolvedPlan) => unknown) | undefined;
}

/** Returns the configuration of a gateway with our hook before the user's. Calls `found` once for each data source. */
function tracedGateway(config: GatewayConfig, found: (dataSource: object) => void): object {
  const known = new WeakSet<object>();
  const { experimental_didResolveQueryPlan: own } = config;
  return {
    ...config,
    experimental_didResolveQueryPlan(plan: ResolvedPlan): unknown {
      guard(() => {
        for (const dataSource of Object.values(plan.serviceMap)) {
          if (known.has(dataSource)) continue;
          known.add(dataSource);
          found(dataSource);
        }
      });
      return own?.call(this, plan);
    },
  };
}
