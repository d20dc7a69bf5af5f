/** Traces outgoing calls and messages of Nest's client proxies: each gets a span, and its transport carries the headers. */
import { type Attributes, type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { isObservable, Observable } from 'rxjs';
import { messageAttributes, type MessageOperation, messageSpanName, transitAttributes } from '../../conventions/messaging.js';
import { methodName, rpcAttributes, rpcSpanName } from '../../conventions/rpc.js';
import { messages } from '../../options/messages.js';
import { SLIM_ROOT } from '../../spans/context.js';
import { followObservable } from '../../spans/follow-consumers.js';
import { InFlight } from '../../spans/in-flight.js';
import { outboundIn, type OutboundOperation, type OutboundWork, startOutbound } from '../../spans/outbound.js';
import { track } from '../../spans/track.js';
import { applicationIn, type TracingApplication, withWork, workIn } from '../../spans/work.js';
import { hasMethods, isTouchable } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installForGood, share } from '../../wrapping/shared-installation.js';
import { isGrpcClientProxy, traceGrpcClient } from './grpc/client.js';
import { kafkaClient } from './kafka.js';
import { mqttClient } from './mqtt.js';
import { natsClient } from './nats.js';
import { rabbitmqClient } from './rabbitmq.js';
import { redisClient } from './redis.js';
import { customClient, tcpClient } from './tcp.js';
import { type ClientProxy, type ClientTransport, replaceSending } from './transport.js';

const transports: readonly ClientTransport[] = [tcpClient, redisClient, natsClient, rabbitmqClient, mqttClient, kafkaClient];

/** Called for every member of request-scoped instances, so the first check is cheap and rejects most. @internal */
export function isClientProxy(value: unknown): value is ClientProxy {
  const methods = ['dispatchEvent', 'publish', 'emit', 'send', 'connect', 'normalizePattern'];
  return isTouchable(value) && 'dispatchEvent' in value && hasMethods(value, ...methods);
}

/** Marks the client, so that two copies of this library do not wrap it twice. */
const TRACED = Symbol.for('nestjs-tracing/client-proxy');

/** The application that a client belongs to. */
interface Home {
  /** Traces calls outside of any work. If undefined, the oldest application does. */
  application: TracingApplication | undefined;
}

/**
 * Traces a client proxy that Nest does not own, such as one from `ClientProxyFactory.create()`. Each `emit()`, and each subscription to the
 * result of `send()`, gets a span (semantic conventions for RPC and messaging) and sends the trace headers. Returns the same client; a
 * second call changes nothing. Clients of `ClientsModule`, of `@Client()` and in properties of providers or controllers are traced already.
 *
 * @throws TypeError if `client` is not a client proxy.
 * @example
 * const orders = traceClientProxy(ClientProxyFactory.create({ transport: Transport.TCP }));
 *
 * @publicApi
 */
export function traceClientProxy<T extends object>(client: T): T {
  if (!isClientProxy(client)) throw new TypeError(messages.notAClientProxy(client));
  return installForGood(client, installOnClient);
}

/** Wraps a client once, even for several applications. Returns the undo function: its last call unwraps the client. @internal */
export function installOnClient(client: ClientProxy, application?: TracingApplication): Undo {
  const { installation, release } = share(client, TRACED, () => {
    const home: Home = { application };
    return Object.assign(home, { undo: isGrpcClientProxy(client) ? traceGrpcClient(client) : wrapClient(client, home) });
  });
  installation.application ??= application;
  return () => {
    if (installation.application === application) installation.application = undefined;
    release();
  };
}

function wrapClient(client: ClientProxy, home: Home): Undo {
  const transport = transports.find(({ members }) => members.every(name => name in client)) ?? customClient;
  const inFlight = new InFlight<OutboundWork>();
  const open = (pattern: unknown) => {
    const parent = contextAt(home);
    const work = startOutbound(applicationIn(parent), new Sending(client, transport, pattern), parent);
    if (work.span.isRecording()) work.enter(inFlight);
    return work;
  };
  return undoAll([
    // Some versions of some clients do not tell their subscribers that they are closed.
    () => {
      for (const work of inFlight.all()) work.end();
    },
    transport.carry(client),
    noteTransit(client, transport),
    // The connection lives longer than the request that opens it.
    replaceMethod(client, 'connect', connect => {
      return function (...args) {
        return context.with(ROOT_CONTEXT, () => connect.apply(this, args));
      };
    }),
    // Cold: each subscription sends a message and gets a span.
    replaceMethod(client, 'send', send => {
      return function (...args) {
        const answers = send.apply(this, args);
        return isObservable(answers) ? followObservable(answers as never, () => open(args[0])) : answers;
      };
    }),
    // Hot: sends at once, without a subscription.
    ...(transport.hot ?? ['emit']).map(name =>
      replaceMethod(client, name, emit => {
        return function (...args) {
          const work = open(args[0]);
          let sent: unknown;
          try {
            sent = work.run(() => emit.apply(this, args));
          } catch (thrown) {
            work.fail(thrown);
            throw thrown;
          }
          // Without pattern or data, Nest sends nothing and each subscription fails, so ours does no harm.
          const isRefused = isObservable(sent) && args.slice(0, 2).some(arg => arg === undefined || arg === null);
          if (isHot(sent) || isRefused) {
            const source = sent as Observable<unknown>;
            source.subscribe({ error: thrown => work.fail(thrown), complete: () => work.end() });
            return inContextOfSubscriber(source);
          }
          if (!isObservable(sent)) return track(sent, work, () => open(args[0]));
          // A custom client may return a cold Observable. It would send twice if we also subscribed.
          let first: OutboundWork | undefined = work;
          return followObservable(sent as never, () => {
            const subscribed = first ?? open(args[0]);
            first = undefined;
            return subscribed;
          });
        };
      }),
    ),
  ]);
}

/** Notes the connection and the ids of a message when the client passes it to the transport. Before that, it may have no connection. */
function noteTransit(client: ClientProxy, { connectionOf, clientIdOf, idsOf }: ClientTransport): Undo {
  if (connectionOf === undefined) return () => undefined;
  return replaceSending(client, send => {
    return function (...args) {
      const work = outboundIn();
      const sent = send.apply(this, args);
      work?.note(() => {
        const ids = idsOf?.(args[0] ?? {});
        return transitAttributes({ ...ids, clientId: clientIdOf?.(client), connection: connectionOf(client) });
      });
      return sent;
    };
  });
}

function contextAt({ application }: Home): Context {
  const active = context.active();
  if (application === undefined || workIn(active) !== undefined) return active;
  return withWork(active === ROOT_CONTEXT ? SLIM_ROOT : active, { application });
}

class Sending implements OutboundOperation {
  readonly kind: SpanKind.CLIENT | SpanKind.PRODUCER;
  private described: (MessageOperation & { readonly template: string }) | undefined = undefined;

  constructor(
    private readonly client: ClientProxy,
    private readonly transport: ClientTransport,
    private readonly pattern: unknown,
  ) {
    this.kind = transport.protocol === 'rpc' ? SpanKind.CLIENT : SpanKind.PRODUCER;
  }

  get name(): string {
    const { operation } = this;
    return this.kind === SpanKind.CLIENT ? rpcSpanName(operation.system, operation.template) : messageSpanName(operation);
  }

  get message() {
    const { system, template } = this.operation;
    return { system, destination: template };
  }

  attributes(): Attributes {
    const { client, operation, pattern, transport } = this;
    const server = transport.serverOf?.(client);
    const isCall = this.kind === SpanKind.CLIENT;
    const shared = isCall ? rpcAttributes(operation.system, operation.template, server) : messageAttributes({ ...operation, server });
    return { ...shared, ...transport.attributes?.(client, pattern) };
  }

  private get operation() {
    return (this.described ??= this.describe());
  }

  private describe() {
    const { client, pattern, transport } = this;
    const { system, operation } = transport;
    const template = methodName(client.normalizePattern(pattern));
    const destination = transport.destination?.(client, pattern) ?? template;
    return { system, operation, type: 'send', destination, template, ...transport.queueOf?.(client) } as const;
  }
}

/** Returns true if the message is sent already: Nest then returns a connectable Observable, and has called its `connect()`. */
function isHot(sent: unknown): boolean {
  return isObservable(sent) && 'connect' in sent;
}

/** Makes subscribers receive values in the context in which they subscribed. The values come from a socket, in another context. */
function inContextOfSubscriber<T>(source: Observable<T>): Observable<T> {
  return new Observable<T>(subscriber => {
    const caller = context.active();
    return source.subscribe({
      next: value => context.with(caller, () => subscriber.next(value)),
      error: (thrown: unknown) => context.with(caller, () => subscriber.error(thrown)),
      complete: () => context.with(caller, () => subscriber.complete()),
    });
  });
}
