/** Traces Mercurius: wraps the function of the Fastify instance that executes all operations, also those of sockets. */
import { context } from '@opentelemetry/api';
import { isUntraced } from '../../spans/run-in-span.js';
import { replace, type Undo } from '../../wrapping/replace-method.js';
import { workIn } from '../../spans/work.js';
import { operationIn } from './attributes.js';
import { activeOperation, GraphqlOperation, guard, inOperation, type Operations } from './operation.js';
import { endWithAnswer, servedOperation } from './served.js';

type Execute = (this: unknown, source: unknown, contextValue: unknown, variables: unknown, operationName?: string | null) => unknown;

interface Mercurius extends Execute {
  addHook?(name: 'preExecution', hook: (schema: unknown, document: unknown) => Promise<void>): void;
}

/** Traces a Fastify instance. Returns how to undo it. */
export function traceMercurius(instance: object & { graphql?: Mercurius }, operations: Operations): Undo {
  const { graphql } = instance;
  if (typeof graphql !== 'function') return () => undefined;
  const names = new WeakMap<object, string | null | undefined>();
  graphql.addHook?.('preExecution', (_schema, document) => {
    const operation = activeOperation();
    operation?.resolved(operationIn({ document, operationName: names.get(operation) }));
    return Promise.resolve();
  });
  // The function has properties that Mercurius uses.
  const traced = new Proxy(graphql, {
    apply(target, self, args: Parameters<Execute>) {
      const call = (): unknown => Reflect.apply(target, self, args);
      if (isUntraced(context.active())) return call();
      const [source, contextValue, , operationName] = args;
      const document = typeof source === 'string' ? source : undefined;
      const begin = (operation: GraphqlOperation): unknown => names.set(operation, operationName);
      // The operation came over a socket, or from the application itself.
      if (workIn() === undefined)
        return servedOperation({ operations, headers: operations.headersOf(contextValue), document }, call, begin);
      const operation = guard(() => new GraphqlOperation(operations, document));
      if (operation === undefined) return call();
      begin(operation);
      return endWithAnswer(operation, context.with(inOperation(operation.context ?? context.active(), operation), call));
    },
  });
  return replace(instance, 'graphql', traced);
}
