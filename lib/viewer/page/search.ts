/** Looks for spans: in names, ids, attributes, events and errors, in the language of the filter. */
import { useEffect, useState } from 'preact/hooks';
import type { FoundSpans } from '../model/wire.js';
import { ask } from './ask.js';
import type { LoadedTrace } from './trace-source.js';

export interface Found {
  /** In the order of the tree. */
  readonly spans: readonly number[];
  /** By span: 1 for those found. */
  readonly flags: Uint8Array;
}

/** `undefined` without a search, and until it is done. */
export function useSearch(trace: LoadedTrace, text: string): Found | undefined {
  const [found, setFound] = useState<Found>();
  useEffect(() => {
    setFound(undefined);
    if (text === '') return;
    const { traceId, spanId, count } = trace.forest;
    let isWanted = true;
    const take = (ids: FoundSpans | undefined) => {
      if (!isWanted || !ids) return;
      const wanted = new Set(ids);
      const flags = new Uint8Array(count);
      const spans = [...flags.keys()].filter(span => wanted.has(spanId[span] ?? ''));
      for (const span of spans) flags[span] = 1;
      setFound({ spans, flags });
    };
    ask<FoundSpans>(`traces/${traceId}/found?${new URLSearchParams({ q: text }).toString()}`).then(take, () => undefined);
    return () => {
      isWanted = false;
    };
  }, [trace, text]);
  return text === '' ? undefined : found;
}

/** The first of `sorted` after `from`, or before it; round the end to the other. */
export function nextOf(sorted: readonly number[], from: number, step: 1 | -1): number | undefined {
  return step === 1 ? (sorted.find(span => span > from) ?? sorted[0]) : (sorted.findLast(span => span < from) ?? sorted.at(-1));
}
