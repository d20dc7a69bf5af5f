/** Mercurius as a source of operations: all of them, those of sockets included, are calls of one function on the Fastify instance. */
import { context } from '@opentelemetry/api';
import { isUntraced } from '../local/run-in-span.js';
import { reportTrouble } from '../local/trouble.js';
import { workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import type { Arrivals } from './arrival.js';
import { operationIn } from './graphql-document.js';
import { activeOperation, GraphqlOperation, inOperation, type Operations } from './graphql-operation.js';
import { endWithAnswer, servedOperation } from './graphql-served.js';
import type { CarrierSearch } from './websocket-carrier.js';

type Execute = (this: unknown, source: unknown, ctx: unknown, variables: unknown, operationName?: string | null) => unknown;

interface Mercurius extends Execute {
  addHook?(name: 'preExecution', hook: (schema: unknown, document: unknown) => Promise<void>): void;
}

export interface MercuriusTracing {
  readonly operations: Operations;
  readonly arrivals: Arrivals;
  readonly search: CarrierSearch;
  readonly route: string | undefined;
  readonly hasSpan: boolean;
}

/** Wraps the function of an instance that mercurius has been registered with; returns what takes the wrapper off again. */
export function traceMercurius(instance: object & { graphql?: Mercurius }, tracing: MercuriusTracing): () => void {
  const { graphql } = instance;
  if (typeof graphql !== 'function') return () => undefined;
  const names = new WeakMap<object, string | null | undefined>();
  graphql.addHook?.('preExecution', (_schema, document) => {
    const operation = activeOperation();
    if (operation !== undefined) {
      operation.resolved(operationIn(document, names.get(operation)));
    }
    return Promise.resolve();
  });
  // It carries further functions and symbols.
  const traced = new Proxy(graphql, {
    apply(target, self, args: Parameters<Execute>) {
      const call = (): unknown => Reflect.apply(target, self, args);
      if (isUntraced(context.active())) return call();
      const inside = (operation: GraphqlOperation): unknown => {
        names.set(operation, args[3]);
        return context.with(inOperation(operation.context ?? context.active(), operation), call);
      };
      return execute(tracing, args, inside, call);
    },
  });
  instance.graphql = traced;
  return () => {
    if (instance.graphql === traced) instance.graphql = graphql;
  };
}

function execute(
  { operations, arrivals, search, route, hasSpan }: MercuriusTracing,
  [source, contextValue]: Parameters<Execute>,
  inside: (operation: GraphqlOperation) => unknown,
  call: () => unknown,
): unknown {
  const document = typeof source === 'string' ? source : undefined;
  // It has come over a socket, or out of the application itself.
  if (workIn() === undefined) return servedOperation({ operations, arrivals, headers: search.inContext(contextValue), document }, inside);
  let operation: GraphqlOperation;
  try {
    operation = new GraphqlOperation(operations, route, hasSpan, document);
  } catch (error) {
    reportTrouble('inbound.graphql', messages.messageNotTraced(), error);
    return call();
  }
  return endWithAnswer(operation, inside(operation));
}
