/** Calls and messages that leave through Nest's client proxies: each `send` and `emit` in its span, with the headers where the transport has them. */
import { context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import { messageAttributes, messageSpanName } from '../conventions/messaging.js';
import { rpcAttributes } from '../conventions/rpc.js';
import { followObservable } from '../local/follow-observable.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { messages } from '../tracing.messages.js';
import { isGrpcClientProxy, traceGrpcClient } from './client-grpc.js';
import { type ClientProxy, type ClientTransport, isClientProxy, transportOf } from './client-transports.js';
import { type Departure, openDeparture } from './departure.js';

/** On the client, so that two copies of this library do not wrap twice. */
const TRACED = Symbol.for('nestjs-tracing/client-proxy');

interface Installation {
  holders: number;
  remove(): void;
}

/**
 * Traces a client proxy that Nest does not own, as `ClientProxyFactory.create()` makes it: a span per `send()` and `emit()`, and the trace
 * headers on the message. Returns the same client; calling it again changes nothing. Clients of `ClientsModule`, of `@Client()` and in the
 * properties of providers and controllers need no call.
 *
 * @example
 * const orders = traceClientProxy(ClientProxyFactory.create({ transport: Transport.TCP }));
 *
 * @publicApi
 */
export function traceClientProxy<T extends object>(client: T): T {
  if (!isClientProxy(client)) throw new TypeError(messages.notAClientProxy(client));
  if (!forGood.has(client)) {
    installOnClient(client);
    forGood.add(client);
  }
  return client;
}

const forGood = new WeakSet();

/** Wraps a client where no one has yet; the last of those who asked for it unwraps it again. @internal */
export function installOnClient(client: ClientProxy & { [TRACED]?: Installation }): () => void {
  let installation = client[TRACED];
  if (installation === undefined) {
    const remove = isGrpcClientProxy(client) ? traceGrpcClient(client) : wrapClient(client, transportOf(client));
    installation = { holders: 0, remove };
    Object.defineProperty(client, TRACED, { value: installation, configurable: true });
  }
  const held = installation;
  held.holders += 1;
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    held.holders -= 1;
    if (held.holders > 0) return;
    held.remove();
    Reflect.deleteProperty(client, TRACED);
  };
}

function wrapClient(client: ClientProxy, transport: ClientTransport): () => void {
  const describe = (pattern: unknown) => departureOf(client, transport, pattern);
  return undoAll([
    transport.carry(client),
    // The connection outlives the request that happens to need it first.
    replaceMethod(client, 'connect', connect => {
      return function (...args) {
        return context.with(ROOT_CONTEXT, () => connect.apply(this, args));
      };
    }),
    // Cold: a span, and a message, per subscription.
    replaceMethod(client, 'send', send => {
      return function (...args) {
        const answers = send.apply(this, args) as Observable<unknown>;
        return followObservable(answers as never, () => openDeparture(() => describe(args[0])));
      };
    }),
    // Hot: sent at once, whoever subscribes.
    replaceMethod(client, 'emit', emit => {
      return function (...args) {
        const running = openDeparture(() => describe(args[0]));
        let sent: Observable<unknown>;
        try {
          sent = running.run(() => emit.apply(this, args)) as Observable<unknown>;
        } catch (thrown) {
          running.fail(thrown);
          throw thrown;
        }
        sent.subscribe({ error: thrown => running.fail(thrown), complete: () => running.end() });
        return inContextOfSubscriber(sent);
      };
    }),
  ]);
}

function departureOf(client: ClientProxy, transport: ClientTransport, pattern: unknown): Departure {
  const { system } = transport;
  const destination = transport.destination?.(client, pattern) ?? client.normalizePattern(pattern);
  const message = { system, destination };
  if (transport.protocol === 'rpc') {
    const attributes = () => rpcAttributes(system, destination, transport.serverOf(client));
    return { message, kind: SpanKind.CLIENT, name: destination, attributes };
  }
  const operation = { system, operation: transport.operation, type: 'send', destination } as const;
  const attributes = () => messageAttributes({ ...operation, server: transport.serverOf(client) });
  return { message, kind: SpanKind.PRODUCER, name: messageSpanName(operation), attributes };
}

/** What comes back comes from a socket: who subscribed goes on in the context that it subscribed in. */
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
