/** Reads and writes spans as OTLP JSON: requests, files and downloads. */
import type { Attributes, HrTime } from '@opentelemetry/api';
import { serviceName } from '../../conventions/reading.js';
import { readAttributes, writeAttributes, type OtlpKeyValue } from './otlp-attributes.js';
import { kindNumber, kindName, statusName, statusNumber, type TraceLink, type TraceSpan } from './trace-span.js';

/**
 * An `ExportTraceServiceRequest`. At run time, any field may be missing or have another type.
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * @internal
 */
export interface OtlpRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly OtlpKeyValue[] };
    readonly scopeSpans?: readonly {
      readonly scope?: { readonly name?: string; readonly version?: string };
      readonly schemaUrl?: string;
      readonly spans?: readonly OtlpSpan[];
    }[];
  }[];
}

/** Whole nanoseconds. OTLP JSON writes integers of 64 bits as text. */
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

/** The spans of a request, and the number of spans that were not valid. @internal */
export interface ReadSpans {
  readonly spans: readonly TraceSpan[];
  readonly rejected: number;
}

/**
 * Reads the spans of a parsed request. A span that is not valid is left out and counted. Throws if the request is not an object. `share` may
 * replace a resource by an equal one.
 * @internal
 */
export function readOtlp(request: unknown, share = (resource: Attributes): Attributes => resource): ReadSpans {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) throw new TypeError('not an ExportTraceServiceRequest');
  const spans: TraceSpan[] = [];
  let rejected = 0;
  for (const { resource, scopeSpans } of objects((request as OtlpRequest).resourceSpans)) {
    // A request may hold a million resources without spans, and `share` is slow.
    if (!Array.isArray(scopeSpans) || scopeSpans.length === 0) continue;
    const attributes = share(readAttributes(objectOr(resource).attributes));
    for (const { scope, schemaUrl, spans: given } of objects(scopeSpans)) {
      const { name, version } = objectOr(scope);
      const readScope = {
        name: text(name) ?? '',
        ...(text(version) && { version: text(version) }),
        ...(text(schemaUrl) && { schemaUrl: text(schemaUrl) }),
      };
      for (const raw of Array.isArray(given) ? (given as readonly unknown[]) : []) {
        const span = readSpan(raw, attributes, readScope);
        if (span === undefined) rejected++;
        else spans.push(span);
      }
    }
  }
  return { spans, rejected };
}

/** Writes `spans` as a request. {@link readOtlp} returns equal spans for it. @internal */
export function writeOtlp(spans: Iterable<TraceSpan>): OtlpRequest {
  const resources = new Map<Attributes, Map<string, ScopeSpans>>();
  for (const span of spans) {
    let scopes = resources.get(span.resource);
    if (scopes === undefined) resources.set(span.resource, (scopes = new Map<string, ScopeSpans>()));
    const { name, version, schemaUrl } = span.scope;
    const key = [name, version, schemaUrl].join('\n');
    let group = scopes.get(key);
    if (group === undefined) {
      group = { scope: { name, ...(version !== undefined && { version }) }, ...(schemaUrl !== undefined && { schemaUrl }), spans: [] };
      scopes.set(key, group);
    }
    group.spans.push(writeSpan(span));
  }
  return {
    resourceSpans: Array.from(resources, ([resource, scopes]) => ({
      resource: { attributes: writeAttributes(resource) },
      scopeSpans: [...scopes.values()],
    })),
  };
}

interface ScopeSpans {
  readonly scope: { readonly name: string; readonly version?: string };
  readonly schemaUrl?: string;
  readonly spans: OtlpSpan[];
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
    // In OTLP, 0 is "unspecified", so the numbers of the kinds are one higher.
    kind: kindName(enumOf(span.kind, KINDS) - 1),
    status: statusName(enumOf(code, STATUSES)),
    statusMessage: text(message) || undefined,
    startNs,
    // The end may be missing, or before the start if the clock was set back. The duration must not be negative.
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
/** The highest number of 64 bits, which is the latest time in OTLP. */
const MAX_TIME = 2n ** 64n - 1n;
const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUSES = ['UNSET', 'OK', 'ERROR'];
const HEX = /^[0-9a-f]+$/i;

/** Reads a number, or a name such as `SPAN_KIND_SERVER`, which some senders use. */
function enumOf(value: unknown, names: readonly string[]): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? names.findIndex(name => value.endsWith(`_${name}`)) : 0;
}

/** Returns the id in lower case; `undefined` if it is not valid. An id of zeros is not valid. */
function idOf(value: unknown, length: number): string | undefined {
  if (typeof value !== 'string' || value.length !== length || !HEX.test(value) || /^0+$/.test(value)) return undefined;
  return value.toLowerCase();
}

function timeOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? BigInt(Math.round(value)) : undefined;
  return typeof value === 'string' && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

/** Returns `undefined` for zero, which an SDK sends if it was given a time that is not valid. */
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

/** Returns the objects in `list` and leaves out everything else. */
function objects<T extends object>(list: readonly T[] | undefined): readonly T[] {
  return Array.isArray(list) ? (list as readonly T[]).filter(item => typeof item === 'object' && item !== null) : [];
}

function objectOr<T extends object>(value: T | undefined): Partial<T> {
  return typeof value === 'object' && value !== null ? value : {};
}
