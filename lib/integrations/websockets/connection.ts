/** One client of a gateway: the spans of its connection, of its messages and of its disconnect. */
import { context, createContextKey, isSpanContextValid, type Link, type Span, SpanKind, trace } from '@opentelemetry/api';
import { socketChangeAttributes, socketChangeName, socketMessageAttributes, socketMessageName } from './attributes.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { workIn } from '../../spans/work.js';
import type { InboundOperation, InboundOperations } from '../../spans/inbound.js';
import { type InboundWork, inboundWork } from '../../spans/inbound-work.js';
import type { Carrier } from '../../propagation/payload-carrier.js';
import { type Method, type Undo, wrapMethod } from '../../wrapping/replace-method.js';
import { replaceOnPrototype } from '../../wrapping/shared-installation.js';
import type { Handshake } from './client.js';

export class SocketConnection {
  /** A link to the span of the connection. Messages have this link and not a parent, so that no trace is endless. */
  private link: Link | undefined;

  constructor(
    private readonly inbound: InboundOperations,
    private readonly handshake: Handshake,
  ) {}

  /** Calls `accept` in the span of the connection. It calls the `handleConnection` of all gateways. The span ends when all are done. */
  connect<T>(accept: () => T): T {
    let work: InboundWork | undefined;
    // The number of handlers that are not done, plus one for `accept` itself.
    let pending = 1;
    let hasFailed = false;
    const done = (): void => {
      pending -= 1;
      if (pending === 0) work?.returned();
    };
    const fail = (thrown: unknown): never => {
      if (!hasFailed) work?.threw(thrown);
      hasFailed = true;
      done();
      throw thrown;
    };
    const handle = (gateway: Function, call: () => unknown): unknown => {
      if (isNoSpan(gateway, 'handleConnection')) work?.abandon();
      else if (work?.enter() === true) work.handledBy(gateway.name, 'handleConnection');
      pending += 1;
      let result: unknown;
      try {
        result = call();
      } catch (thrown) {
        return fail(thrown);
      }
      const succeed = (value: unknown): unknown => {
        done();
        return value;
      };
      return result instanceof Promise ? result.then(succeed, fail) : succeed(result);
    };
    try {
      return this.inbound.run(
        () => this.change('connect'),
        () => {
          this.link = linkToActive();
          work = inboundWork();
          return duringChange({ method: 'handleConnection', handle }, accept);
        },
      );
    } finally {
      done();
    }
  }

  /** Calls `leave`, which calls the `handleDisconnect` of all gateways. Each of them gets a span. */
  disconnect<T>(leave: () => T): T {
    const handle = (gateway: Function, call: () => unknown): unknown =>
      this.inbound.run(
        () => this.change('disconnect'),
        () => {
          inboundWork()?.handledBy(gateway.name, 'handleDisconnect');
          return call();
        },
        isNoSpan(gateway, 'handleDisconnect'),
      );
    return duringChange({ method: 'handleDisconnect', handle }, leave);
  }

  /** Calls the handler of a message in its span. `findCarrier` finds the context in the message. */
  message<T>(event: string, findCarrier: () => Carrier | undefined, isUntraced: boolean, handle: () => T): T {
    return this.inbound.run(() => this.operationOf(event, findCarrier()), handle, isUntraced);
  }

  private operationOf(event: string, carrier: Carrier | undefined): InboundOperation {
    const { system, place, headers } = this.handshake;
    return {
      message: { system, destination: event, url: place, headers: carrier ?? headers },
      ...this.opening(),
      name: socketMessageName(event),
      attributes: () => socketMessageAttributes(system, event, place),
      // A stream of answers lasts as long as the socket.
      streamsFrom: 'handover',
      failsWithFilters: true,
    };
  }

  private change(change: 'connect' | 'disconnect'): InboundOperation {
    const { system, place, declaredPlace, headers, client } = this.handshake;
    return {
      message: { system, destination: place, url: place, headers },
      ...this.opening(),
      name: socketChangeName(change, declaredPlace),
      attributes: () => socketChangeAttributes(system, place, client),
    };
  }

  private opening() {
    return { kind: SpanKind.SERVER, links: this.link === undefined ? [] : [this.link], openedElsewhere: spanOfSocketIo() } as const;
  }
}

function linkToActive(): Link | undefined {
  const spanContext = trace.getActiveSpan()?.spanContext();
  const isOurs = inboundWork() !== undefined && workIn()?.passthrough === undefined;
  return isOurs && spanContext !== undefined && isSpanContextValid(spanContext) ? { context: spanContext } : undefined;
}

interface SocketChange {
  readonly method: 'handleConnection' | 'handleDisconnect';
  /** Calls a handler of the gateway. Returns or throws exactly what the handler does. */
  handle(gateway: Function, call: () => unknown): unknown;
}

const CHANGE = createContextKey('nestjs-tracing/socket-change');

/** Calls `fn`. Lifecycle handlers that it calls belong to `change`. */
function duringChange<T>(change: SocketChange, fn: () => T): T {
  return context.with(context.active().setValue(CHANGE, change), fn);
}

/** Wraps `handleConnection` and `handleDisconnect` of a gateway, so that they run inside the span of the change. Returns how to undo it. */
export function observeChanges(gateway: Function): Undo {
  return replaceOnPrototype(gateway, ['handleConnection', 'handleDisconnect'], (handler, name) => observing(gateway, name, handler));
}

function observing(gateway: Function, method: string, callback: Method): Method {
  return wrapMethod(callback, function (this: unknown, ...args: unknown[]): unknown {
    const active = context.active();
    const change = active.getValue(CHANGE) as SocketChange | undefined;
    if (change?.method !== method) return callback.apply(this, args);
    // Lifecycle handlers that this handler calls itself are ordinary calls.
    return context.with(active.deleteValue(CHANGE), () => change.handle(gateway, () => callback.apply(this, args)));
  });
}

interface SdkSpan extends Span {
  readonly kind?: SpanKind;
  readonly instrumentationScope?: { readonly name?: string };
}

/** Returns the active span if OpenTelemetry's instrumentation of socket.io opened it for this message, which then gets no second span. */
function spanOfSocketIo(): Span | undefined {
  const span: SdkSpan | undefined = trace.getActiveSpan();
  const isFromSocketIo = span?.instrumentationScope?.name === '@opentelemetry/instrumentation-socket.io';
  return isFromSocketIo && span.kind === SpanKind.CONSUMER ? span : undefined;
}
