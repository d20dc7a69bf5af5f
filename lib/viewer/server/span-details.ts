/** Makes what the page shows in the panel of a span: attributes, exceptions, events, links and resource. */
import { answer, exceptionIn } from '../../conventions/reading.js';
import { failureOf } from '../model/failure.js';
import { writeOtlp } from '../model/otlp-json.js';
import type { TraceSpan } from '../model/trace-span.js';
import type { SpanDetails, ThrownException } from '../model/wire.js';

/** @internal */
export function spanDetails(span: TraceSpan): SpanDetails {
  const { traceId, spanId, parentSpanId, startNs, attributes, events, links, resource, scope } = span;
  const thrown = events.flatMap(event => exceptionIn(event) ?? []);
  return {
    traceId,
    spanId,
    parentSpanId,
    startNs: String(startNs),
    attributes,
    exceptions: thrown.length > 0 ? thrown : reasonOf(span),
    events: events.map(event => ({
      name: event.name,
      offsetNs: sinceStart(event.time, startNs),
      attributes: (exceptionIn(event) ? undefined : event.attributes) ?? {},
    })),
    links,
    resource,
    scope: `${scope.name} ${scope.version ?? ''}`.trim(),
    otlp: writeOtlp([span]),
  };
}

/** Returns the reason of a failed span without an exception; nothing if it is the status, which the panel shows already. */
function reasonOf(span: TraceSpan): ThrownException[] {
  const { type, message } = failureOf(span) ?? {};
  const reason = [type, message].filter(Boolean).join(': ');
  return reason === '' || reason === answer(span.attributes) ? [] : [{ type, message }];
}

function sinceStart([seconds, nanos]: TraceSpan['events'][number]['time'], startNs: bigint): number {
  return Number(BigInt(seconds) * 1_000_000_000n + BigInt(nanos) - startNs);
}
