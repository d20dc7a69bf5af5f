/** A query or mutation that comes without an HTTP request, over a socket: it has a server span of its own. */
import { SpanKind } from '@opentelemetry/api';
import type { OperationDescription } from '../conventions/graphql.js';
import type { InboundMessage } from '../tracing.options.js';
import { describeOperation } from './graphql-document.js';
import type { Arrivals } from './arrival.js';
import { GraphqlOperation, type Operations } from './graphql-operation.js';
import type { Carrier } from './websocket-carrier.js';

interface Sent {
  readonly operations: Operations;
  readonly arrivals: Arrivals;
  readonly headers: Carrier;
  readonly document?: string | undefined;
}

/** Calls `execute` in the operation's span, which ends with the answer that it resolves to. */
export function servedOperation(sent: Sent, execute: (operation: GraphqlOperation) => unknown): unknown {
  const { operations, arrivals, headers, document } = sent;
  const messageOf = (description: OperationDescription): InboundMessage => {
    return { system: 'graphql', destination: description.name ?? operations.spanName(description), headers };
  };
  const description = describeOperation(undefined);
  const { isEnabled } = operations.application;
  const entry = { isIgnored: (late: OperationDescription) => isEnabled && arrivals.isIgnored(messageOf(late)) };
  return arrivals.serve(
    () => ({
      message: messageOf(description),
      isNamedLater: true,
      kind: SpanKind.SERVER,
      name: operations.spanName(description),
      attributes: () => operations.attributes(description),
    }),
    () => {
      const operation = new GraphqlOperation(operations, undefined, false, document, entry);
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
