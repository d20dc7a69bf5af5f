/** Traces incoming SQS messages: wraps the consumers of sqs-consumer, which @ssut/nestjs-sqs uses, too. */
import { context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import { headersIn, type MessageAttributes, queueName, SQS, sqsAttributes, type SqsOperation, sqsSpanName } from './attributes.js';

/** The used members of a consumer of sqs-consumer. The package need not be installed. */
export interface Consumer {
  readonly queueUrl: string;
}

interface Message {
  readonly MessageId?: string;
  readonly MessageAttributes?: MessageAttributes;
}

/** A consumer's request to SQS. */
interface ReceiveInput {
  readonly MessageAttributeNames?: readonly string[];
}

/** The provider method that handles the messages of a consumer. */
export interface MessageHandler {
  readonly className: string;
  readonly method: string;
  readonly isUntraced: boolean;
}

export function isConsumer(value: unknown): value is Consumer {
  const isOne = hasMethods(value, 'start', 'stop', 'receiveMessage', 'handleSqsResponse', 'deleteMessage');
  return isOne && typeof memberOf(value, 'queueUrl') === 'string';
}

const CONSUMER = Symbol.for('nestjs-tracing/sqs-consumer');

/** Traces the messages that a consumer handles. Returns the undo function. `handler` is undefined if the method is unknown. @internal */
export function installOnConsumer(consumer: Consumer, inbound: InboundOperations, handler: MessageHandler | undefined): Undo {
  const serve = (handle: Method, describe: (received: unknown) => InboundOperation): Method =>
    function (...args) {
      return inbound.run(
        () => ({ ...describe(args[0]), handler }),
        () => handle.apply(this, args),
        handler?.isUntraced,
      );
    };
  const wrap = (): Undo =>
    undoAll([
      replaceMethod(consumer, 'handleMessage', handle => serve(handle, message => ofMessage(consumer, message as Message))),
      replaceMethod(consumer, 'handleMessageBatch', handle => serve(handle, batch => ofBatch(consumer, batch as Message[], inbound))),
      // SQS returns only the message attributes that the consumer requests.
      replaceMethod(consumer, 'receiveMessage', receive => {
        return function (input, ...rest) {
          return receive.call(this, asking(input as ReceiveInput, inbound.application.propagator.fields()), ...rest);
        };
      }),
      // Its loop runs until the consumer stops, so it must not keep the caller's context.
      replaceMethod(consumer, 'start', start => {
        return function (...args) {
          return context.with(ROOT_CONTEXT, start, this, ...args);
        };
      }),
    ]);
  return installOnce(consumer, CONSUMER, wrap);
}

function asking(input: ReceiveInput, fields: readonly string[]): ReceiveInput {
  const names = input.MessageAttributeNames ?? [];
  return { ...input, MessageAttributeNames: [...new Set([...names, ...fields])] };
}

function ofMessage({ queueUrl }: Consumer, { MessageId, MessageAttributes }: Message): InboundOperation {
  return operationOf({ operation: 'process', queueUrl, messageId: MessageId }, headersIn(MessageAttributes));
}

/** Describes a batch. Its messages have several senders, so it starts a new trace, with a link to each. */
function ofBatch({ queueUrl }: Consumer, batch: readonly Message[], inbound: InboundOperations): InboundOperation {
  const links = batch.flatMap(({ MessageAttributes }) => inbound.linksTo(headersIn(MessageAttributes)));
  return { ...operationOf({ operation: 'process', queueUrl, count: batch.length }, {}), links };
}

function operationOf(operation: SqsOperation, headers: Record<string, string>): InboundOperation {
  const queue = queueName(operation.queueUrl);
  return {
    message: { system: SQS, destination: queue, url: queue, headers },
    kind: SpanKind.CONSUMER,
    name: sqsSpanName(operation),
    attributes: () => sqsAttributes(operation),
  };
}
