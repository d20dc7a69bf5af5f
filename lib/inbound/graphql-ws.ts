/** graphql-ws as a source of operations: two of its options tell where one begins and ends, and who has sent it. */
import type { Arrivals } from './arrival.js';
import { operationIn, type OperationNode } from './graphql-document.js';
import type { Operations } from './graphql-operation.js';
import { servedOperation } from './graphql-served.js';
import type { Subscriptions } from './graphql-subscription.js';
import type { Carrier, CarrierSearch } from './websocket-carrier.js';
import { guard } from './graphql-guard.js';

type Callback = (...args: unknown[]) => unknown;

/** What is executed, as graphql-ws hands it over. */
interface ExecutionArgs {
  document?: unknown;
  readonly operationName?: string | null;
}

/** A client's connection, as graphql-ws hands it over. */
interface Connection {
  readonly connectionParams?: unknown;
  readonly extra?: { readonly request?: { readonly headers?: unknown } };
}

export interface GraphqlWsTracing {
  readonly operations: Operations;
  readonly subscriptions: Subscriptions;
  readonly arrivals: Arrivals;
  readonly search: CarrierSearch;
}

/** The options with ours around those of the user; `contextValue` is what operations are handed where they do not say. */
export function tracedGraphqlWs(config: object, contextValue: unknown, tracing: GraphqlWsTracing): object {
  const { context: own = contextValue, onOperation } = config as { context?: unknown; onOperation?: Callback };
  const ends = new WeakMap<object, (answer: unknown) => void>();
  const known = new WeakSet<OperationNode>();
  return {
    ...config,
    context: (...args: unknown[]): unknown => {
      const call = (): unknown => (typeof own === 'function' ? (own as Callback)(...args) : own);
      const node = guard(() => ownOperation(args[3] as ExecutionArgs, known));
      if (node === undefined) return call();
      const headers = guard(() => headersOf(tracing.search, args)) ?? {};
      if (node.operation !== 'subscription') return begin(node, headers, tracing, ends, call);
      tracing.subscriptions.sentWith(node, headers);
      return call();
    },
    onOperation: (...args: unknown[]): unknown => {
      guard(() => {
        const { document, operationName } = args[3] as ExecutionArgs;
        const node = operationIn(document, operationName);
        if (node !== undefined) ends.get(node)?.(args[4]);
      });
      return onOperation?.apply(config, args);
    },
  };
}

/** The operation that is executed, a copy of it where others are executed from the same document, as with persisted queries. */
function ownOperation(execution: ExecutionArgs, known: WeakSet<OperationNode>): OperationNode | undefined {
  const { document, operationName } = execution;
  const node = operationIn(document, operationName);
  if (node === undefined) return undefined;
  const own = known.has(node) ? { ...node } : node;
  known.add(own);
  if (own !== node) {
    const { definitions } = document as { definitions: readonly OperationNode[] };
    execution.document = { ...(document as object), definitions: definitions.map(definition => (definition === node ? own : definition)) };
  }
  return own;
}

function begin(
  node: OperationNode,
  headers: Carrier,
  { operations, arrivals }: GraphqlWsTracing,
  ends: WeakMap<object, (answer: unknown) => void>,
  call: () => unknown,
): unknown {
  const made: { contextValue?: unknown } = {};
  const served = servedOperation({ operations, arrivals, headers, node }, operation => {
    operations.enlistDocument(node, operation);
    const contextValue = (made.contextValue = call());
    return new Promise((resolve, reject) => {
      ends.set(node, resolve);
      // Without it nothing is executed.
      if (contextValue instanceof Promise) contextValue.catch(reject);
    });
  });
  // Who has asked for it hears of it.
  if (served instanceof Promise) served.catch(() => undefined);
  return made.contextValue;
}

/** What came with the operation counts before what came with the connection. */
function headersOf(search: CarrierSearch, [connection, , payload]: unknown[]): Carrier {
  const { extensions } = (payload ?? {}) as { extensions?: unknown };
  const { connectionParams, extra } = (connection ?? {}) as Connection;
  const headers = (extra?.request?.headers ?? {}) as Carrier;
  return search.inObject(extensions) ?? search.inObject(connectionParams) ?? headers;
}
