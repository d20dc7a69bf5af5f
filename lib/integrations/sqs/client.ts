/** Traces SQS clients of the AWS SDK, version 3: each call that sends messages gets a span and puts headers into the messages. */
import { type Context, context, type Span, SpanKind } from '@opentelemetry/api';
import { markFailure } from '../../conventions/failure.js';
import { transitAttributes } from '../../conventions/messaging.js';
import { memberAt } from '../../conventions/peer.js';
import { type OutboundWork, outgoingHeaders, sendIn, startOutbound, withoutOtherSpans } from '../../spans/outbound.js';
import { inBackground } from '../../spans/context.js';
import { applicationIn } from '../../spans/work.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import { type Method, replaceMethod, type Undo } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';
import {
  headersIn,
  type MessageAttributes,
  queueName,
  SQS,
  sqsAttributes,
  type SqsOperation,
  sqsSpanName,
  withHeaders,
} from './attributes.js';

/** The input of `SendMessageCommand`, or one entry in that of `SendMessageBatchCommand`. */
interface NewMessage {
  readonly MessageBody?: unknown;
  readonly MessageAttributes?: MessageAttributes;
}

interface SendInput extends NewMessage {
  readonly QueueUrl: string;
  readonly Entries?: readonly NewMessage[];
}

/** Any command of the SDK. */
interface Command {
  readonly input: SendInput;
}

/** The output of both commands. `Failed` lists the messages of a batch that SQS refused. */
interface SendOutput {
  readonly MessageId?: string;
  readonly Failed?: readonly { readonly Code?: string; readonly Message?: string }[];
}

const CLIENT = Symbol.for('nestjs-tracing/sqs-client');

/** Returns `value` if it is an SQS client, or the client that it holds in `sqs` (as producers and consumers do). */
export function clientIn(value: object): object | undefined {
  if (isClient(value)) return value;
  const kept = memberOf(value, 'sqs');
  return isClient(kept) ? kept : undefined;
}

function isClient(value: unknown): value is object {
  return hasMethods(value, 'send', 'destroy') && memberAt(memberOf(value, 'config'), 'serviceId') === 'SQS';
}

/** Traces the messages that a client sends. Returns the undo function. @internal */
export function installOnClient(client: object): Undo {
  return installOnce(client, CLIENT, () => replaceMethod(client, 'send', traced));
}

function traced(send: Method): Method {
  return function (command, ...rest) {
    // Polls and deletions of a consumer are not part of a trace.
    if (!isSending(command)) return context.with(inBackground(context.active()), send, this, command, ...rest);
    const { QueueUrl, Entries } = command.input;
    const operation: SqsOperation = { operation: 'send', queueUrl: QueueUrl, count: Entries?.length };
    const work = startOutbound(applicationIn(), {
      message: { system: SQS, destination: queueName(QueueUrl) },
      kind: SpanKind.PRODUCER,
      name: sqsSpanName(operation),
      attributes: () => sqsAttributes(operation),
    });
    const call: Method = (...args) => {
      const marked = withContext(command);
      return withoutOtherSpans(() => send.call(this, marked, ...args));
    };
    const callback = rest.at(-1);
    if (typeof callback !== 'function') return sendIn(work, () => call(...rest), describe);
    const caller = context.active();
    return work.run(() => call(...rest.slice(0, -1), reporting(callback as Method, work, caller)));
  };
}

/** Checks the input and not the class, because bundlers rename classes. */
function isSending(command: unknown): command is Command {
  const input = memberAt(command, 'input');
  if (typeof memberAt(input, 'QueueUrl') !== 'string') return false;
  const entries = memberAt(input, 'Entries');
  return Array.isArray(entries) ? entries.length > 0 && entries.every(isMessage) : isMessage(input);
}

function isMessage(message: unknown): boolean {
  return memberAt(message, 'MessageBody') !== undefined;
}

/** Returns a copy with the headers of the active context, because the user may send the same command again. */
function withContext(command: Command): Command {
  const { input } = command;
  const marked = input.Entries === undefined ? withOurs(input) : { ...input, Entries: input.Entries.map(withOurs) };
  const copy = Object.create(Object.getPrototypeOf(command) as object, Object.getOwnPropertyDescriptors(command)) as Command;
  return Object.assign(copy, { input: marked });
}

function withOurs<Message extends NewMessage>(message: Message): Message {
  const headers = outgoingHeaders(headersIn(message.MessageAttributes));
  return headers === undefined ? message : { ...message, MessageAttributes: withHeaders(message.MessageAttributes, headers) };
}

function reporting(callback: Method, work: OutboundWork, caller: Context): Method {
  return function (error, output) {
    if (error === null || error === undefined) work.endWith(span => describe(span, output));
    else work.fail(error);
    return context.with(caller, callback, this, error, output);
  };
}

/** SQS may refuse a part of a batch: the span then fails. */
function describe(span: Span, sent: unknown): void {
  const { MessageId, Failed } = (sent ?? {}) as SendOutput;
  span.setAttributes(transitAttributes({ messageId: MessageId }));
  const [refused] = Failed ?? [];
  if (refused !== undefined) markFailure(span, { name: refused.Code, message: refused.Message });
}
