/**
 * What came in, before Nest has found a handler for it: the `metadata` of the JSON envelope that TCP and Redis send, which Nest hands to
 * handlers from 12.0.4 on and custom deserializers may drop, and the deliveries of RabbitMQ.
 */
import { context, createContextKey } from '@opentelemetry/api';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { InboundRequest } from '../tracing.options.js';

const ENVELOPE = createContextKey('nestjs-tracing/rpc-envelope');
type Headers = InboundRequest['headers'];

const NOTHING: Headers = {};

export interface Envelope {
  metadata: unknown;
  /** As the library of a broker delivers it. */
  readonly delivery?: unknown;
  /** No handler was found for it. */
  isUnhandled?: boolean;
}

/** The message that is being taken in. */
export function currentEnvelope(): Envelope | undefined {
  return context.active().getValue(ENVELOPE) as Envelope | undefined;
}

/** What came in with the message that is being handled. */
export function envelopeIn(): Headers {
  const envelope = currentEnvelope();
  return isObject(envelope?.metadata) ? (envelope.metadata as Headers) : NOTHING;
}

/** Notes the metadata of every message that a server takes in; returns what ends it. */
export function watchEnvelopes(server: object): () => void {
  return undoAll([
    replaceMethod(server, 'handleMessage', handleMessage => {
      return function (...args) {
        // TCP hands the parsed message in; Redis parses it below, before anything else.
        const envelope: Envelope = { metadata: metadataOf(args[1]) };
        return context.with(context.active().setValue(ENVELOPE, envelope), () => handleMessage.apply(this, args));
      };
    }),
    replaceMethod(server, 'parseMessage', parseMessage => {
      return function (...args) {
        const raw = parseMessage.apply(this, args);
        const envelope = currentEnvelope();
        if (envelope !== undefined) envelope.metadata = metadataOf(raw);
        return raw;
      };
    }),
  ]);
}

/** Notes every delivery that a server takes in; returns what ends it. */
export function watchDeliveries(server: object): () => void {
  return replaceMethod(server, 'handleMessage', handleMessage => {
    return function (...args) {
      const envelope: Envelope = { metadata: undefined, delivery: args[0] };
      return context.with(context.active().setValue(ENVELOPE, envelope), () => handleMessage.apply(this, args));
    };
  });
}

function metadataOf(raw: unknown): unknown {
  return isObject(raw) && 'metadata' in raw ? raw.metadata : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
