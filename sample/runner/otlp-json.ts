/** Reads spans from an OTLP/HTTP request in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). */
import type { Attributes, AttributeValue, HrTime } from '@opentelemetry/api';
import type { FinishedSpan } from 'nestjs-tracing/viewer';

interface OtlpValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly OtlpValue[] };
}

type OtlpAttributes = readonly { readonly key: string; readonly value: OtlpValue }[];

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: OtlpAttributes;
  readonly events?: readonly { readonly name: string; readonly timeUnixNano: string; readonly attributes?: OtlpAttributes }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}

export interface OtlpRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: OtlpAttributes };
    readonly scopeSpans?: readonly {
      readonly scope?: { readonly name: string; readonly version?: string };
      readonly spans?: readonly OtlpSpan[];
    }[];
  }[];
}

/** Returns the spans in `request`. All services of a sample send to the same receiver, so remote parents are treated like local ones. */
export function spansIn({ resourceSpans = [] }: OtlpRequest): FinishedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ scope = { name: '' }, spans = [] }) =>
      spans.map(span => ({
        name: span.name,
        kind: Math.max(0, span.kind - 1),
        spanContext: () => ({ traceId: span.traceId, spanId: span.spanId, traceFlags: 1 }),
        parentSpanContext: span.parentSpanId ? { traceId: span.traceId, spanId: span.parentSpanId, traceFlags: 1 } : undefined,
        startTime: time(span.startTimeUnixNano),
        endTime: time(span.endTimeUnixNano),
        status: { code: span.status?.code ?? 0, ...(span.status?.message && { message: span.status.message }) },
        attributes: attributes(span.attributes),
        links: [],
        events: (span.events ?? []).map(event => ({
          name: event.name,
          time: time(event.timeUnixNano),
          attributes: attributes(event.attributes),
        })),
        resource: { attributes: attributes(resource?.attributes) },
        instrumentationScope: scope,
      })),
    ),
  );
}

function attributes(list: OtlpAttributes = []): Attributes {
  return Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf({ stringValue, boolValue, intValue, doubleValue, arrayValue }: OtlpValue): AttributeValue {
  if (arrayValue) return (arrayValue.values ?? []).map(valueOf) as string[];
  return stringValue ?? boolValue ?? doubleValue ?? Number(intValue ?? 0);
}

function time(nanoseconds: string): HrTime {
  const whole = BigInt(nanoseconds);
  return [Number(whole / 1_000_000_000n), Number(whole % 1_000_000_000n)];
}
