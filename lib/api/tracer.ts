/** The `Tracer` that users inject: opens spans, changes the active span, and carries context in and out of messages. */
import {
  type Attributes,
  type AttributeValue,
  type BaggageEntry,
  type Context,
  context,
  defaultTextMapSetter,
  type Link,
  type Tracer as OpenTelemetryTracer,
  propagation,
  type Span,
  type SpanOptions,
  type TextMapGetter,
  type TextMapPropagator,
  type TextMapSetter,
  type TimeInput,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { recordException } from '../conventions/failure.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import { inContext, SLIM_ROOT, spanContextIn } from '../spans/context.js';
import { isUntraced, runInSpan, startSpan } from '../spans/run-in-span.js';
import { NON_RECORDING_SPAN } from '../spans/running-span.js';
import { passthroughIn, type TracingApplication, withWork, workIn } from '../spans/work.js';

/**
 * Traces by hand what decorators cannot reach: an OpenTelemetry tracer with shortcuts. Inject it by its class. Spans join the active trace,
 * or start one. If nothing is traced (`enabled: false`, an ignored request), every method still works but makes no span.
 *
 * @example
 * constructor(private readonly tracer: Tracer) {}
 * const total = await this.tracer.span('price.total', () => this.prices.sum(order));
 *
 * @publicApi
 */
export class Tracer implements OpenTelemetryTracer {
  private readonly application: TracingApplication | undefined;

  /** @internal */
  constructor(application?: TracingApplication) {
    this.application = application;
  }

  /** Runs `fn` in a new span, which ends with the result: a value, promise, Observable or generator. An error is recorded and rethrown. */
  span<T>(name: string, fn: (span: Span) => T): T;
  /** The same with options. `root: true` starts a new trace, and the span that was active becomes a link. */
  span<T>(name: string, options: SpanOptions, fn: (span: Span) => T): T;
  span<T>(name: string, ...rest: [(span: Span) => T] | [SpanOptions, (span: Span) => T]): T {
    const [options, fn] = rest.length === 1 ? [{}, rest[0]] : rest;
    if (this.application === undefined) return fn(NON_RECORDING_SPAN);
    return runInSpan(name, { application: this.application, options, isRoot: options.root }, fn);
  }

  /** Starts a span without making it active. The caller must end it. */
  startSpan(name: string, options: SpanOptions = {}, parent: Context = context.active()): Span {
    const { application } = this;
    if (application === undefined || !application.isEnabled || isUntraced(parent)) return NON_RECORDING_SPAN;
    const base = options.root === true ? trace.deleteSpan(parent) : parent;
    return startSpan(application, name, options, base);
  }

  /** Calls `fn` with a new span active. The caller must end the span, unlike with {@link span}. */
  startActiveSpan<F extends (span: Span) => unknown>(name: string, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(name: string, options: SpanOptions, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(name: string, options: SpanOptions, parent: Context, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(
    name: string,
    ...rest: [F] | [SpanOptions, F] | [SpanOptions, Context, F]
  ): ReturnType<F> {
    const fn = rest[rest.length - 1] as (span: Span) => ReturnType<F>;
    const options = rest.length > 1 ? (rest[0] as SpanOptions) : {};
    const parent = rest.length > 2 ? (rest[1] as Context) : context.active();
    const span = this.startSpan(name, options, parent);
    return inContext(span === NON_RECORDING_SPAN ? parent : this.inOwnWork(trace.setSpan(parent, span)), fn, undefined, span);
  }

  /** Returns the active span, also that of another instrumentation. Returns undefined outside any span. */
  currentSpan(): Span | undefined {
    const active = context.active();
    return spanContextIn(active) && trace.getSpan(active);
  }

  /** The id of the active trace, sampled or not. Undefined outside any span. */
  get traceId(): string | undefined {
    return spanContextIn(context.active())?.traceId;
  }

  /** Adds an event to the active span. Does nothing outside a span. */
  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void {
    trace.getActiveSpan()?.addEvent(name, attributes, time);
  }

  /** Sets an attribute of the active span. Does nothing outside a span. */
  setAttribute(key: string, value: AttributeValue): void {
    trace.getActiveSpan()?.setAttribute(key, value);
  }

  /** Sets attributes of the active span. Does nothing outside a span. */
  setAttributes(attributes: Attributes): void {
    trace.getActiveSpan()?.setAttributes(attributes);
  }

  /** Adds an error to the active span as an event, without changing its status. Does nothing outside a span. */
  recordException(thrown: unknown): void {
    const active = trace.getActiveSpan();
    if (active !== undefined) recordException(active, thrown);
  }

  /**
   * Keeps the active trace, whatever the option `keep` would decide at its end. Services that are called from now on keep their part, too.
   * Returns false if nothing is recorded (outside a span, or if the sampler or the caller left the trace out), or if it is too late.
   */
  keep(): boolean {
    const ctx = context.active();
    const active = trace.getSpan(ctx);
    if (active === undefined || (active.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return false;
    return this.application?.keepTrace(ctx) ?? false;
  }

  /** Writes the headers that continue the trace of `ctx` (default: the active context) into `carrier`. Returns `carrier`. */
  inject<Carrier>(carrier: Carrier, ctx: Context = context.active(), setter?: TextMapSetter<Carrier>): Carrier {
    this.propagator.inject(passthroughIn(ctx) ?? ctx, carrier, setter ?? (defaultTextMapSetter as TextMapSetter<Carrier>));
    return carrier;
  }

  /**
   * Returns the context in the headers of a carrier, for {@link with}. It is empty if there is none. Without `getter`, the carrier is an
   * object of headers by name, in upper or lower case; values may be bytes.
   */
  extract<Carrier>(carrier: Carrier, getter?: TextMapGetter<Carrier>): Context {
    return this.inOwnWork(this.propagator.extract(SLIM_ROOT, carrier, getter ?? messageHeaderGetter));
  }

  /**
   * Returns links to the senders of a batch of messages, for the span that handles it. Takes the headers of each message, like
   * {@link extract}. Links once to each sender's span, and skips messages without trace context.
   *
   * @example
   * const links = this.tracer.linksFrom(batch.messages.map(message => message.headers));
   * await this.tracer.span('process orders', { kind: SpanKind.CONSUMER, root: true, links }, () => this.orders.saveAll(batch));
   */
  linksFrom<Carrier>(carriers: Iterable<Carrier>, getter?: TextMapGetter<Carrier>): Link[] {
    if (this.application?.isEnabled !== true) return [];
    const links = new Map<string, Link>();
    for (const carrier of carriers) {
      const sender = spanContextIn(this.propagator.extract(SLIM_ROOT, carrier, getter ?? messageHeaderGetter));
      if (sender !== undefined) links.set(`${sender.traceId}-${sender.spanId}`, { context: sender });
    }
    return [...links.values()];
  }

  /**
   * Exports the spans that have ended. Resolves when the exporters have answered, at the latest after `shutdownTimeoutMs`, and never
   * rejects. For processes that are frozen or end without `app.close()`: functions behind a serverless adapter, jobs, `uncaughtException`.
   * If another tracer provider is in use, calls its `forceFlush()`.
   *
   * @example
   * try {
   *   return await adapter(event, context);
   * } finally {
   *   await app.get(Tracer).flush();
   * }
   */
  async flush(): Promise<void> {
    await this.application?.deliver();
  }

  /** Calls `fn` with `ctx` active, for example the result of {@link extract}. Returns the result of `fn`. */
  with<T>(ctx: Context, fn: () => T): T {
    return inContext(ctx, fn);
  }

  /** Returns the value of a baggage entry in the active context. Returns undefined if there is none. */
  getBaggage(key: string): string | undefined {
    return propagation.getActiveBaggage()?.getEntry(key)?.value;
  }

  /** Calls `fn` with further baggage entries, which its outgoing calls carry. Returns the result of `fn`. */
  withBaggage<T>(entries: Readonly<Record<string, string | BaggageEntry>>, fn: () => T): T {
    const active = context.active();
    let baggage = propagation.getBaggage(active) ?? propagation.createBaggage();
    for (const [key, entry] of Object.entries(entries)) {
      baggage = baggage.setEntry(key, typeof entry === 'string' ? { value: entry } : entry);
    }
    return inContext(propagation.setBaggage(active, baggage), fn);
  }

  private get propagator(): Pick<TextMapPropagator, 'inject' | 'extract'> {
    return this.application?.propagator ?? propagation;
  }

  /** Returns `ctx` with work of this application, so that spans opened in it belong to the application. */
  private inOwnWork(ctx: Context): Context {
    const { application } = this;
    const work = workIn(ctx);
    if (application === undefined || work?.application === application) return ctx;
    const within = work?.within ?? work;
    return withWork(ctx, application.isEnabled ? { application, within } : { application, within, passthrough: ctx });
  }
}
