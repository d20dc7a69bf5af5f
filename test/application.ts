/** Builds a TracingApplication by hand for specs of one part. Spans stay in memory, and Nest is not started. */
import {
  type Context,
  context,
  type ContextManager,
  diag,
  DiagLogLevel,
  INVALID_SPAN_CONTEXT,
  ROOT_CONTEXT,
  type Span,
  type TextMapPropagator,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { discharge, enlist, type TracingApplication, withWork } from '../lib/spans/work.js';
import type {
  ResolvedDatabaseOptions,
  ResolvedGraphqlOptions,
  ResolvedInboundOptions,
  ResolvedOutboundOptions,
} from '../lib/options/resolved-options.js';

/** Returns a context of `application` without a parent span. */
export function rootContextOf(application: TracingApplication): Context {
  return withWork(ROOT_CONTEXT, { application });
}

export interface ApplicationSetup {
  readonly sampler?: Sampler;
  readonly isEnabled?: boolean;
  readonly logs?: boolean;
  readonly traceUrlPrefix?: string;
  readonly inbound?: Partial<ResolvedInboundOptions>;
  readonly outbound?: Partial<ResolvedOutboundOptions>;
  readonly propagator?: TextMapPropagator;
  readonly unsampledSpan?: (parent: Context) => Span | undefined;
  readonly spanProcessors?: readonly SpanProcessor[];
  readonly contextManager?: ContextManager;
}

export class TestApplication implements TracingApplication {
  readonly tracer;
  readonly propagator;
  readonly isEnabled;
  readonly isClosing = false;
  readonly logs;
  readonly traceUrlPrefix;
  readonly inbound: ResolvedInboundOptions;
  readonly outbound: ResolvedOutboundOptions;
  readonly databases: ResolvedDatabaseOptions = { ignore: [], queryText: true, captureParameters: false };
  readonly graphql: ResolvedGraphqlOptions = {
    operations: false,
    resolvers: false,
    fields: false,
    document: false,
    operationNames: true,
    subscriptionEvents: 'link',
  };
  private readonly exporter = new InMemorySpanExporter();
  private readonly started: Span[] = [];
  private readonly provider;
  private readonly foreseen;

  constructor(setup: ApplicationSetup = {}) {
    const counting: SpanProcessor = {
      onStart: span => this.started.push(span),
      onEnd: () => {},
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    this.provider = new NodeTracerProvider({
      sampler: setup.sampler,
      spanProcessors: [counting, new SimpleSpanProcessor(this.exporter), ...(setup.spanProcessors ?? [])],
    });
    this.tracer = this.provider.getTracer('test');
    this.propagator =
      setup.propagator ?? new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] });
    this.isEnabled = setup.isEnabled ?? true;
    this.logs = setup.logs ?? false;
    this.traceUrlPrefix = setup.traceUrlPrefix;
    this.inbound = { ...inboundDefaults, ...setup.inbound };
    this.outbound = { ...outboundDefaults, ...setup.outbound };
    this.foreseen = setup.unsampledSpan;
    if (alive.size === 0) registerGlobals(setup.contextManager ?? new AsyncLocalStorageContextManager().enable());
    alive.add(this);
    if (this.isEnabled) enlist(this);
  }

  unsampledSpan(parent: Context): Span | undefined {
    return this.foreseen?.(parent);
  }

  keepTrace(): boolean {
    return true;
  }

  deliver(): Promise<void> {
    return Promise.resolve();
  }

  /** The ended spans, in the order of their ends. */
  get spans(): ReadableSpan[] {
    return this.exporter.getFinishedSpans();
  }

  get names(): string[] {
    return this.spans.map(({ name }) => name);
  }

  /** The number of spans that have started but not ended. */
  get openSpans(): number {
    return this.started.length - this.spans.length;
  }

  /** Returns the only ended span with that name. */
  span(name: string): ReadableSpan {
    const [span, ...others] = this.spans.filter(candidate => candidate.name === name);
    if (span === undefined || others.length > 0) throw new Error(`${others.length + (span ? 1 : 0)} spans "${name}":\n${this.tree()}`);
    return span;
  }

  /** Returns the names of a span's children, in the order of their ends. */
  childrenOf(parent: ReadableSpan): string[] {
    return this.spans.filter(span => span.parentSpanContext?.spanId === parent.spanContext().spanId).map(({ name }) => name);
  }

  /** Returns the spans as an indented list. */
  tree(): string {
    const lines: string[] = [];
    const known = new Set(this.spans.map(span => span.spanContext().spanId));
    const print = (span: ReadableSpan, depth: number): void => {
      lines.push(`${'  '.repeat(depth)}${span.name}`);
      for (const child of this.spans) if (child.parentSpanContext?.spanId === span.spanContext().spanId) print(child, depth + 1);
    };
    for (const span of this.spans) if (!known.has(span.parentSpanContext?.spanId ?? '')) print(span, 0);
    return lines.join('\n');
  }

  /** Deletes all spans. Returns the SDK's complaints, such as a span that ended twice or an event on an ended span. */
  reset(): string[] {
    this.exporter.reset();
    this.started.length = 0;
    return complaints.splice(0);
  }

  async close(): Promise<void> {
    discharge(this);
    await this.provider.shutdown();
    if (!alive.delete(this) || alive.size > 0) return;
    diag.disable();
    context.disable();
  }
}

const alive = new Set<TestApplication>();
const complaints: string[] = [];

function registerGlobals(contextManager: ContextManager): void {
  const complain = (message: string, ...rest: unknown[]): unknown => complaints.push([message, ...rest].join(' '));
  const ignore = (): void => {};
  diag.setLogger(
    { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  context.setGlobalContextManager(contextManager);
}

/** Returns a non-recording span with ids, as for a negative sampling decision. */
export function refusedSpan(traceId = '1'.repeat(32), spanId = '2'.repeat(16)): Span {
  return trace.wrapSpanContext({ ...INVALID_SPAN_CONTEXT, traceId, spanId, traceFlags: TraceFlags.NONE });
}

const inboundDefaults: ResolvedInboundOptions = {
  ignore: [],
  trust: true,
  ignoreMessages: [],
  messageOrigin: 'parent',
  eventOrigin: 'parent',
  captureRequestHeaders: [],
  captureResponseHeaders: [],
  redactQueryKeys: [],
  knownMethods: new Set(['GET', 'POST', 'PUT', 'DELETE']),
  trustForwardedHeaders: false,
  responseHeader: undefined,
  captureOnFailure: undefined,
  keepHeader: undefined,
  onRequest: undefined,
  onResponse: undefined,
};

const outboundDefaults: ResolvedOutboundOptions = {
  ignore: [],
  ignoreMessages: [],
  propagateTo: undefined,
  captureRequestHeaders: [],
  captureResponseHeaders: [],
  redactQueryKeys: [],
  knownMethods: new Set(['GET', 'POST', 'PUT', 'DELETE']),
  fetch: true,
  http: true,
  onRequest: undefined,
  onResponse: undefined,
};
