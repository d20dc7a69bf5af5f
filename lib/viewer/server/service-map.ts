/** Computes the service map: which services call each other in all stored traces, and how long the calls take. */
import type { TraceSpan } from '../model/trace-span.js';
import type { WireServiceMap } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';

interface Service {
  spanCount: number;
  errorCount: number;
  traceCount: number;
}

interface Calls {
  readonly from: string;
  readonly to: string;
  errorCount: number;
  readonly durations: number[];
}

/** @internal */
export function serviceMap(traces: Iterable<StoredTrace>): WireServiceMap {
  const services = new Map<string, Service>();
  const calls = new Map<string, Calls>();
  for (const { spans } of traces) {
    const inTrace = new Set<string>();
    for (const span of spans.values()) {
      const service = entry(services, span.service, () => ({ spanCount: 0, errorCount: 0, traceCount: 0 }));
      service.spanCount++;
      if (span.status === 'error') service.errorCount++;
      if (!inTrace.has(span.service)) service.traceCount++;
      inTrace.add(span.service);
      countCall(span, spans.get(span.parentSpanId ?? ''), calls);
    }
  }
  return {
    services: Array.from(services, ([name, counts]) => ({ name, ...counts })),
    calls: Array.from(calls.values(), ({ from, to, errorCount, durations }) => {
      durations.sort((a, b) => a - b);
      return { from, to, count: durations.length, errorCount, p50Ns: percentile(durations, 0.5), p95Ns: percentile(durations, 0.95) };
    }),
  };
}

function countCall(span: TraceSpan, parent: TraceSpan | undefined, calls: Map<string, Calls>): void {
  if (parent === undefined || parent.service === span.service) return;
  const { service: from } = parent;
  const { service: to } = span;
  const call = entry(calls, JSON.stringify([from, to]), () => ({ from, to, errorCount: 0, durations: [] }));
  call.durations.push(Number(span.endNs - span.startNs));
  if (span.status === 'error') call.errorCount++;
}

function entry<T>(map: Map<string, T>, key: string, make: () => T): T {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = make()));
  return found;
}

/** The smallest of `sorted` that the part `part` (0 to 1) of them does not exceed. */
function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}
