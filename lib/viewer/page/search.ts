/** Searches the spans of a trace with a filter. */
import { useEffect, useState } from 'preact/hooks';
import type { FoundSpans } from '../model/wire.js';
import { getJson } from './trace-source.js';
import type { LoadedTrace } from './trace-source.js';

export interface SearchResult {
  /** In the order of the tree. */
  readonly spans: readonly number[];
  /** 1 for each span that matches. */
  readonly flags: Uint8Array;
}

/** Returns `undefined` if there is no search, or while it is in flight. */
export function useSearch(trace: LoadedTrace, text: string): SearchResult | undefined {
  const [found, setFound] = useState<SearchResult>();
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
    getJson<FoundSpans>(`traces/${traceId}/found?${new URLSearchParams({ q: text }).toString()}`).then(take, () => undefined);
    return () => {
      isWanted = false;
    };
  }, [trace, text]);
  return text === '' ? undefined : found;
}

/** Returns the next (`1`) or previous (`-1`) of `sorted` from `from`. After the last, it starts again with the first. */
export function nextOf(sorted: readonly number[], from: number, step: 1 | -1): number | undefined {
  return step === 1 ? (sorted.find(span => span > from) ?? sorted[0]) : (sorted.findLast(span => span < from) ?? sorted.at(-1));
}
