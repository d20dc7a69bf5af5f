/** Adds trace and span ids to the lines of Nest's ConsoleLogger, text and JSON, and of all loggers that extend it. */
import { ConsoleLogger } from '@nestjs/common';
import { context, isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api';
import type { Integration } from '../../nest/integration.js';
import { applicationIn, type TracingApplication, workIn } from '../../spans/work.js';
import { replaceMethod, undoAll } from '../../wrapping/replace-method.js';
import { installOnce } from '../../wrapping/shared-installation.js';

export const logs: Integration = {
  name: 'logs',
  install(application, nest) {
    nest.whileInForce(() => installLogCorrelation(application));
  },
};

/**
 * The methods by which subclasses of ConsoleLogger change a line, the same on Nest 11 and 12. They do not change the message, so objects,
 * arrays, errors and stacks are printed as before.
 */
const seams: Readonly<Record<string, (printed: unknown, ids: SpanContext) => unknown>> = {
  formatContext: (printed, { traceId, spanId }) => `${String(printed)}trace_id=${traceId} span_id=${spanId} `,
  // The ids come last, and never replace a parameter that the user logged under the same name.
  getJsonLogObject: (printed, { traceId, spanId }) => Object.assign({}, printed, { trace_id: traceId, span_id: spanId }, printed),
};

const INSTALLED = Symbol.for('nestjs-tracing/log-correlation');

/**
 * Adds `trace_id` and `span_id` to lines that are written inside a span of `application`, also in unsampled traces. Returns how to undo it.
 * The last undo restores the logger. @internal
 */
export function installLogCorrelation(application: TracingApplication): () => void {
  return application.logs ? installOnce(ConsoleLogger.prototype, INSTALLED, install) : () => undefined;
}

function install(): () => void {
  let isInForce = true;
  const steps = Object.entries(seams).map(([name, extend]) =>
    replaceMethod(ConsoleLogger.prototype, name, original => {
      return function (...args) {
        const printed = original.apply(this, args);
        const ids = isInForce ? currentIds() : undefined;
        return ids === undefined ? printed : extend(printed, ids);
      };
    }),
  );
  // If other code has wrapped the replacement, it stays in place but adds nothing more.
  return undoAll([...steps, () => (isInForce = false)]);
}

function currentIds(): SpanContext | undefined {
  const active = context.active();
  // If nothing is traced, the caller's ids lead to a trace.
  const ids = trace.getSpanContext(workIn(active)?.passthrough ?? active);
  if (ids === undefined || !isSpanContextValid(ids)) return undefined;
  return applicationIn(active)?.logs === true ? ids : undefined;
}
