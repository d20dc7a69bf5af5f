/** Trace and span ids in the lines of Nest's ConsoleLogger, text and JSON, for every logger in the process that builds on it. */
import { ConsoleLogger } from '@nestjs/common';
import { context, isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api';
import { applicationIn, type TracingApplication, workIn } from '../local/work.js';

type Seam = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Where ConsoleLogger lets subclasses decide what a line holds, the same on Nest 11 and 12. Both get only what surrounds the message, so
 * objects, arrays, errors and stacks are printed as ever.
 */
const seams: Readonly<Record<string, (printed: unknown, ids: SpanContext) => unknown>> = {
  formatContext: (printed, { traceId, spanId }) => `${String(printed)}trace_id=${traceId} span_id=${spanId} `,
  // Last, and never in place of a parameter that the user logged under the same name.
  getJsonLogObject: (printed, { traceId, spanId }) => Object.assign({}, printed, { trace_id: traceId, span_id: spanId }, printed),
};

const installed = new Map<string, { original: Seam; replacement: Seam }>();
let users = 0;

/**
 * From now on lines written inside a span of `application` carry `trace_id` and `span_id`, those of unsampled traces too. Returns what
 * ends that; the last one to leave restores the logger. @internal
 */
export function installLogCorrelation(application: TracingApplication): () => void {
  if (!application.logs) return () => undefined;
  if (users++ === 0) install();
  let isOver = false;
  return () => {
    if (isOver) return;
    isOver = true;
    if (--users === 0) uninstall();
  };
}

function install(): void {
  for (const [name, extend] of Object.entries(seams)) {
    const original: unknown = Reflect.get(ConsoleLogger.prototype, name);
    if (typeof original !== 'function' || installed.has(name)) continue;
    const replacement: Seam = function (...args) {
      const printed = (original as Seam).apply(this, args);
      const ids = currentIds();
      return ids === undefined ? printed : extend(printed, ids);
    };
    installed.set(name, { original: original as Seam, replacement });
    Reflect.set(ConsoleLogger.prototype, name, replacement);
  }
}

function uninstall(): void {
  for (const [name, { original, replacement }] of installed) {
    // Where somebody has wrapped the replacement it stays: without a live application it adds nothing.
    if (Reflect.get(ConsoleLogger.prototype, name) !== replacement) continue;
    Reflect.set(ConsoleLogger.prototype, name, original);
    installed.delete(name);
  }
}

function currentIds(): SpanContext | undefined {
  const active = context.active();
  // Where nothing is traced the caller's ids are those that lead somewhere.
  const ids = trace.getSpanContext(workIn(active)?.relay ?? active);
  if (ids === undefined || !isSpanContextValid(ids)) return undefined;
  return users > 0 && applicationIn(active)?.logs === true ? ids : undefined;
}
