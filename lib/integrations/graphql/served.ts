/** Queries and mutations that come over a socket. Each has its own SERVER span. */
import { type Context, context, SpanKind } from '@opentelemetry/api';
import { describeOperation, type OperationDescription } from './attributes.js';
import type { InboundMessage } from '../../options/tracing-options.js';
import type { InboundOperation } from '../../spans/inbound.js';
import { InboundWork } from '../../spans/inbound-work.js';
import { GraphqlOperation, guard, inOperation, type Operations } from './operation.js';
import type { Carrier } from '../../propagation/payload-carrier.js';

interface Sent {
  readonly operations: Operations;
  readonly headers: Carrier;
  readonly document?: string | undefined;
}

/** Calls `begin` and then `execute` in the span of the operation. The span ends with the answer. */
export function servedOperation(sent: Sent, execute: () => unknown, begin: (operation: GraphqlOperation) => void): unknown {
  return sent.operations.inbound.run(
    () => describe(sent),
    () => {
      const operation = create(sent);
      guard(() => begin(operation));
      return endWithAnswer(operation, context.with(inOperation(context.active(), operation), execute));
    },
  );
}

/** An operation that several calls execute. Its span ends with {@link answer} or {@link fail}. */
export class OpenOperation {
  readonly operation: GraphqlOperation;
  /** The context of all its work. */
  readonly context: Context;
  private readonly work: InboundWork | undefined;

  constructor(sent: Sent) {
    const work = sent.operations.inbound.start(() => describe(sent));
    const home = work?.context ?? context.active();
    this.operation = context.with(home, () => create(sent));
    this.context = inOperation(home, this.operation);
    this.work = work instanceof InboundWork ? work : undefined;
    this.work?.hold();
  }

  /** The first answer or failure counts. */
  answer(answer: unknown): void {
    if (this.operation.hasEnded) return;
    endWithAnswer(this.operation, answer);
    this.work?.end();
  }

  fail(thrown: unknown): void {
    if (this.operation.hasEnded) return;
    this.operation.end([thrown]);
    this.work?.fail(thrown);
  }
}

/** Ends the operation with its answer, and returns the answer. */
export function endWithAnswer<T>(operation: GraphqlOperation, answer: T): T {
  const end = (value: unknown): void => {
    const errors: unknown = typeof value === 'object' && value !== null && 'errors' in value ? value.errors : undefined;
    operation.end(Array.isArray(errors) ? errors : []);
  };
  if (answer instanceof Promise) answer.then(end, (thrown: unknown) => operation.end([thrown]));
  else end(answer);
  return answer;
}

function describe({ operations, headers }: Sent): InboundOperation {
  const description = describeOperation(undefined);
  return {
    message: messageOf(operations, description, headers),
    // Rules are applied when the document has been parsed.
    isIgnored: () => false,
    kind: SpanKind.SERVER,
    name: operations.spanName(description),
    attributes: () => operations.attributes(description),
  };
}

function create({ operations, headers, document }: Sent): GraphqlOperation {
  const { application, inbound } = operations;
  return new GraphqlOperation(operations, document, read => {
    return application.isEnabled && inbound.isIgnoredMessage(messageOf(operations, read, headers));
  });
}

function messageOf(operations: Operations, description: OperationDescription, headers: Carrier): InboundMessage {
  return { system: 'graphql', destination: description.name ?? operations.spanName(description), headers };
}
