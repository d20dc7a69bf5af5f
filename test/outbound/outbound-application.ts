/** An application from which calls go out: options as a user writes them, and requests that are being worked on. */
import { Logger } from '@nestjs/common';
import { type Context, context, type Span, SpanKind, trace, type Tracer } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { suppressed, withWork } from '../../lib/local/work.js';
import { createPropagator } from '../../lib/propagation/composite.propagator.js';
import type { OutboundOptions, TracingOptions } from '../../lib/tracing.options.js';
import { resolveOptions } from '../../lib/tracing.resolution.js';
import { type ApplicationSetup, rootContextOf, TestApplication } from '../application.js';

// Specs let callbacks fail; what is logged about it is no news.
Logger.overrideLogger(false);

export interface OutboundSetup extends Omit<ApplicationSetup, 'outbound'> {
  readonly outbound?: OutboundOptions;
  readonly propagators?: TracingOptions['propagators'];
}

export class OutboundApplication extends TestApplication {
  constructor({ outbound = {}, propagators = ['tracecontext'], ...setup }: OutboundSetup = {}) {
    const options = resolveOptions({ outbound, propagators }, {});
    super({ outbound: options.outbound, propagator: createPropagator(options.propagators), ...setup });
  }

  /** Runs `fn` as the handler of a request would; its span is called `request`. */
  async serve<T>(fn: (span: Span) => T | Promise<T>): Promise<T> {
    const root = rootContextOf(this);
    const span = this.tracer.startSpan('request', {}, root);
    try {
      return await context.with(trace.setSpan(root, span), () => fn(span));
    } finally {
      span.end();
    }
  }

  /** Runs `fn` in a request that is not traced and came with the context `caller`. */
  relay<T>(caller: Context, fn: () => T): T {
    return context.with(withWork(caller, { application: this, relay: caller }), fn);
  }

  /** As {@link relay}, with tracing suppressed as it is around ignored requests. */
  relaySuppressed<T>(caller: Context, fn: () => T): T {
    return this.relay(caller, () => context.with(suppressed(context.active()), fn));
  }

  /** For spans that another instrumentation makes with the same provider. */
  tracerNamed(scope: string): Tracer {
    return this['provider'].getTracer(scope);
  }

  /** Ends the application; every span must have been ended, once. */
  async finish(): Promise<void> {
    const open = this.openSpans;
    const complaints = this.reset();
    await this.close();
    expect({ open, complaints }).toEqual({ open: 0, complaints: [] });
  }

  get clientSpans(): ReadableSpan[] {
    return this.spans.filter(({ kind }) => kind === SpanKind.CLIENT);
  }

  /** The one span of the one call that was made. */
  get clientSpan(): ReadableSpan {
    const [span, ...others] = this.clientSpans;
    if (span === undefined || others.length > 0) throw new Error(`${this.clientSpans.length} client spans:\n${this.tree()}`);
    return span;
  }
}

/** The `traceparent` of a span, as the receiver of its call sees it. */
export function traceparentOf(span: ReadableSpan | Span): string {
  const { spanId, traceFlags, traceId } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
