/** Calls and messages that leave through Nest's client proxies: each `send` and `emit` in its span, with the headers where the transport has them. */
import { type Context, context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { isObservable, Observable } from 'rxjs';
import { messageAttributes, messageSpanName } from '../conventions/messaging.js';
import { methodName, rpcAttributes, rpcSpanName } from '../conventions/rpc.js';
import { followObservable } from '../local/follow-observable.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { type TracingApplication, withWork, workIn } from '../local/work.js';
import { messages } from '../tracing.messages.js';
import { isGrpcClientProxy, traceGrpcClient } from './client-grpc.js';
import type { ClientProxy, ClientTransport } from './client-transport.js';
import { isClientProxy, transportOf } from './client-transports.js';
import { type Departure, type DepartureSpan, openDeparture } from './departure.js';
import { holdInstallation, installForGood } from './shared-installation.js';

/** On the client, so that two copies of this library do not wrap twice. */
const TRACED = Symbol.for('nestjs-tracing/client-proxy');

/** Whose client it is. */
interface Home {
  /** That which sends outside of any work; where nobody knows, the oldest one alive. */
  application: TracingApplication | undefined;
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
  return installForGood(client, installOnClient);
}

/** Wraps a client where no one has yet; the last of those who asked for it unwraps it again. @internal */
export function installOnClient(client: ClientProxy, application?: TracingApplication): () => void {
  const { installation, release } = holdInstallation(client, TRACED, () => {
    const home: Home = { application };
    const remove = isGrpcClientProxy(client) ? traceGrpcClient(client) : wrapClient(client, transportOf(client), home);
    return Object.assign(home, { remove });
  });
  installation.application ??= application;
  return () => {
    if (installation.application === application) installation.application = undefined;
    release();
  };
}

function wrapClient(client: ClientProxy, transport: ClientTransport, home: Home): () => void {
  const underWay = new Set<DepartureSpan>();
  const open = (pattern: unknown) => {
    const running = openDeparture(() => departureOf(client, transport, pattern), contextAt(home));
    if (running.span.isRecording()) {
      underWay.add(running);
      running.onEnd = () => underWay.delete(running);
    }
    return running;
  };
  return undoAll([
    // Not every version of every client tells those who wait that it is closed.
    () => {
      for (const running of [...underWay]) running.end();
    },
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
        const answers = send.apply(this, args);
        return isObservable(answers) ? followObservable(answers as never, () => open(args[0])) : answers;
      };
    }),
    // Hot: sent at once, whoever subscribes.
    ...(transport.hot ?? ['emit']).map(name =>
      replaceMethod(client, name, emit => {
        return function (...args) {
          const running = open(args[0]);
          let sent: unknown;
          try {
            sent = running.run(() => emit.apply(this, args));
          } catch (thrown) {
            running.fail(thrown);
            throw thrown;
          }
          // What Nest refuses fails whoever subscribes to it, and sends nothing.
          if (isHot(sent) || (isObservable(sent) && args.slice(0, 2).some(isNil))) {
            sent.subscribe({ error: thrown => running.fail(thrown), complete: () => running.end() });
            return inContextOfSubscriber(sent);
          }
          // A client of the user's own may be cold here, too, and subscribed to by us as well it would send twice.
          if (isObservable(sent)) {
            let first: DepartureSpan | undefined = running;
            return followObservable(sent as never, () => {
              const subscribed = first ?? open(args[0]);
              first = undefined;
              return subscribed;
            });
          }
          running.end();
          return sent;
        };
      }),
    ),
  ]);
}

function contextAt({ application }: Home): Context {
  const active = context.active();
  return application === undefined || workIn(active) !== undefined ? active : withWork(active, { application });
}

function departureOf(client: ClientProxy, transport: ClientTransport, pattern: unknown): Departure {
  const { system } = transport;
  const template = methodName(client.normalizePattern(pattern));
  const message = { system, destination: template };
  if (transport.protocol === 'rpc') {
    const attributes = () => ({
      ...rpcAttributes(system, template, transport.serverOf(client)),
      ...transport.attributes?.(client, pattern),
    });
    return { message, kind: SpanKind.CLIENT, name: rpcSpanName(system, template), attributes };
  }
  const destination = transport.destination?.(client, pattern) ?? template;
  const operation = { system, operation: transport.operation, type: 'send', destination, template } as const;
  const attributes = () => ({
    ...messageAttributes({ ...operation, server: transport.serverOf(client) }),
    ...transport.attributes?.(client, pattern),
  });
  return { message, kind: SpanKind.PRODUCER, name: messageSpanName(operation), attributes };
}

function isNil(value: unknown): boolean {
  return value === undefined || value === null;
}

/** Whether it is on its way already: rxjs makes such an Observable of one that is not, and `connect` is what Nest has called by now. */
function isHot(sent: unknown): sent is Observable<unknown> {
  return isObservable(sent) && 'connect' in sent;
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
