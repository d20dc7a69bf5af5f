/** Who calls whom: services and the calls between them, out of the spans of any number of traces. */
import { quantile } from './span-statistics.js';
import type { TraceSpan } from './trace-span.js';
import type { WireServiceMap } from './wire.js';

/**
 * Services in order of appearance, and a call for each pair of them where a span of the one is the parent of a span of the other. How long a
 * call took is what the callee says.
 * @param traces the spans of each trace
 * @internal
 */
export function mapServices(traces: Iterable<Iterable<TraceSpan>>): WireServiceMap {
  const services = new Map<string, Service>();
  const calls = new Map<string, Call>();
  for (const trace of traces) {
    const spans = new Map<string, TraceSpan>();
    for (const span of trace) if (!spans.has(span.spanId)) spans.set(span.spanId, span);
    const taking = new Set<string>();
    for (const span of spans.values()) {
      count(services, span, !taking.has(span.service));
      taking.add(span.service);
      const parent = spans.get(span.parentSpanId ?? '');
      if (parent && parent.service !== span.service) countCall(calls, parent.service, span);
    }
  }
  return {
    services: [...services.values()],
    calls: [...calls.values()].map(({ durations, ...call }) => {
      const sorted = Float64Array.from(durations).sort();
      return { ...call, p50Ns: quantile(sorted, 0.5), p95Ns: quantile(sorted, 0.95) };
    }),
  };
}

interface Service {
  readonly name: string;
  spanCount: number;
  errorCount: number;
  traceCount: number;
}

interface Call {
  readonly from: string;
  readonly to: string;
  count: number;
  errorCount: number;
  readonly durations: number[];
}

function count(services: Map<string, Service>, { service: name, status }: TraceSpan, isFirstOfTrace: boolean): void {
  const service = services.get(name) ?? { name, spanCount: 0, errorCount: 0, traceCount: 0 };
  services.set(name, service);
  service.spanCount += 1;
  if (status === 'error') service.errorCount += 1;
  if (isFirstOfTrace) service.traceCount += 1;
}

function countCall(calls: Map<string, Call>, from: string, { service: to, status, startNs, endNs }: TraceSpan): void {
  const key = JSON.stringify([from, to]);
  const call = calls.get(key) ?? { from, to, count: 0, errorCount: 0, durations: [] };
  calls.set(key, call);
  call.count += 1;
  if (status === 'error') call.errorCount += 1;
  call.durations.push(Number(endNs - startNs));
}
