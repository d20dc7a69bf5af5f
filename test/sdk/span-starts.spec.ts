/** Spans start without attributes where nobody looks at them then: whoever looks sees everything, and what is exported is the same. */
import { describe, expect, it } from '@jest/globals';
import { type Attributes, type Context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { AlwaysOnSampler, InMemorySpanExporter, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { TracingOptions } from '../../lib/options/tracing-options.js';
import { setEnvironment, startPipeline } from './pipelines.js';

const REMOTE = trace.setSpanContext(ROOT_CONTEXT, {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  traceFlags: 1,
  isRemote: true,
});

/** Sees what a span has when it starts. */
class Starts implements SpanProcessor {
  readonly seen: Attributes[] = [];

  onStart(span: Pick<ReadableSpan, 'attributes'>): void {
    this.seen.push({ ...span.attributes });
  }

  onEnd(): void {
    // Of no interest here.
  }

  forceFlush = () => Promise.resolve();
  shutdown = () => Promise.resolve();
}

const attributes = (): Attributes => ({
  text: 'a',
  count: 1,
  is: true,
  list: ['x', 'y'],
  nothing: undefined,
  '': 'no key',
  odd: { not: 'a value' } as unknown as string,
  mixed: ['a', 1] as unknown as string[],
});

async function exported(options: TracingOptions, parent: Context): Promise<ReadableSpan> {
  const exporter = new InMemorySpanExporter();
  const pipeline = await startPipeline({ ...options, exporter });
  const given = attributes();
  const span = pipeline.tracer.startSpan('a', { kind: SpanKind.CLIENT, attributes: given, startTime: [1, 2] }, parent);
  (given['list'] as string[]).push('later');
  span.end();
  const [finished] = exporter.getFinishedSpans();
  if (finished === undefined) throw new Error('nothing was exported');
  return finished;
}

describe.each([
  ['a root', ROOT_CONTEXT],
  ['a child of a sampled caller', REMOTE],
])('%s', (_, parent) => {
  it('is exported the same, looked at when it starts or not', async () => {
    const starts = new Starts();
    const plain = await exported({}, parent);
    const looked = await exported({ spanProcessors: [starts] }, parent);
    const sampled = await exported({ sampler: new AlwaysOnSampler() }, parent);
    expect(plain.attributes).toEqual({ text: 'a', count: 1, is: true, list: ['x', 'y'] });
    for (const other of [looked, sampled]) {
      expect(Object.entries(other.attributes)).toEqual(Object.entries(plain.attributes));
      expect(other.droppedAttributesCount).toBe(plain.droppedAttributesCount);
      expect([other.kind, other.name, other.startTime]).toEqual([plain.kind, plain.name, plain.startTime]);
    }
    expect(starts.seen).toEqual([plain.attributes]);
  });

  it('counts what its limits dropped in either way', async () => {
    setEnvironment({ OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '2', OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: '1' });
    const plain = await exported({}, parent);
    const looked = await exported({ spanProcessors: [new Starts()] }, parent);
    expect(plain.droppedAttributesCount).toBe(2);
    expect([looked.attributes, looked.droppedAttributesCount]).toEqual([plain.attributes, plain.droppedAttributesCount]);
  });
});

it('shows a sampler of the user what the span is started with', async () => {
  const shown: Attributes[] = [];
  const sampler = new AlwaysOnSampler();
  const watching = {
    shouldSample: (...[, , , , given]: Parameters<AlwaysOnSampler['shouldSample']> & { 4: Attributes }) => {
      shown.push(given);
      return sampler.shouldSample();
    },
  };
  await exported({ sampler: watching as unknown as AlwaysOnSampler }, ROOT_CONTEXT);
  expect(shown).toEqual([{ text: 'a', count: 1, is: true, list: ['x', 'y'] }]);
});
