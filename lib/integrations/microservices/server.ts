/** Traces incoming calls and messages of a Nest microservice server: wraps its handlers. */
import type { ModulesContainer } from '@nestjs/core';
import { type Attributes, type Span, SpanKind } from '@opentelemetry/api';
import { markFailure } from '../../conventions/failure.js';
import { messageAttributes, messageSpanName } from '../../conventions/messaging.js';
import { rpcAttributes, rpcSpanName, type ServerAddress, unknownMethodAttributes } from '../../conventions/rpc.js';
import { untracedPatterns } from '../../nest/handlers.js';
import { messages } from '../../options/messages.js';
import type { InboundMessage } from '../../options/tracing-options.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { classesOf } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { currentEnvelope } from './envelope.js';
import { isGrpcServer, traceGrpcServer } from './grpc/server.js';
import { kafkaServer } from './kafka.js';
import { mqttServer } from './mqtt.js';
import { natsServer } from './nats.js';
import { rabbitmqServer } from './rabbitmq.js';
import { redisServer } from './redis.js';
import { customServer, tcpServer } from './tcp.js';
import type { ReadMessage, RpcServer, ServerTransport } from './transport.js';

/** The keys are values of Nest's enum `Transport`. Any other server is a custom strategy. */
const transports = new Map<unknown, ServerTransport>([
  [0, tcpServer],
  [1, redisServer],
  [2, natsServer],
  [3, mqttServer],
  [5, rabbitmqServer],
  [6, kafkaServer],
]);

/** A handler that Nest registers with a server. `next` links the further handlers of an event. */
type Handler = ((this: unknown, ...args: unknown[]) => unknown) & { next?: unknown };

/** Traces all messages that come in through a server. It must have no handlers yet. Returns the undo function. */
export function traceServer(server: RpcServer, modules: ModulesContainer, inbound: InboundOperations): Undo {
  const controllers = classesOf(modules, 'controllers');
  return isGrpcServer(server) ? traceGrpcServer(server, controllers, inbound) : new TracedServer(server, controllers, inbound).undo;
}

class TracedServer {
  readonly undo: Undo;
  private readonly transport: ServerTransport;
  private readonly untraced: ReadonlySet<string>;

  constructor(
    private readonly server: RpcServer,
    controllers: Iterable<Function>,
    private readonly inbound: InboundOperations,
  ) {
    this.transport = transports.get(server.transportId) ?? customServer;
    this.untraced = untracedPatterns(controllers, pattern => this.nameOf(pattern));
    this.undo = undoAll([
      this.transport.watch?.(server) ?? (() => undefined),
      this.transport.takesAnything === true ? this.watchUnhandled() : () => undefined,
      replaceMethod(server, 'addHandler', addHandler => (pattern, callback, isEventHandler, extras) => {
        const handler = callback as Handler;
        // One message has one span: the first handler of an event calls the others.
        const isFollower = isEventHandler === true && server.getHandlers().has(this.normalized(pattern));
        return addHandler.call(server, pattern, isFollower ? handler : this.traced(pattern, handler), isEventHandler, extras);
      }),
    ]);
  }

  private traced(pattern: unknown, handler: Handler): Handler {
    const { inbound, server, transport } = this;
    const registered = this.nameOf(pattern);
    const isUntraced = this.untraced.has(registered);
    const traced: Handler = function (...args) {
      return inbound.run(
        () => new ReceivedMessage(server, transport, registered, args, handler.next !== undefined),
        () => handler.apply(this, args),
        isUntraced,
      );
    };
    // Nest sets `next` on the registered function, and reads it from its own function.
    Object.defineProperty(traced, 'next', {
      get: () => handler.next,
      set: (next: unknown) => (handler.next = next),
      enumerable: true,
      configurable: true,
    });
    return traced;
  }

  /** Opens a failed span for each message without a handler. */
  private watchUnhandled(): Undo {
    const refuse = (pattern: unknown): void => {
      const envelope = currentEnvelope();
      // Nest looks up the handlers of an event twice.
      if (envelope === undefined || envelope.isUnhandled === true) return;
      envelope.isUnhandled = true;
      try {
        this.inbound.run(
          () => new UnhandledMessage(this.server, this.transport, String(pattern)),
          () => {
            throw noHandler();
          },
        );
      } catch {
        // The span has recorded the failure.
      }
    };
    return replaceMethod(this.server, 'getHandlerByPattern', getHandlerByPattern => {
      return function (...args) {
        const handler = getHandlerByPattern.apply(this, args);
        if (handler === null || handler === undefined) refuse(args[0]);
        return handler;
      };
    });
  }

  private normalized(pattern: unknown): unknown {
    return pattern instanceof RegExp ? pattern : this.server.normalizePattern(pattern);
  }

  /** Returns the pattern as text: `sum`, `{"cmd":"sum"}`, `/orders[.]/`. */
  private nameOf(pattern: unknown): string {
    return String(this.normalized(pattern));
  }
}

class ReceivedMessage implements InboundOperation {
  readonly kind: SpanKind.SERVER | SpanKind.CONSUMER;
  readonly message: InboundMessage;
  protected readonly read: ReadMessage;

  constructor(
    protected readonly server: RpcServer,
    protected readonly transport: ServerTransport,
    protected readonly registered: string,
    args: readonly unknown[],
    readonly isShared: boolean,
  ) {
    this.kind = transport.protocol === 'rpc' ? SpanKind.SERVER : SpanKind.CONSUMER;
    const read = transport.read(server, registered, args);
    const ruled = read.pattern ?? read.destination;
    this.message = { system: transport.system, destination: ruled, url: ruled, headers: read.headers };
    this.read = read;
  }

  get instrumentation(): string | undefined {
    return this.transport.instrumentation;
  }

  get connection() {
    return this.read.caller;
  }

  get streamsFrom() {
    return 'first value' as const;
  }

  get name(): string {
    return this.kind === SpanKind.SERVER ? this.methodName : messageSpanName(this.described);
  }

  attributes(): Attributes {
    const { read, server, transport } = this;
    const address = transport.serverOf?.(server);
    const connection = transport.connectionOf?.(server);
    if (this.kind === SpanKind.SERVER) return this.methodAttributes(address, connection);
    const clientId = transport.clientIdOf?.(server);
    return { ...messageAttributes({ ...this.described, server: address, connection, clientId }), ...read.attributes?.() };
  }

  protected get methodName(): string {
    return this.registered;
  }

  protected methodAttributes(address: ServerAddress | undefined, connection: unknown): Attributes {
    return rpcAttributes(this.transport.system, this.registered, address, connection);
  }

  protected get template(): string | undefined {
    return this.read.template ?? this.registered;
  }

  private get described() {
    const { pattern: _pattern, attributes: _attributes, caller: _caller, ...read } = this.read;
    const { system, operation } = this.transport;
    return { ...read, system, operation, type: 'process', template: this.template } as const;
  }
}

/** A message without a handler. Its pattern is not in the span's name: a sender could invent any number of patterns. */
class UnhandledMessage extends ReceivedMessage {
  constructor(server: RpcServer, transport: ServerTransport, pattern: string) {
    super(server, transport, pattern, [], false);
  }

  protected override get methodName(): string {
    return rpcSpanName(this.transport.system);
  }

  protected override methodAttributes(address: ServerAddress | undefined, connection: unknown): Attributes {
    return unknownMethodAttributes(this.transport.system, this.registered, address, connection);
  }

  protected override get template(): string | undefined {
    return this.read.template;
  }

  fail(span: Span, thrown: unknown): void {
    markFailure(span, thrown);
  }
}

function noHandler(): Error {
  return Object.assign(new Error(messages.noHandler()), { code: 'NO_HANDLER' });
}
