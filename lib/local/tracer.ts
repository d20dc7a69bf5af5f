/** What users inject to trace by hand: opens spans, reaches the active one, and carries context in and out of messages. */
import {
  type Attributes,
  type AttributeValue,
  type BaggageEntry,
  type Context,
  context,
  defaultTextMapSetter,
  isSpanContextValid,
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
} from '@opentelemetry/api';
import { recordException } from '../conventions/failure.js';
import { messageHeaderGetter } from '../propagation/message-headers.js';
import { isUntraced, NO_SPAN, runInSpan } from './run-in-span.js';
import { SLIM_ROOT } from './slim-context.js';
import { relayIn, type TracingApplication, withWork, workIn } from './work.js';

/**
 * Traces by hand what decorators cannot reach. An OpenTelemetry tracer with shortcuts; inject it by its class. Spans join the trace that
 * is active, else start one; where nothing is traced (`enabled: false`, an ignored request) every method still works and makes no span.
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

  /** Runs `fn` in a new span that ends with what it returns: a value, a promise, an Observable, a generator. What is thrown is recorded and rethrown. */
  span<T>(name: string, fn: (span: Span) => T): T;
  /** As above; with `root` a new trace begins, linked to the span that was active. */
  span<T>(name: string, options: SpanOptions, fn: (span: Span) => T): T;
  span<T>(name: string, ...rest: [(span: Span) => T] | [SpanOptions, (span: Span) => T]): T {
    const [options, fn] = rest.length === 1 ? [{}, rest[0]] : rest;
    if (this.application === undefined) return fn(NO_SPAN);
    return runInSpan(name, { application: this.application, options, isRoot: options.root }, fn);
  }

  /** Starts a span that is not active and that the caller ends. */
  startSpan(name: string, options: SpanOptions = {}, parent: Context = context.active()): Span {
    const { application } = this;
    if (application === undefined || !application.isEnabled || isUntraced(parent)) return NO_SPAN;
    const base = options.root === true ? trace.deleteSpan(parent) : parent;
    return application.unsampledSpan(base) ?? application.tracer.startSpan(name, options, base);
  }

  /** Calls `fn` with a new span active; the caller ends the span. {@link span} does that by itself. */
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
    return context.with(span === NO_SPAN ? parent : this.atHome(trace.setSpan(parent, span)), fn, undefined, span);
  }

  /** The span that is active here, whoever opened it; `undefined` outside any span. */
  currentSpan(): Span | undefined {
    const active = trace.getActiveSpan();
    // A caller's decision about sampling without a trace stands where a span would.
    return active !== undefined && isSpanContextValid(active.spanContext()) ? active : undefined;
  }

  /** The id of the active trace, sampled or not; `undefined` outside any span. */
  get traceId(): string | undefined {
    const active = trace.getSpanContext(context.active());
    return active !== undefined && isSpanContextValid(active) ? active.traceId : undefined;
  }

  /** Adds an event to the active span; outside a span it does nothing. */
  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void {
    trace.getActiveSpan()?.addEvent(name, attributes, time);
  }

  /** Sets an attribute of the active span; outside a span it does nothing. */
  setAttribute(key: string, value: AttributeValue): void {
    trace.getActiveSpan()?.setAttribute(key, value);
  }

  /** Sets attributes of the active span; outside a span it does nothing. */
  setAttributes(attributes: Attributes): void {
    trace.getActiveSpan()?.setAttributes(attributes);
  }

  /** Adds what was thrown to the active span, as an event; the span does not fail by it. Outside a span it does nothing. */
  recordException(thrown: unknown): void {
    const active = trace.getActiveSpan();
    if (active !== undefined) recordException(active, thrown);
  }

  /** Writes the headers that continue the active trace into `carrier` and returns it. */
  inject<Carrier>(carrier: Carrier, ctx: Context = context.active(), setter?: TextMapSetter<Carrier>): Carrier {
    this.propagator.inject(relayIn(ctx) ?? ctx, carrier, setter ?? (defaultTextMapSetter as TextMapSetter<Carrier>));
    return carrier;
  }

  /**
   * The context that a carrier's headers describe, to work in by {@link with}; a fresh one where they describe none. Without a `getter` a
   * carrier is an object with headers by name, in any case; values may be bytes.
   */
  extract<Carrier>(carrier: Carrier, getter?: TextMapGetter<Carrier>): Context {
    return this.atHome(this.propagator.extract(SLIM_ROOT, carrier, getter ?? messageHeaderGetter));
  }

  /**
   * Links to those who sent a batch of messages, for the span that handles it; takes the headers of each message, as {@link extract} does.
   * A sender is linked to once, a message without trace context not at all.
   *
   * @example
   * const links = this.tracer.linksFrom(batch.messages.map(message => message.headers));
   * await this.tracer.span('process orders', { kind: SpanKind.CONSUMER, root: true, links }, () => this.orders.saveAll(batch));
   */
  linksFrom<Carrier>(carriers: Iterable<Carrier>, getter?: TextMapGetter<Carrier>): Link[] {
    if (this.application?.isEnabled !== true) return [];
    const links = new Map<string, Link>();
    for (const carrier of carriers) {
      const sender = trace.getSpanContext(this.propagator.extract(SLIM_ROOT, carrier, getter ?? messageHeaderGetter));
      if (sender !== undefined && isSpanContextValid(sender)) links.set(`${sender.traceId}-${sender.spanId}`, { context: sender });
    }
    return [...links.values()];
  }

  /** Calls `fn` with `ctx` active, for example one that {@link extract} returned. */
  with<T>(ctx: Context, fn: () => T): T {
    return context.with(ctx, fn);
  }

  /** The value of a baggage entry that travels with the active context. */
  getBaggage(key: string): string | undefined {
    return propagation.getActiveBaggage()?.getEntry(key)?.value;
  }

  /** Calls `fn` with further baggage entries; outgoing calls made in it carry them. */
  withBaggage<T>(entries: Readonly<Record<string, string | BaggageEntry>>, fn: () => T): T {
    const active = context.active();
    let baggage = propagation.getBaggage(active) ?? propagation.createBaggage();
    for (const [key, entry] of Object.entries(entries)) {
      baggage = baggage.setEntry(key, typeof entry === 'string' ? { value: entry } : entry);
    }
    return context.with(propagation.setBaggage(active, baggage), fn);
  }

  private get propagator(): Pick<TextMapPropagator, 'inject' | 'extract'> {
    return this.application?.propagator ?? propagation;
  }

  /** `ctx` as work of this tracer's application, so that what is opened in it belongs there too. */
  private atHome(ctx: Context): Context {
    const { application } = this;
    if (application === undefined || workIn(ctx)?.application === application) return ctx;
    return withWork(ctx, application.isEnabled ? { application } : { application, relay: ctx });
  }
}
