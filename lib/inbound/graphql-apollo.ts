/** Apollo Server as a source of operations: a plugin that hears of each one's start, name, errors and end. */
import { isUntraced } from '../local/run-in-span.js';
import { context } from '@opentelemetry/api';
import type { OperationNode } from './graphql-document.js';
import { GraphqlOperation, type Operations } from './graphql-operation.js';
import { guard } from './graphql-guard.js';

/** Of Apollo's request context, what is looked at. */
interface RequestContext {
  readonly contextValue?: unknown;
  readonly source?: string;
  readonly operation?: OperationNode | null;
  readonly errors?: readonly unknown[];
}

type Listen = (requestContext: RequestContext) => Promise<void>;

/** The plugin; `hasSpan` says whether operations have spans of their own. */
export function apolloPlugin(operations: Operations, route: string | undefined, hasSpan: boolean): object {
  return {
    requestDidStart({ contextValue }: RequestContext): Promise<unknown> {
      return Promise.resolve(guard(() => listenerOf(operations, contextValue, route, hasSpan)));
    },
  };
}

function listenerOf(operations: Operations, contextValue: unknown, route: string | undefined, hasSpan: boolean): object | undefined {
  if (isUntraced(context.active())) return undefined;
  const operation = new GraphqlOperation(operations, route, hasSpan);
  operations.enlist(contextValue, operation);
  const listen = (hear: (requestContext: RequestContext) => void): Listen => {
    return requestContext => Promise.resolve(guard(() => hear(requestContext)));
  };
  return {
    didResolveOperation: listen(({ operation: node, source }) => operation.resolved(node ?? undefined, source)),
    willSendResponse: listen(({ errors }) => operation.end(errors)),
    unexpectedErrorProcessingRequest: ({ error }: { error: unknown }) => Promise.resolve(guard(() => operation.end([error]))),
  };
}
