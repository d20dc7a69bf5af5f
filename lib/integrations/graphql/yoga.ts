/** Traces GraphQL Yoga by a plugin, which Yoga calls for each request, execution and answer, over HTTP and over sockets. */
import { context } from '@opentelemetry/api';
import { isUntraced } from '../../spans/run-in-span.js';
import { workIn } from '../../spans/work.js';
import { type ExecutionArgs, operationIn } from './attributes.js';
import { GraphqlOperation, guard, type Operations } from './operation.js';
import { endWithAnswer, servedOperation } from './served.js';

type Execute = (args: ExecutionArgs) => unknown;

interface ToExecute {
  readonly args: ExecutionArgs;
  readonly executeFn: Execute;
  setExecuteFn(execute: Execute): void;
}

/** Returns the plugin. It must be the last one, so that the execution wrappers of other plugins are inside ours. */
export function yogaPlugin(operations: Operations): object {
  /** Operations by the parameters of their request. */
  const asked = new WeakMap<object, GraphqlOperation>();
  const known = (contextValue: unknown): GraphqlOperation | undefined => {
    const { params } = (contextValue ?? {}) as { params?: object };
    return params && asked.get(params);
  };
  /** Called when the document has been parsed. */
  const resolved = ({ args }: Pick<ToExecute, 'args'>): GraphqlOperation | undefined => {
    const operation = known(args.contextValue);
    if (operation === undefined) return undefined;
    operation.resolved(operationIn(args));
    operations.enlist(args.contextValue, operation);
    return operation;
  };
  return {
    onParams({ params }: { params: { readonly query?: string } }): void {
      guard(() => {
        if (workIn() === undefined || isUntraced(context.active())) return;
        asked.set(params, new GraphqlOperation(operations, params.query));
      });
    },
    onExecute(execution: ToExecute): void {
      guard(() => {
        if (resolved(execution) !== undefined || workIn() !== undefined) return;
        const { executeFn } = execution;
        // The operation came over a socket.
        execution.setExecuteFn(args => {
          const headers = operations.headersOf(args.contextValue);
          return servedOperation(
            { operations, headers },
            () => executeFn(args),
            operation => operation.resolved(operationIn(args)),
          );
        });
      });
    },
    onSubscribe(execution: ToExecute): void {
      guard(() => resolved(execution));
    },
    onExecutionResult({ result, context: contextValue }: { result?: unknown; context?: unknown }): void {
      guard(() => {
        const operation = known(contextValue);
        if (operation !== undefined) endWithAnswer(operation, result);
      });
    },
  };
}
