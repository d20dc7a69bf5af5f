/** A stored trace as the columns that a page draws its waterfall from: here the code that orders its spans is warm, there it never is. */
import { columnsOfSpans } from '../model/span-columns.js';
import { growForest } from '../model/span-forest.js';
import type { WireTrace } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';

/** @internal */
export function drawnTrace({ revision, droppedSpans, spans }: StoredTrace): WireTrace {
  const forest = growForest(columnsOfSpans([...spans.values()]));
  const { traceId, startNs, texts, spanId, parent, name, service, peer, kind, status } = forest;
  const { offsetNs, durationNs, answer, events, missingParent, shiftNs } = forest;
  return {
    traceId,
    revision,
    droppedSpans,
    startNs: String(startNs),
    texts,
    spanId,
    // As lists: JSON would make objects of typed arrays.
    parent: [...parent],
    name: [...name],
    service: [...service],
    peer: [...peer],
    kind: [...kind],
    status: [...status],
    offsetNs: [...offsetNs],
    durationNs: [...durationNs],
    answer,
    events,
    missingParent,
    shiftNs,
  };
}
