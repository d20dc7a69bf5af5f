/**
 * The `metadata` of the JSON envelope that TCP and Redis send. Nest hands it to handlers from 12.0.4 on, and custom deserializers may drop
 * it; here it is read where the envelope comes in.
 */
import { context, createContextKey } from '@opentelemetry/api';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { InboundRequest } from '../tracing.options.js';

const ENVELOPE = createContextKey('nestjs-tracing/rpc-envelope');
type Headers = InboundRequest['headers'];

const NOTHING: Headers = {};

interface Envelope {
  metadata: unknown;
}

/** What came in with the message that is being handled. */
export function envelopeIn(): Headers {
  const envelope = context.active().getValue(ENVELOPE) as Envelope | undefined;
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
        const envelope = context.active().getValue(ENVELOPE) as Envelope | undefined;
        if (envelope !== undefined) envelope.metadata = metadataOf(raw);
        return raw;
      };
    }),
  ]);
}

function metadataOf(raw: unknown): unknown {
  return isObject(raw) && 'metadata' in raw ? raw.metadata : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
