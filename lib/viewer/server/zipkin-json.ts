/** Reads spans in Zipkin's v2 JSON format: https://zipkin.io/zipkin-api/ */
import type { Attributes, HrTime } from '@opentelemetry/api';
import { type ZipkinEndpoint, zipkinPeer, zipkinResource, zipkinStatus } from '../../conventions/zipkin.js';
import type { ReadSpans } from '../model/otlp-json.js';
import type { SpanKindName, TraceSpan } from '../model/trace-span.js';
import { serviceName } from '../../conventions/reading.js';

/** A span as it was sent. Its fields may have any type. */
interface ZipkinSpan {
  readonly traceId?: unknown;
  readonly id?: unknown;
  readonly parentId?: unknown;
  readonly name?: unknown;
  readonly kind?: unknown;
  readonly timestamp?: unknown;
  readonly duration?: unknown;
  /** True if this is the server's half of a span that client and server report under one id. */
  readonly shared?: unknown;
  readonly localEndpoint?: ZipkinEndpoint;
  readonly remoteEndpoint?: ZipkinEndpoint;
  readonly annotations?: unknown;
  readonly tags?: unknown;
}

/** Reads the spans of a parsed request. Throws if it is not an array. `share` replaces a resource by an equal one. @internal */
export function readZipkin(request: unknown, share: (resource: Attributes) => Attributes): ReadSpans {
  if (!Array.isArray(request)) throw new TypeError('not a list of spans');
  const given = (request as readonly (ZipkinSpan | null)[]).filter(raw => typeof raw === 'object' && raw !== null);
  const shared = new Set(given.filter(raw => raw.shared === true).map(raw => serverHalfKey(raw, raw.id)));
  const resources = new Map<string, Attributes>();
  const spans: TraceSpan[] = [];
  for (const raw of given) {
    const key = JSON.stringify(raw.localEndpoint ?? {});
    const resource = resources.get(key) ?? share(zipkinResource(raw.localEndpoint ?? {}));
    resources.set(key, resource);
    const span = readSpan(raw, resource, shared);
    if (span !== undefined) spans.push(span);
  }
  return { spans, rejected: request.length - spans.length };
}

function readSpan(given: ZipkinSpan, resource: Attributes, shared: ReadonlySet<string>): TraceSpan | undefined {
  const traceId = idOf(given.traceId, 32);
  const spanId = idOf(given.id, 16);
  const startNs = nanosecondsSince1970(given.timestamp);
  if (traceId === undefined || spanId === undefined || startNs === undefined) return undefined;
  const parentSpanId = idOf(given.parentId, 16);
  const isShared = given.shared === true;
  const tags = tagsOf(given.tags);
  const status = zipkinStatus(tags);
  const { duration } = given;
  return {
    traceId,
    spanId: isShared ? serverHalfId(spanId) : spanId,
    // The server's half is a child of the client's half. The server's other spans are children of its own half.
    parentSpanId: isShared
      ? spanId
      : parentSpanId !== undefined && shared.has(serverHalfKey(given, given.parentId))
        ? serverHalfId(parentSpanId)
        : parentSpanId,
    name: typeof given.name === 'string' ? given.name : '',
    kind: KINDS.get(given.kind) ?? 'internal',
    status: status.name,
    statusMessage: status.message,
    startNs,
    endNs: startNs + BigInt(typeof duration === 'number' && duration > 0 && duration < 1e15 ? Math.round(duration * 1000) : 0),
    service: serviceName(resource),
    attributes: { ...zipkinPeer(given.remoteEndpoint ?? {}, given.kind === 'SERVER'), ...tags },
    events: listOf(given.annotations).flatMap(({ value, timestamp }) => {
      const ns = nanosecondsSince1970(timestamp);
      return typeof value === 'string' && ns !== undefined ? [{ name: value, time: hrTime(ns), attributes: {} }] : [];
    }),
    links: [],
    resource,
    scope: SCOPE,
  };
}

const SCOPE = { name: 'zipkin' };
const KINDS: ReadonlyMap<unknown, SpanKindName> = new Map([
  ['CLIENT', 'client'],
  ['SERVER', 'server'],
  ['PRODUCER', 'producer'],
  ['CONSUMER', 'consumer'],
]);

/** Adds the leading zeros that a sender may leave out. Zipkin's ids have 64 or 128 bits. */
function idOf(value: unknown, length: number): string | undefined {
  if (typeof value !== 'string' || !/^[0-9a-f]{1,32}$/i.test(value) || /^0+$/.test(value)) return undefined;
  return value.length > length ? undefined : value.toLowerCase().padStart(length, '0');
}

const MASK = 0x5a5a_5a5a_5a5a_5a5an;
const OTHER_MASK = 0x3c3c_3c3c_3c3c_3c3cn;

/** Returns an id for the server's half, always the same one for the same span. */
function serverHalfId(spanId: string): string {
  const id = BigInt(`0x${spanId}`);
  // An id of zeros would not be valid.
  return ((id ^ MASK) === 0n ? id ^ OTHER_MASK : id ^ MASK).toString(16).padStart(16, '0');
}

function serverHalfKey({ traceId, localEndpoint }: ZipkinSpan, id: unknown): string {
  return JSON.stringify([traceId, id, localEndpoint?.serviceName]);
}

/** In microseconds. A later time plus a duration would not fit into 64 bits of nanoseconds. */
const MAX_TIME = 1.7e16;

/** Reads microseconds. A number that would be a day before 1973 is read as milliseconds. */
function nanosecondsSince1970(value: unknown): bigint | undefined {
  if (typeof value !== 'number' || !(value > 0) || value > MAX_TIME) return undefined;
  return value < 1e14 ? BigInt(Math.round(value * 1000)) * 1000n : BigInt(Math.round(value)) * 1000n;
}

function hrTime(ns: bigint): HrTime {
  return [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
}

function tagsOf(value: unknown): Attributes {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([key, tag]) => [key, typeof tag === 'string' ? tag : JSON.stringify(tag)]));
}

function listOf(value: unknown): readonly { readonly value?: unknown; readonly timestamp?: unknown }[] {
  return Array.isArray(value) ? (value as readonly object[]).filter(item => typeof item === 'object' && item !== null) : [];
}
