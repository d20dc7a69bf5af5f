/** Traces out of files that were dropped on the page; they stay in the page. */
import { readOtlp } from '../model/otlp-json.js';
import { columnsOfSpans, ERROR } from '../model/span-columns.js';
import { growForest, type SpanForest } from '../model/span-forest.js';
import { summarizeServices } from '../model/span-statistics.js';
import { kindName, type TraceSpan } from '../model/trace-span.js';
import type { TraceSummary } from '../model/wire.js';
import { Store } from './store.js';

export interface OpenedTrace {
  readonly spans: readonly TraceSpan[];
  readonly forest: SpanForest;
  readonly summary: TraceSummary;
}

/** By trace id, the last one opened first. */
export const opened = new Store<ReadonlyMap<string, OpenedTrace>>(new Map());

/** Adds the traces of `file`, which holds OTLP JSON: one request, a list of them, or one on each line. Throws a sentence where it does not. */
export async function openFile(file: Blob): Promise<readonly string[]> {
  const traces = new Map<string, TraceSpan[]>();
  for (const request of parse(await file.text())) {
    for (const span of readOtlp(request).spans) {
      const trace = traces.get(span.traceId);
      if (trace) trace.push(span);
      else traces.set(span.traceId, [span]);
    }
  }
  if (traces.size === 0) throw new Error('There are no spans in this file.');
  const next = new Map([...traces].map(([traceId, spans]) => [traceId, open(spans)]));
  for (const [traceId, before] of opened.value) if (!next.has(traceId)) next.set(traceId, before);
  opened.set(next);
  return [...traces.keys()];
}

function parse(text: string): readonly unknown[] {
  try {
    const whole: unknown = JSON.parse(text);
    return Array.isArray(whole) ? (whole as unknown[]) : [whole];
  } catch {
    const lines = text.split('\n').filter(row => row.trim() !== '');
    try {
      return lines.map((row): unknown => JSON.parse(row));
    } catch {
      throw new Error('This file is not OTLP JSON.');
    }
  }
}

function open(spans: readonly TraceSpan[]): OpenedTrace {
  const forest = growForest(columnsOfSpans(spans));
  const text = (column: Int32Array) => forest.texts[column[0] ?? 0] ?? '';
  const services = summarizeServices(forest);
  const summary = {
    traceId: forest.traceId,
    name: text(forest.name),
    service: text(forest.service),
    kind: kindName(forest.kind[0] ?? 0),
    isError: forest.status[0] === ERROR,
    answer: forest.answer[0] === '' ? undefined : forest.answer[0],
    isRootMissing: forest.isParentMissing[0] === 1,
    services: services.map(({ service: name, spanCount }) => ({ name, spanCount })),
    startNs: String(forest.startNs),
    durationNs: forest.totalNs,
    spanCount: forest.count,
    errorCount: services.reduce((sum, { errorCount }) => sum + errorCount, 0),
    revision: 0,
  };
  return { spans, forest, summary };
}
