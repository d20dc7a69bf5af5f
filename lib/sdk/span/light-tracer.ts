/** Makes light spans. The sampler is asked only if its decision is not known. */
import {
  type Attributes,
  type Context,
  context,
  diag,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Link,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  type TimeInput,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { type InstrumentationScope, isTracingSuppressed, sanitizeAttributes } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import { type IdGenerator, type Sampler, SamplingDecision, type SpanLimits, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { SCOPE } from '../../options/version.js';
import { ReceivedSpanContext } from '../../propagation/context-values.js';
import { FACTS } from '../../spans/facts.js';
import type { FinalSpanOptions } from '../../spans/work.js';
import { INSPECT, type InspectArguments, inspectAs, knownAttributes } from './inspect.js';
import { LightSpan } from './light-span.js';
import type { SpanMetrics } from './span-metrics.js';
import type { SpanSource } from './span-source.js';

/** What all tracers of a provider share. */
export interface TracerSettings {
  readonly resource: Resource;
  readonly sampler: Sampler;
  /** True if the sampler is known to record every span without a parent. */
  readonly recordsRoots: boolean;
  /** True if the sampler is known to record every child of a sampled parent. */
  readonly recordsChildren: boolean;
  /** Returns what takes the place of a span in `parent`, if no further span may be made there. Undefined if there is no limit. */
  readonly standIn?: ((parent: Context) => Span | undefined) | undefined;
  readonly limits: Readonly<Required<SpanLimits>>;
  readonly idGenerator: IdGenerator;
  readonly processors: readonly SpanProcessor[];
  /** Undefined if nobody wants to know how many spans there are. */
  readonly metrics?: SpanMetrics | undefined;
}

interface Timing {
  readonly links?: Link[] | undefined;
  readonly startTime?: TimeInput | undefined;
}

/** Returns true if the ids are certainly valid, so that they need not be read. */
function isKnown(span: Span | undefined, ids: SpanContext): boolean {
  return span instanceof LightSpan || ids instanceof ReceivedSpanContext;
}

export class LightTracer implements Tracer, SpanSource {
  readonly resource: Resource;
  readonly limits: Readonly<Required<SpanLimits>>;
  readonly processors: readonly SpanProcessor[];
  readonly metrics: SpanMetrics | undefined;
  readonly takesFacts = true;
  /** For other scopes than ours, whose spans nobody has asked for yet. */
  private readonly standIn: TracerSettings['standIn'] = undefined;

  constructor(
    readonly instrumentationScope: InstrumentationScope,
    private readonly settings: TracerSettings,
  ) {
    ({ resource: this.resource, limits: this.limits, processors: this.processors, metrics: this.metrics } = settings);
    if (instrumentationScope.name !== SCOPE[0]) this.standIn = settings.standIn;
  }

  startSpan(name: string, options: SpanOptions & Partial<FinalSpanOptions> = {}, parentContext: Context = context.active()): Span {
    const ctx = options.root ? trace.deleteSpan(parentContext) : parentContext;
    if (isTracingSuppressed(ctx)) {
      diag.debug('Instrumentation suppressed, returning Noop Span');
      return trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
    }
    const standIn = this.standIn?.(ctx);
    if (standIn !== undefined) return standIn;
    const parentSpan = trace.getSpan(ctx);
    const given = parentSpan?.spanContext();
    const { settings } = this;
    const spanId = settings.idGenerator.generateSpanId();
    const parent = given !== undefined && (isKnown(parentSpan, given) || isSpanContextValid(given)) ? given : undefined;
    const traceId = parent?.traceId ?? settings.idGenerator.generateTraceId();
    const kind = options.kind ?? SpanKind.INTERNAL;
    if (
      given === undefined
        ? settings.recordsRoots
        : settings.recordsChildren && parent !== undefined && (parent.traceFlags & TraceFlags.SAMPLED) !== 0
    ) {
      this.metrics?.started(given, SamplingDecision.RECORD_AND_SAMPLED);
      const ids = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, traceState: parent?.traceState };
      if (options.areAttributesFinal !== true)
        return this.begin(new LightSpan(this, name, kind, ids, parent, undefined), options.attributes, options, ctx);
      const span = new LightSpan(this, name, kind, ids, parent, options.attributes);
      span[FACTS] = options.facts;
      return this.begin(span, undefined, options, ctx);
    }
    const links = (options.links ?? []).map(({ context: linked, attributes }) => ({
      context: linked,
      attributes: sanitizeAttributes(attributes),
    }));
    // The sampler may change the attributes.
    const attributes = sanitizeAttributes(options.facts?.toAttributes() ?? options.attributes);
    const result = settings.sampler.shouldSample(ctx, traceId, name, kind, attributes, links);
    this.metrics?.started(given, result.decision);
    const traceFlags = result.decision === SamplingDecision.RECORD_AND_SAMPLED ? TraceFlags.SAMPLED : TraceFlags.NONE;
    const ids: SpanContext = { traceId, spanId, traceFlags, traceState: result.traceState ?? parent?.traceState };
    if (result.decision === SamplingDecision.NOT_RECORD) {
      diag.debug('Recording is off, propagating context in a non-recording span');
      return trace.wrapSpanContext(ids);
    }
    const span = new LightSpan(this, name, kind, ids, parent, undefined);
    return this.begin(span, Object.assign(attributes, result.attributes), { links, startTime: options.startTime }, ctx);
  }

  startActiveSpan<F extends (span: Span) => unknown>(name: string, ...rest: readonly unknown[]): ReturnType<F> | undefined {
    // As in the SDK, a call without a function does nothing.
    if (rest.length === 0) return undefined;
    const fn = rest[Math.min(rest.length, 3) - 1] as F;
    const options = rest.length > 1 ? (rest[0] as SpanOptions | undefined) : undefined;
    const parent = (rest.length > 2 ? (rest[1] as Context | undefined) : undefined) ?? context.active();
    const span = this.startSpan(name, options, parent);
    return context.with(trace.setSpan(parent, span), fn as (span: Span) => ReturnType<F>, undefined, span);
  }

  [INSPECT](...how: InspectArguments): unknown {
    const { instrumentationScope, resource, limits } = this;
    return inspectAs('Tracer', { instrumentationScope, resource: { attributes: knownAttributes(resource) }, spanLimits: limits }, how);
  }

  private begin(span: LightSpan, attributes: Attributes | undefined, { links, startTime }: Timing, ctx: Context): LightSpan {
    if (links !== undefined) span.addLinks(links);
    if (startTime !== undefined && startTime !== null) span.startAt(startTime);
    if (typeof attributes === 'object') span.setAttributes(attributes);
    for (const processor of this.processors) processor.onStart(span, ctx);
    return span;
  }
}
