/** The same calls on two providers: the one of the SDK and ours. What they make must be equal. */
import { inspect } from 'node:util';
import {
  type Context,
  diag,
  DiagLogLevel,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  NodeTracerProvider,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  type SpanLimits,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { LightTracerProvider } from '../../../lib/sdk/span/light-provider.js';

export const NO_LIMITS: Required<SpanLimits> = {
  attributeCountLimit: 128,
  attributeValueLengthLimit: Infinity,
  eventCountLimit: 128,
  linkCountLimit: 128,
  attributePerEventCountLimit: 128,
  attributePerLinkCountLimit: 128,
};

/** Ids that both providers draw in the same order. */
function countingIds() {
  let count = 0;
  const next = (length: number) => (++count).toString(16).padStart(length, 'a');
  return { generateTraceId: () => next(32), generateSpanId: () => next(16) };
}

class Seen implements SpanProcessor {
  readonly calls: string[] = [];
  readonly ended: ReadableSpan[] = [];
  onStart(span: ReadableSpan, parent: Context) {
    this.calls.push(`start ${span.name} ${JSON.stringify(span.attributes)} ${trace.getSpanContext(parent)?.spanId}`);
  }
  onEnding(span: ReadableSpan) {
    this.calls.push(`ending ${span.name} ${span.ended} ${String(span.endTime)} ${String(span.duration)}`);
  }
  onEnd(span: ReadableSpan) {
    this.calls.push(`end ${span.name} ${span.ended}`);
    this.ended.push(span);
  }
  forceFlush = () => Promise.resolve();
  shutdown = () => Promise.resolve();
}

export interface Setting {
  readonly limits?: Partial<SpanLimits>;
  readonly sampler?: Sampler;
}

interface Side {
  readonly provider: object;
  readonly tracer: Tracer;
  readonly seen: Seen;
  readonly logged: string[];
}

/** Two tracers, and what each of them logged and handed to its processor. */
export class Both {
  readonly sdk: Side;
  readonly ours: Side;
  private log: string[] = [];

  constructor({ limits, sampler = new ParentBasedSampler({ root: new AlwaysOnSampler() }) }: Setting = {}) {
    const spanLimits = { ...NO_LIMITS, ...limits };
    const resource = resourceFromAttributes({ 'service.name': 'both' });
    const isDefault = sampler instanceof ParentBasedSampler;
    const scope = ['scope', '1.2.3', { schemaUrl: 'https://example.com/schema' }] as const;
    const side = (make: (processor: SpanProcessor) => { getTracer: NodeTracerProvider['getTracer'] }): Side => {
      const seen = new Seen();
      const provider = make(seen);
      return { provider, tracer: provider.getTracer(...scope), seen, logged: [] };
    };
    this.sdk = side(processor => {
      return new NodeTracerProvider({ resource, sampler, spanLimits, idGenerator: countingIds(), spanProcessors: [processor] });
    });
    this.ours = side(processor => {
      const known = { recordsRoots: isDefault, recordsChildren: isDefault };
      return new LightTracerProvider({
        resource,
        sampler,
        limits: spanLimits,
        idGenerator: countingIds(),
        processors: [processor],
        ...known,
      });
    });
    const listen =
      (level: string) =>
      (...said: unknown[]) =>
        void this.log.push(`${level} ${String(said[0])}`);
    const levels = ['error', 'warn', 'info', 'debug', 'verbose'] as const;
    diag.setLogger(Object.fromEntries(levels.map(level => [level, listen(level)])) as never, {
      logLevel: DiagLogLevel.ALL,
      suppressOverrideMessage: true,
    });
  }

  /** Does the same on both sides. */
  each<T>(act: (side: Side) => T): [sdk: T, ours: T] {
    return [this.on(this.sdk, act), this.on(this.ours, act)];
  }

  start(
    name: string,
    options?: SpanOptions & { areAttributesFinal?: boolean; facts?: object | undefined },
    parent: Context = ROOT_CONTEXT,
  ): BothSpans {
    return new BothSpans(
      this,
      this.each(({ tracer }) => tracer.startSpan(name, options, parent)),
    );
  }

  /** What was logged since the last call, sorted. */
  said(): [sdk: string[], ours: string[]] {
    return [this.sdk.logged.splice(0).sort(), this.ours.logged.splice(0).sort()];
  }

  private on<T>(side: Side, act: (side: Side) => T): T {
    this.log = side.logged;
    return act(side);
  }
}

export class BothSpans {
  constructor(
    private readonly both: Both,
    readonly spans: [sdk: Span, ours: Span],
  ) {}

  do(act: (span: Span) => unknown): this {
    const [sdk, ours] = this.spans;
    this.both.each(side => act(side === this.both.sdk ? sdk : ours));
    return this;
  }

  /** Expects that nobody can tell the two spans apart. */
  expectEqual(): void {
    const [sdk, ours] = this.spans as unknown as [ReadableSpan & Span, ReadableSpan & Span];
    expect(fieldsOf(ours)).toEqual(fieldsOf(sdk));
    expect(this.both.ours.seen.calls.splice(0)).toEqual(this.both.sdk.seen.calls.splice(0));
    const [said, saidByOurs] = this.both.said();
    expect(saidByOurs).toEqual(said);
    if (!sdk.ended) return;
    expect(Buffer.from(JsonTraceSerializer.serializeRequest([ours])!).toString()).toBe(
      Buffer.from(JsonTraceSerializer.serializeRequest([sdk])!).toString(),
    );
    expect(Buffer.from(ProtobufTraceSerializer.serializeRequest([ours])!).equals(ProtobufTraceSerializer.serializeRequest([sdk])!)).toBe(
      true,
    );
    expect(inspect(ours, { depth: 6 })).toBe(inspect(sdk, { depth: 6 }));
  }
}

function fieldsOf(span: ReadableSpan & Span) {
  const { name, kind, attributes, events, links, status, startTime, endTime, duration, ended, parentSpanContext } = span;
  const { droppedAttributesCount, droppedEventsCount, droppedLinksCount, instrumentationScope } = span;
  const dropped = { droppedAttributesCount, droppedEventsCount, droppedLinksCount };
  const ids = { spanContext: span.spanContext(), parentSpanContext };
  const keys = { attributes: Object.keys(attributes ?? {}), isRecording: span.isRecording() };
  return {
    name,
    kind,
    attributes,
    events,
    links,
    status,
    startTime,
    endTime,
    duration,
    ended,
    ...dropped,
    ...ids,
    instrumentationScope,
    keys,
  };
}

export const KINDS = [undefined, SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER];

export const link = (attributes?: Link['attributes']): Link => ({
  context: { traceId: 'b'.repeat(32), spanId: 'c'.repeat(16), traceFlags: 1 },
  ...(attributes === undefined ? {} : { attributes }),
});
