/** Finds the trace context in messages or handshakes of a gateway's clients. It only reads them. */
import type { InboundRequest } from '../options/tracing-options.js';

export type Carrier = InboundRequest['headers'];

/** Members of a payload that may contain the context. The Model Context Protocol uses `_meta`. */
const PLACES = ['_trace', '_meta', 'headers', 'metadata'] as const;
/** These fields belong to a context but do not identify one. */
const COMPANIONS = new Set(['tracestate', 'baggage']);

/** Searches client data for a context, by the field names of the propagators. */
export class CarrierSearch {
  private readonly fields: readonly string[];

  constructor(
    fields: readonly string[],
    /** Returns true if the propagators find a context in `candidate`. */
    private readonly isCarrier: (candidate: Carrier) => boolean,
  ) {
    this.fields = fields.filter(field => !COMPANIONS.has(field));
  }

  /** Searches the arguments of a handler: the payload, or the first and last of several arguments. */
  inPayload(payload: unknown): Carrier | undefined {
    if (!Array.isArray(payload)) return this.inObject(payload);
    const last = payload.length - 1;
    return this.inObject(payload[0]) ?? (last > 0 ? this.inObject(payload[last]) : undefined);
  }

  /** Searches a WebSocket frame, beside `event` and `data`. The frame is parsed only if it contains a field name. */
  inFrame(frame: unknown): Carrier | undefined {
    const isText = typeof frame === 'string' || Buffer.isBuffer(frame);
    if (!isText || !this.fields.some(field => frame.includes(`"${field}"`))) return undefined;
    try {
      return this.inObject(JSON.parse(frame.toString()));
    } catch {
      return undefined;
    }
  }

  /** Searches GraphQL's context: first the connection parameters of its socket, then the headers of its request. */
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

/** True for an object. Binary payloads are not searched. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer);
}
