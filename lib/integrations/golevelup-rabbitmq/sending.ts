/** Traces the messages that a connection sends: each gets a span and headers. The span of a request lasts until the reply. */
import { type Context, context, SpanKind } from '@opentelemetry/api';
import { messageSpanName, transitAttributes } from '../../conventions/messaging.js';
import { memberAt } from '../../conventions/peer.js';
import { InFlight } from '../../spans/in-flight.js';
import {
  outboundIn,
  type OutboundOperation,
  type OutboundWork,
  outgoingHeaders,
  startOutbound,
  withoutOtherSpans,
} from '../../spans/outbound.js';
import { runTracked } from '../../spans/track.js';
import { applicationIn, withWork, workIn } from '../../spans/work.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { type Address, type Connection, operationAttributes, RABBITMQ, sendOperation } from './attributes.js';
import { deliveryIn, type Home } from './handlers.js';

interface PublishOptions {
  readonly headers?: object;
  readonly correlationId?: unknown;
  readonly messageId?: unknown;
}

/** A `ChannelWrapper` of amqp-connection-manager. It queues messages until it has a channel. */
interface ManagedChannel {
  addSetup?(setup: Setup): Promise<unknown>;
  removeSetup?(setup: Setup): unknown;
}

type Setup = (channel: object) => Promise<void>;

export class TracedSending {
  readonly undo: Undo;
  private readonly inFlight = new InFlight<OutboundWork>();
  private readonly channels = new Set<object>();
  private readonly undoChannels: Undo[] = [];
  /** The headers objects of messages that have a span already. */
  private readonly carried = new WeakSet<object>();

  constructor(
    private readonly connection: Connection,
    private readonly home: Home,
  ) {
    this.wrapChannels();
    this.undo = undoAll([
      // If a connection closes, its open requests never get a reply.
      () => {
        for (const work of this.inFlight.all()) work.end();
      },
      undoAll(this.undoChannels),
      replaceMethod(connection, 'request', request => {
        const { home } = this;
        const send = (self: unknown, args: unknown[]) => this.inSpan('request', addressOf(args[0]), () => request.apply(self, args));
        return function (...args) {
          return home.inbound === undefined ? request.apply(this, args) : send(this, args);
        };
      }),
      // Before a connection opens, it has no channels.
      replaceMethod(connection, 'setupManagedChannel', setup => {
        const wrapChannels = () => this.wrapChannels();
        return function (...args) {
          const result = setup.apply(this, args);
          wrapChannels();
          return result;
        };
      }),
    ]);
  }

  private wrapChannels(): void {
    for (const channel of Object.values(this.connection.managedChannels ?? {})) {
      if (this.channels.has(channel)) continue;
      this.channels.add(channel);
      this.undoChannels.push(
        this.wrap(channel, 'publish', 3, ([exchange, routingKey]) => ({ exchange: String(exchange), routingKey: String(routingKey) })),
        this.wrap(channel, 'sendToQueue', 2, ([queue]) => ({ exchange: '', routingKey: String(queue) })),
        this.silence(channel),
      );
    }
  }

  /** `position`: the index of the options among the arguments. */
  private wrap(channel: object, name: string, position: number, addressIn: (args: unknown[]) => Address): Undo {
    return replaceMethod(channel, name, send => {
      const { home } = this;
      const sendTraced = (self: unknown, args: unknown[]): unknown => {
        const address = addressIn(args);
        const options = (args[position] ?? {}) as PublishOptions;
        const carry = (): unknown => {
          outboundIn()?.note(() => transitAttributes({ conversationId: options.correlationId, messageId: options.messageId }));
          const given = this.withHeaders(args, position, options);
          return withoutOtherSpans(() => send.apply(self, given));
        };
        // A request has a span already.
        return outboundIn() !== undefined ? carry() : this.inSpan('publish', address, carry);
      };
      return function (...args) {
        if (home.inbound === undefined) return send.apply(this, args);
        return isReply(addressIn(args), args[position]) ? withoutOtherSpans(() => send.apply(this, args)) : sendTraced(this, args);
      };
    });
  }

  /** Calls `send` in a span that lasts until its result is settled. */
  private inSpan(operation: 'publish' | 'request', address: Address, send: () => unknown): unknown {
    const parent = this.parent();
    const work = startOutbound(applicationIn(parent), this.describe(operation, address), parent);
    if (work.span.isRecording()) work.enter(this.inFlight);
    return runTracked(work, send);
  }

  /** Returns the parent context. Outside of any work, this belongs to the connection's application. */
  private parent(): Context {
    const active = context.active();
    const { inbound } = this.home;
    return inbound === undefined || workIn(active) !== undefined ? active : withWork(active, { application: inbound.application });
  }

  private describe(kind: 'publish' | 'request', address: Address): OutboundOperation {
    const operation = sendOperation(kind, address);
    return {
      message: { system: RABBITMQ, destination: operation.destination },
      kind: kind === 'request' ? SpanKind.CLIENT : SpanKind.PRODUCER,
      name: messageSpanName(operation),
      attributes: () => operationAttributes(operation, this.connection),
    };
  }

  private withHeaders(args: unknown[], position: number, options: PublishOptions): unknown[] {
    const headers = outgoingHeaders(options.headers);
    if (headers === undefined) return args;
    const merged = { ...options.headers, ...headers };
    this.carried.add(merged);
    return Object.assign([...args], { [position]: { ...options, headers: merged } });
  }

  /** Suppresses a second span of another instrumentation: a message that waits for a connection is sent in another context. */
  private silence(channel: ManagedChannel): Undo {
    const { carried } = this;
    const undo: Undo[] = [() => void channel.removeSetup?.(setup)];
    const setup: Setup = opened => {
      const silenced = replaceMethod(opened, 'publish', publish => {
        return function (...args) {
          const isCarried = carried.has(memberAt(args[3], 'headers') as object);
          return isCarried ? withoutOtherSpans(() => publish.apply(this, args)) : publish.apply(this, args);
        };
      });
      undo.push(silenced);
      return Promise.resolve();
    };
    void channel.addSetup?.(setup);
    return undoAll(undo);
  }
}

function addressOf(request: unknown): Address {
  const { exchange = '', routingKey = '' } = (request ?? {}) as Partial<Address>;
  return { exchange, routingKey };
}

/** Returns true if the message is the reply to a request. A reply gets no span and no new headers. */
function isReply({ exchange, routingKey }: Address, options: unknown): boolean {
  const { replyTo, correlationId } = deliveryIn()?.properties ?? {};
  return exchange === '' && routingKey === replyTo && memberAt(options, 'correlationId') === correlationId;
}
