/** Builds an application that makes outgoing calls, with options as a user writes them and simulated requests. */
import { Logger } from '@nestjs/common';
import { type Context, context, type Span, SpanKind, trace, type Tracer } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { suppressed } from '../../../lib/propagation/context-values.js';
import { withWork } from '../../../lib/spans/work.js';
import { createPropagator } from '../../../lib/propagation/composite.propagator.js';
import type { OutboundOptions, TracingOptions } from '../../../lib/options/tracing-options.js';
import { resolveOptions } from '../../../lib/options/resolved-options.js';
import { type ApplicationSetup, rootContextOf, TestApplication } from '../../application.js';

// Specs let callbacks fail on purpose, so their log lines are hidden.
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

  /** Runs `fn` like a request handler. The span of the request is named `request`. */
  async serve<T>(fn: (span: Span) => T | Promise<T>): Promise<T> {
    const root = rootContextOf(this);
    const span = this.tracer.startSpan('request', {}, root);
    try {
      return await context.with(trace.setSpan(root, span), () => fn(span));
    } finally {
      span.end();
    }
  }

  /** Runs `fn` in a request that is not traced and has the caller's context `caller`. */
  relay<T>(caller: Context, fn: () => T): T {
    return context.with(withWork(caller, { application: this, passthrough: caller }), fn);
  }

  /** Like {@link relay}, but with suppressed tracing, as for ignored requests. */
  relaySuppressed<T>(caller: Context, fn: () => T): T {
    return this.relay(caller, () => context.with(suppressed(context.active()), fn));
  }

  /** Returns a tracer for another instrumentation with the same provider. */
  tracerNamed(scope: string): Tracer {
    return this['provider'].getTracer(scope);
  }

  /** Closes the application and checks that every span has ended once. */
  async finish(): Promise<void> {
    const open = this.openSpans;
    const complaints = this.reset();
    await this.close();
    expect({ open, complaints }).toEqual({ open: 0, complaints: [] });
  }

  get clientSpans(): ReadableSpan[] {
    return this.spans.filter(({ kind }) => kind === SpanKind.CLIENT);
  }

  /** The span of the only call. */
  get clientSpan(): ReadableSpan {
    const [span, ...others] = this.clientSpans;
    if (span === undefined || others.length > 0) throw new Error(`${this.clientSpans.length} client spans:\n${this.tree()}`);
    return span;
  }
}

/** Returns the `traceparent` that the receiver of the call gets. */
export function traceparentOf(span: ReadableSpan | Span): string {
  const { spanId, traceFlags, traceId } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
