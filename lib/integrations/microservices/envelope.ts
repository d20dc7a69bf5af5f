/**
 * Reads and writes the envelope of a message. TCP, Redis and MQTT before version 5 send JSON, with headers as `metadata`. Nest reads these
 * since 12.0.4, this library with every version; other receivers ignore them. RabbitMQ and NATS deliver their own message objects.
 */
import { context, createContextKey } from '@opentelemetry/api';
import type { InboundRequest } from '../../options/tracing-options.js';
import { outgoingHeaders } from '../../spans/outbound.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { type ClientProxy, replaceSending } from './transport.js';

/** Puts the headers of the active context into every packet of a client. Returns the undo function. */
export function carryInEnvelope(client: ClientProxy): Undo {
  return replaceSending(client, send => {
    return function (packet, ...rest) {
      return send.call(this, stamped(packet), ...rest);
    };
  });
}

/** Adds the headers of the active context to `packet`, and returns it. */
export function stamped(packet: unknown): unknown {
  if (!isObject(packet)) return packet;
  const { metadata } = packet as { metadata?: unknown };
  const existing = isObject(metadata) ? metadata : undefined;
  const headers = outgoingHeaders(existing);
  if (headers !== undefined) Object.assign(packet, { metadata: { ...existing, ...headers } });
  return packet;
}

interface Envelope {
  metadata?: unknown;
  /** The id that Nest gives a request and its answer. Undefined for events. */
  id?: unknown;
  /** The source of the message: a socket, if the server has many. */
  readonly source?: unknown;
  /** The message object of the broker's library. */
  readonly delivery?: unknown;
  /** True if Nest found no handler for the message. */
  isUnhandled?: boolean;
}

const ENVELOPE = createContextKey('nestjs-tracing/rpc-envelope');

/** Returns the envelope of the current message. */
export function currentEnvelope(): Envelope | undefined {
  return context.active().getValue(ENVELOPE) as Envelope | undefined;
}

/** Returns the headers in the current envelope. */
export function envelopeIn(): InboundRequest['headers'] {
  const metadata = currentEnvelope()?.metadata;
  return isObject(metadata) ? (metadata as InboundRequest['headers']) : NOTHING;
}

const NOTHING: InboundRequest['headers'] = {};

export function requestIdIn(): unknown {
  return currentEnvelope()?.id;
}

/**
 * Notes the envelope of each incoming message before Nest looks up its handler: custom deserializers may drop the metadata.
 * Returns the undo function.
 */
export function watchEnvelopes(server: object): Undo {
  return undoAll([
    // TCP passes a parsed message here. Redis and MQTT parse it below.
    watchMessages(server, ([source, raw]) => ({ metadata: metadataOf(raw), id: idOf(raw), source })),
    replaceMethod(server, 'parseMessage', parseMessage => {
      return function (...args) {
        const raw = parseMessage.apply(this, args);
        Object.assign(currentEnvelope() ?? {}, { metadata: metadataOf(raw), id: idOf(raw) });
        return raw;
      };
    }),
  ]);
}

/** Notes the broker's message object for each incoming message. Returns the undo function. */
export function watchDeliveries(server: object): Undo {
  return watchMessages(server, ([delivery]) => ({ delivery }));
}

/** Notes the id of each incoming request, which is known only after Nest has parsed the request. Returns the undo function. */
export function watchRequests(server: object): Undo {
  return undoAll([
    watchDeliveries(server),
    replaceMethod(server, 'getPublisher', getPublisher => {
      return function (...args) {
        Object.assign(currentEnvelope() ?? {}, { id: args[1] });
        return getPublisher.apply(this, args);
      };
    }),
  ]);
}

function watchMessages(server: object, envelopeOf: (args: unknown[]) => Envelope): Undo {
  return replaceMethod(server, 'handleMessage', handleMessage => {
    return function (...args) {
      return context.with(context.active().setValue(ENVELOPE, envelopeOf(args)), () => handleMessage.apply(this, args));
    };
  });
}

function metadataOf(raw: unknown): unknown {
  return isObject(raw) && 'metadata' in raw ? raw.metadata : undefined;
}

/** Returns the id of a Nest message. Messages of other senders may have an `id`, but no `pattern`. */
function idOf(raw: unknown): unknown {
  return isObject(raw) && 'id' in raw && 'pattern' in raw ? raw.id : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
