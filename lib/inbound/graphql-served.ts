/** A query or mutation that comes without an HTTP request, over a socket: it has a server span of its own. */
import { SpanKind } from '@opentelemetry/api';
import { describeOperation, type OperationNode } from './graphql-document.js';
import type { Arrivals } from './arrival.js';
import { GraphqlOperation, type Operations } from './graphql-operation.js';
import type { Carrier } from './websocket-carrier.js';

interface Sent {
  readonly operations: Operations;
  readonly arrivals: Arrivals;
  readonly headers: Carrier;
  readonly document?: string | undefined;
  /** Where it has been read already. */
  readonly node?: OperationNode | undefined;
}

/** Calls `execute` in the operation's span, which ends with the answer that it resolves to. */
export function servedOperation(sent: Sent, execute: (operation: GraphqlOperation) => unknown): unknown {
  const { operations, arrivals, headers, document, node } = sent;
  const description = describeOperation(node);
  const name = operations.spanName(description);
  return arrivals.serve(
    () => ({
      message: { system: 'graphql', destination: description.name ?? name, headers },
      kind: SpanKind.SERVER,
      name,
      attributes: () => operations.attributes(description),
    }),
    () => {
      const operation = new GraphqlOperation(operations, undefined, false, document, true);
      if (node !== undefined) operation.resolved(node);
      return endWithAnswer(operation, execute(operation));
    },
  );
}

/** Ends an operation with its answer; returns the answer. */
export function endWithAnswer<T>(operation: GraphqlOperation, answer: T): T {
  const end = (value: unknown): void => {
    const errors: unknown = typeof value === 'object' && value !== null && 'errors' in value ? value.errors : undefined;
    operation.end(Array.isArray(errors) ? errors : []);
  };
  if (answer instanceof Promise) answer.then(end, (thrown: unknown) => operation.end([thrown]));
  else end(answer);
  return answer;
}
