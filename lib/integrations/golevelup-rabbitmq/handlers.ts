/** Traces the handlers of a connection: `@RabbitSubscribe()`, `@RabbitRPC()`, `@RabbitHandler()`, and those that code registers. */
import type { ExternalContextCreator } from '@nestjs/core';
import { context, createContextKey, type Span, SpanKind, trace } from '@opentelemetry/api';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { markFailure } from '../../conventions/failure.js';
import { messageSpanName } from '../../conventions/messaging.js';
import { lowerCased } from '../../propagation/message-headers.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { inboundWork } from '../../spans/inbound-work.js';
import { type Method, replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { type Connection, consumeOperation, type Delivery, type HandlerOptions, operationAttributes, RABBITMQ } from './attributes.js';

/** The application of a connection. It changes, or becomes undefined, when that application closes. */
export interface Home {
  inbound: InboundOperations | undefined;
}

/** `args` are the handler's: the content and the message, or lists of both. */
type Describe = (args: readonly unknown[], options: HandlerOptions, inbound: InboundOperations) => InboundOperation;

/** The controller or provider method behind each handler that Nest created. */
const methods = new WeakMap<object, { readonly classRef: Function; readonly method: string }>();

/** Notes the method behind each handler that Nest creates. Returns the undo function. @internal */
export function noteHandlers(contexts: ExternalContextCreator): Undo {
  return replaceMethod(contexts, 'create', create => {
    return function (...args) {
      const handler = create.apply(this, args);
      const [instance, , method] = args;
      if (typeof handler === 'function' && typeof instance === 'object' && instance !== null && typeof method === 'string') {
        methods.set(handler, { classRef: instance.constructor, method });
      }
      return handler;
    };
  });
}

const DELIVERED = createContextKey('nestjs-tracing/rabbitmq-delivery');

/** Returns the message that the connection is handling, also outside of the handler's span. */
export function deliveryIn(): Delivery | undefined {
  return context.active().getValue(DELIVERED) as Delivery | undefined;
}

/** Traces the handlers that are registered with a connection from now on. Returns the undo function. */
export function traceHandlers(connection: Connection, home: Home): Undo {
  const message: Describe = ([, delivery], options) => describeMessage(connection, delivery as Delivery, options);
  const call: Describe = ([, delivery], options) => describeMessage(connection, delivery as Delivery, options, true);
  const batch: Describe = ([, deliveries], options, inbound) => describeBatch(connection, deliveries as Delivery[], options, inbound);
  const wrapRegistration = (name: string, describe: Describe) =>
    replaceMethod(connection, name, register => {
      return function (handler, options, ...rest) {
        const tracedHandler = typeof handler === 'function' ? wrapHandler(handler as Method, options, home, describe) : handler;
        return register.call(this, tracedHandler, options, ...rest);
      };
    });
  return undoAll([
    wrapRegistration('createSubscriber', message),
    wrapRegistration('createRpc', call),
    wrapRegistration('createBatchSubscriber', batch),
    // The connection replies and acknowledges after the handler's span has ended.
    replaceMethod(connection, 'wrapConsumer', wrapConsumer => {
      return function (consumer, ...rest) {
        const consume: Method = (...args) =>
          context.with(context.active().setValue(DELIVERED, args[0]), consumer as Method, undefined, ...args);
        return wrapConsumer.call(this, consume, ...rest);
      };
    }),
    // A message that cannot be parsed reaches no handler: its span opens here.
    replaceMethod(connection, 'deserializeMessage', deserialize => {
      return function (...args) {
        try {
          return deserialize.apply(this, args);
        } catch (thrown) {
          if (home.inbound === undefined) throw thrown;
          const [delivery, options] = args as [Delivery, HandlerOptions];
          const refuse = (): never => {
            throw thrown;
          };
          return home.inbound.run(() => describeMessage(connection, delivery, options), refuse);
        }
      };
    }),
  ]);
}

function wrapHandler(handler: Method, options: unknown, home: Home, describe: Describe): Method {
  const declared = methods.get(handler);
  const isUntraced = declared !== undefined && isNoSpan(declared.classRef, declared.method);
  const served = declared && { className: declared.classRef.name, method: declared.method };
  return function (...args) {
    const { inbound } = home;
    if (inbound === undefined) return handler.apply(this, args);
    return inbound.run(
      () => ({ ...describe(args, (options ?? {}) as HandlerOptions, inbound), handler: served }),
      () => failIfRefused(handler.apply(this, args)),
      isUntraced,
    );
  };
}

/** `isCall`: true if the handler can reply. It does so only if the message has `replyTo`. */
function describeMessage(connection: Connection, delivery: Delivery, options: HandlerOptions, isCall = false): InboundOperation {
  const operation = consumeOperation(options, delivery);
  const { headers, replyTo } = delivery.properties ?? {};
  const { destination } = operation;
  return {
    message: { system: RABBITMQ, destination, url: destination, headers: headersOf(headers) },
    kind: isCall && typeof replyTo === 'string' && replyTo !== '' ? SpanKind.SERVER : SpanKind.CONSUMER,
    name: messageSpanName(operation),
    openedElsewhere: officialSpan(),
    attributes: () => operationAttributes(operation, connection),
  };
}

/** Returns the span that instrumentation-amqplib has opened for the message. It is a CONSUMER span even for requests. */
function officialSpan(): Span | undefined {
  const span: (Span & { readonly instrumentationScope?: { readonly name: string } }) | undefined = trace.getSpan(context.active());
  return span?.instrumentationScope?.name === '@opentelemetry/instrumentation-amqplib' ? span : undefined;
}

/** A batch may have several senders: its span has a link to each. */
function describeBatch(
  connection: Connection,
  deliveries: readonly Delivery[],
  options: HandlerOptions,
  inbound: InboundOperations,
): InboundOperation {
  const operation = consumeOperation(options, deliveries[0] ?? {}, deliveries.length);
  const { destination } = operation;
  return {
    message: { system: RABBITMQ, destination, url: destination, headers: {} },
    kind: SpanKind.CONSUMER,
    name: messageSpanName(operation),
    links: deliveries.flatMap(({ properties }) => inbound.linksTo(headersOf(properties?.headers))),
    attributes: () => operationAttributes(operation, connection),
  };
}

function headersOf(headers: object = {}) {
  return lowerCased(Object.entries(headers));
}

/** Marks the span as failed if the handler returns `Nack`, unless it requeues the message. */
function failIfRefused(result: unknown): unknown {
  const work = inboundWork();
  if (work === undefined) return result;
  const look = (value: unknown): unknown => {
    if (isRefusal(value)) markFailure(work.span, { name: 'Nack', message: '' });
    return value;
  };
  return result instanceof Promise ? result.then(look) : look(result);
}

/** Recognizes a `Nack` of any copy of the package. */
function isRefusal(value: unknown): boolean {
  return typeof value === 'object' && value !== null && value.constructor?.name === 'Nack' && 'requeue' in value && value.requeue !== true;
}
