/** Spans as OTLP JSON, both ways: what arrives over the wire or out of a file, and what a download holds. */
import type { Attributes, HrTime } from '@opentelemetry/api';
import { serviceName } from '../../conventions/reading.js';
import { readAttributes, writeAttributes, type OtlpKeyValue } from './otlp-attributes.js';
import { kindNumber, kindName, statusName, statusNumber, type TraceLink, type TraceSpan } from './trace-span.js';

/**
 * An `ExportTraceServiceRequest`. Everything may be missing or of another kind than it should be: it comes from strangers.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * @internal
 */
export interface OtlpRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly OtlpKeyValue[] };
    readonly scopeSpans?: readonly {
      readonly scope?: { readonly name?: string; readonly version?: string };
      readonly spans?: readonly OtlpSpan[];
    }[];
  }[];
}

/** Whole nanoseconds; 64 bits are text in JSON. */
type OtlpTime = string | number | bigint;

/** @internal */
export interface OtlpSpan {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly name?: string;
  readonly kind?: number | string;
  readonly startTimeUnixNano?: OtlpTime;
  readonly endTimeUnixNano?: OtlpTime;
  readonly attributes?: readonly OtlpKeyValue[];
  readonly events?: readonly { readonly name?: string; readonly timeUnixNano?: OtlpTime; readonly attributes?: readonly OtlpKeyValue[] }[];
  readonly links?: readonly { readonly traceId?: string; readonly spanId?: string; readonly attributes?: readonly OtlpKeyValue[] }[];
  readonly status?: { readonly code?: number | string; readonly message?: string };
}

/** The spans of a request, and how many of them could not be read. @internal */
export interface ReadSpans {
  readonly spans: readonly TraceSpan[];
  readonly rejected: number;
}

/**
 * Takes in a parsed request; a span that makes no sense is counted and costs the others nothing. Throws where it is no request at all.
 * `share` may replace a resource by an older one that says the same.
 * @internal
 */
export function readOtlp(request: unknown, share = (resource: Attributes): Attributes => resource): ReadSpans {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) throw new TypeError('not an ExportTraceServiceRequest');
  const spans: TraceSpan[] = [];
  let rejected = 0;
  for (const { resource, scopeSpans } of objects((request as OtlpRequest).resourceSpans)) {
    // A million resources without spans are not worth comparing.
    if (!Array.isArray(scopeSpans) || scopeSpans.length === 0) continue;
    const attributes = share(readAttributes(objectOr(resource).attributes));
    for (const { scope, spans: given } of objects(scopeSpans)) {
      const { name, version } = objectOr(scope);
      const readScope = { name: text(name) ?? '', ...(text(version) && { version: text(version) }) };
      for (const one of Array.isArray(given) ? (given as readonly unknown[]) : []) {
        const span = readSpan(one, attributes, readScope);
        if (span === undefined) rejected++;
        else spans.push(span);
      }
    }
  }
  return { spans, rejected };
}

/** `spans` as a request that {@link readOtlp} makes the same spans of again. @internal */
export function writeOtlp(spans: Iterable<TraceSpan>): OtlpRequest {
  const resources = new Map<Attributes, Map<string, { scope: TraceSpan['scope']; spans: OtlpSpan[] }>>();
  for (const span of spans) {
    let scopes = resources.get(span.resource);
    if (scopes === undefined) resources.set(span.resource, (scopes = new Map<string, { scope: TraceSpan['scope']; spans: OtlpSpan[] }>()));
    const { name, version } = span.scope;
    const key = version === undefined ? name : `${name}\n${version}`;
    let group = scopes.get(key);
    if (group === undefined) scopes.set(key, (group = { scope: { name, ...(version !== undefined && { version }) }, spans: [] }));
    group.spans.push(writeSpan(span));
  }
  return {
    resourceSpans: Array.from(resources, ([resource, scopes]) => ({
      resource: { attributes: writeAttributes(resource) },
      scopeSpans: [...scopes.values()],
    })),
  };
}

function readSpan(given: unknown, resource: Attributes, scope: TraceSpan['scope']): TraceSpan | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const span = given as OtlpSpan;
  const traceId = idOf(span.traceId, 32);
  const spanId = idOf(span.spanId, 16);
  const startNs = timeOf(span.startTimeUnixNano);
  if (traceId === undefined || spanId === undefined || startNs === undefined || startNs === 0n) return undefined;
  const endNs = timeOf(span.endTimeUnixNano) ?? 0n;
  if (startNs > MAX_TIME || endNs > MAX_TIME) return undefined;
  const { code, message } = objectOr(span.status);
  return {
    traceId,
    spanId,
    parentSpanId: idOf(span.parentSpanId, 16),
    name: text(span.name) ?? '',
    // OTLP has a kind more, at 0: not specified.
    kind: kindName(enumOf(span.kind, KINDS) - 1),
    status: statusName(enumOf(code, STATUSES)),
    statusMessage: text(message) || undefined,
    startNs,
    // A span that has not ended, or whose clock was set back, must not make a negative duration.
    endNs: endNs < startNs ? startNs : endNs,
    service: serviceName(resource),
    attributes: readAttributes(span.attributes),
    events: objects(span.events).map(event => ({
      name: text(event.name) ?? '',
      time: hrTime(eventTimeOf(event.timeUnixNano) ?? startNs),
      attributes: readAttributes(event.attributes),
    })),
    links: objects(span.links).flatMap(readLink),
    resource,
    scope,
  };
}

function readLink(link: { readonly traceId?: unknown; readonly spanId?: unknown; readonly attributes?: unknown }): TraceLink[] {
  const traceId = idOf(link.traceId, 32);
  const spanId = idOf(link.spanId, 16);
  return traceId === undefined || spanId === undefined ? [] : [{ traceId, spanId, attributes: readAttributes(link.attributes) }];
}

function writeSpan(span: TraceSpan): OtlpSpan {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId !== undefined && { parentSpanId: span.parentSpanId }),
    name: span.name,
    kind: kindNumber(span.kind) + 1,
    startTimeUnixNano: String(span.startNs),
    endTimeUnixNano: String(span.endNs),
    attributes: writeAttributes(span.attributes),
    events: span.events.map(({ name, time: [seconds, nanos], attributes }) => ({
      name,
      timeUnixNano: String(BigInt(seconds) * SECOND + BigInt(nanos)),
      attributes: writeAttributes(attributes),
    })),
    links: span.links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes: writeAttributes(attributes) })),
    status: { code: statusNumber(span.status), ...(span.statusMessage !== undefined && { message: span.statusMessage }) },
  };
}

const SECOND = 1_000_000_000n;
/** What 64 bits hold: a later time could be written nowhere. */
const MAX_TIME = 2n ** 64n - 1n;
const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUSES = ['UNSET', 'OK', 'ERROR'];
const HEX = /^[0-9a-f]+$/i;

/** A number, or as some senders have it `SPAN_KIND_SERVER`. */
function enumOf(value: unknown, names: readonly string[]): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? names.findIndex(name => value.endsWith(`_${name}`)) : 0;
}

/** Lower case; `undefined` also for the id of zeros, which means none. */
function idOf(value: unknown, length: number): string | undefined {
  if (typeof value !== 'string' || value.length !== length || !HEX.test(value) || /^0+$/.test(value)) return undefined;
  return value.toLowerCase();
}

function timeOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? BigInt(Math.round(value)) : undefined;
  return typeof value === 'string' && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

/** An SDK that was given no valid time sends zero. */
function eventTimeOf(value: unknown): bigint | undefined {
  const ns = timeOf(value);
  return ns === undefined || ns === 0n || ns > MAX_TIME ? undefined : ns;
}

function hrTime(ns: bigint): HrTime {
  return [Number(ns / SECOND), Number(ns % SECOND)];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The objects in a list; whatever else stands there is passed over. */
function objects<T extends object>(list: readonly T[] | undefined): readonly T[] {
  return Array.isArray(list) ? (list as readonly T[]).filter(item => typeof item === 'object' && item !== null) : [];
}

function objectOr<T extends object>(value: T | undefined): Partial<T> {
  return typeof value === 'object' && value !== null ? value : {};
}
