/** One client of a gateway's server, from its handshake on: the spans of its coming, of its messages and of its going. */
import { isSpanContextValid, type Link, SpanKind, trace } from '@opentelemetry/api';
import { socketChangeAttributes, socketChangeName, socketMessageAttributes, socketMessageName } from '../conventions/websocket.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { workIn } from '../local/work.js';
import type { Arrival, Arrivals } from './arrival.js';
import { followedHandlers } from './followed-handlers.js';
import { servedWork } from './served-work.js';
import { spanOfSocketIo } from './socket-io-instrumentation.js';
import type { Carrier } from './websocket-carrier.js';
import { duringChange } from './websocket-changes.js';
import type { Handshake } from './websocket-client.js';

/** An answer that goes on for longer is a subscription, which lasts as long as the socket; its span ends with the handing over. */
const MAX_STREAM_MS = 1000;

export class SocketConnection {
  /** To the span of the connection: that a client's messages belong together shows without one endless trace. */
  private link: Link | undefined;

  constructor(
    private readonly arrivals: Arrivals,
    private readonly handshake: Handshake,
  ) {}

  /** Calls `accept`, which calls the handlers of the connection, in the span of the connection. */
  connect<T>(accept: () => T): T {
    const { arrivals } = this;
    const accepted: { result?: T } = {};
    const served = arrivals.serve<unknown>(
      () => this.change('connect'),
      () => {
        this.link = linkToActive();
        const handlers = followedHandlers();
        const work = servedWork();
        const handle = (gateway: Function, call: () => unknown): unknown => {
          if (isNoSpan(gateway, 'handleConnection')) work?.abandon();
          else if (work?.enter() === true) {
            work.handledBy(gateway.name, 'handleConnection');
            work.returned();
          }
          return handlers.follow(call);
        };
        accepted.result = duringChange({ method: 'handleConnection', handle }, accept);
        return handlers.outcome();
      },
    );
    // What handlers throw takes the way that it takes without tracing; this tells the span alone.
    if (served instanceof Promise) served.catch(() => undefined);
    return accepted.result as T;
  }

  /** Calls `leave`, which calls the handlers of the disconnect, each in its span. */
  disconnect<T>(leave: () => T): T {
    const handle = (gateway: Function, call: () => unknown): unknown => {
      const isUntraced = isNoSpan(gateway, 'handleDisconnect');
      return this.arrivals.serve(
        () => this.change('disconnect'),
        () => {
          servedWork()?.handledBy(gateway.name, 'handleDisconnect');
          return call();
        },
        isUntraced,
      );
    };
    return duringChange({ method: 'handleDisconnect', handle }, leave);
  }

  /** Calls the handler of a message in the span of the message; `findCarrier` finds the context that came with it. */
  message<T>(event: string, findCarrier: () => Carrier | undefined, isUntraced: boolean, handle: () => T): T {
    return this.arrivals.serve(() => this.arrivalOf(event, findCarrier()), handle, isUntraced);
  }

  private arrivalOf(event: string, carrier: Carrier | undefined): Arrival {
    const { system, place, headers } = this.handshake;
    return {
      message: { system, destination: event, url: place, headers: carrier ?? headers },
      kind: SpanKind.SERVER,
      name: socketMessageName(event),
      attributes: () => socketMessageAttributes(system, event, place),
      links: this.link === undefined ? [] : [this.link],
      openedElsewhere: spanOfSocketIo(),
      maxStreamMs: MAX_STREAM_MS,
      failsWithFilters: true,
    };
  }

  private change(change: 'connect' | 'disconnect'): Arrival {
    const { system, place, declaredPlace, headers, client } = this.handshake;
    return {
      message: { system, destination: place, url: place, headers },
      kind: SpanKind.SERVER,
      name: socketChangeName(change, declaredPlace),
      attributes: () => socketChangeAttributes(system, place, client),
      links: this.link === undefined ? [] : [this.link],
      openedElsewhere: spanOfSocketIo(),
    };
  }
}

function linkToActive(): Link | undefined {
  const spanContext = trace.getActiveSpan()?.spanContext();
  const isOurs = servedWork() !== undefined && workIn()?.relay === undefined;
  return isOurs && spanContext !== undefined && isSpanContextValid(spanContext) ? { context: spanContext } : undefined;
}
