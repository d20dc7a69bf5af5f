/** Where a client of a gateway may put a trace context: what its messages and its handshake are searched for. They are read, never changed. */
import type { InboundRequest } from '../tracing.options.js';

export type Carrier = InboundRequest['headers'];

/** Beside the payload's own members; `_meta` is where the Model Context Protocol has it. */
const PLACES = ['_trace', '_meta', 'headers', 'metadata'] as const;
/** They say something about a context, and are none. */
const COMPANIONS = new Set(['tracestate', 'baggage']);

/** Looks for context in what clients send, by the names of the fields that the propagators read. */
export class CarrierSearch {
  private readonly fields: readonly string[];

  constructor(
    fields: readonly string[],
    /** Whether the propagators find a context in what has such a field. */
    private readonly isCarrier: (candidate: Carrier) => boolean,
  ) {
    this.fields = fields.filter(field => !COMPANIONS.has(field));
  }

  /** In what a handler receives: the payload, or of several arguments the first and the last. */
  inPayload(payload: unknown): Carrier | undefined {
    if (!Array.isArray(payload)) return this.inObject(payload);
    const last = payload.length - 1;
    return this.inObject(payload[0]) ?? (last > 0 ? this.inObject(payload[last]) : undefined);
  }

  /** In a frame of a WebSocket, beside `event` and `data`; parsed only where it holds the name of such a field. */
  inFrame(frame: unknown): Carrier | undefined {
    const isText = typeof frame === 'string' || Buffer.isBuffer(frame);
    if (!isText || !this.fields.some(field => frame.includes(`"${field}"`))) return undefined;
    try {
      return this.inObject(JSON.parse(frame.toString()));
    } catch {
      return undefined;
    }
  }

  /** In what GraphQL hands to resolvers as context, for what it knows of a socket or request; its headers, where no context is found. */
  inContext(value: unknown): Carrier {
    if (!isRecord(value)) return {};
    const { req, request, connectionParams, _connectionInit } = value;
    const inner = isRecord(req) ? req : undefined;
    const socket = isRecord(inner?.['extra']) ? inner['extra']['request'] : undefined;
    for (const params of [connectionParams, _connectionInit, inner?.['connectionParams']]) {
      const carrier = this.inObject(params);
      if (carrier !== undefined) return carrier;
    }
    const [headers] = [request, socket, inner].map(from => (isRecord(from) ? from['headers'] : undefined)).filter(isRecord);
    return (headers ?? {}) as Carrier;
  }

  inObject(value: unknown): Carrier | undefined {
    if (!isRecord(value)) return undefined;
    if (this.has(value)) return value;
    for (const place of PLACES) {
      const carrier = Object.hasOwn(value, place) ? value[place] : undefined;
      if (isRecord(carrier) && this.has(carrier)) return carrier;
    }
    return undefined;
  }

  private has(candidate: Record<string, unknown>): candidate is Record<string, string | undefined> {
    return this.fields.some(field => Object.hasOwn(candidate, field) && isText(candidate[field])) && this.isCarrier(candidate as Carrier);
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length < 1024;
}

/** Binary payloads are none. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer);
}
