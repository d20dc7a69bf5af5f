/** Looks for spans: in names, ids, attributes, events and errors, in the language of the filter. */
import { useEffect, useState } from 'preact/hooks';
import { matchesSpan, parseFilter } from '../model/filter.js';
import type { LoadedTrace, TraceSource } from './trace-source.js';

export interface Found {
  /** In the order of the tree. */
  readonly spans: readonly number[];
  /** By span: 1 for those found. */
  readonly flags: Uint8Array;
}

/** `undefined` without a search; the search before this one until it is done. */
export function useSearch(source: TraceSource, trace: LoadedTrace, text: string): Found | undefined {
  const [found, setFound] = useState<Found>();
  const isEmpty = parseFilter(text).terms.length === 0;
  useEffect(() => {
    setFound(undefined);
    if (isEmpty) return;
    const filter = parseFilter(text);
    let isWanted = true;
    void source.all().then(details => {
      if (!isWanted) return;
      const { forest } = trace;
      const flags = new Uint8Array(forest.count);
      const spans: number[] = [];
      forest.spanId.forEach((id, index) => {
        const span = details.get(id);
        if (!span || !matchesSpan(filter, span)) return;
        flags[index] = 1;
        spans.push(index);
      });
      setFound({ spans, flags });
    });
    return () => {
      isWanted = false;
    };
  }, [source, trace, text]);
  return isEmpty ? undefined : found;
}

/** The first of `sorted` after `from`, or before it; round the end to the other. */
export function nextOf(sorted: readonly number[], from: number, step: 1 | -1): number | undefined {
  return step === 1 ? (sorted.find(span => span > from) ?? sorted[0]) : (sorted.findLast(span => span < from) ?? sorted.at(-1));
}
