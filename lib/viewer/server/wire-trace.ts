/**
 * Makes the trace that the page draws. The tree, the critical path and the folds are computed here, not in the page: in the server, V8 has
 * compiled this code already.
 */
import { criticalPath } from '../model/critical-path.js';
import { columnsOfSpans } from '../model/span-columns.js';
import { buildForest } from '../model/span-forest.js';
import { summarizeServices } from '../model/span-statistics.js';
import { findFolds } from '../model/visible-rows.js';
import type { WireTrace } from '../model/wire.js';
import type { StoredTrace } from './stored-trace.js';

/** @internal */
export function wireTraceOf({ revision, droppedSpans, spans }: StoredTrace): WireTrace {
  const forest = buildForest(columnsOfSpans([...spans.values()]));
  const { traceId, startNs, texts, spanId, parent, name, service, peer, kind, status } = forest;
  const { offsetNs, durationNs, answer, events, missingParent, shiftNs } = forest;
  return {
    traceId,
    revision,
    droppedSpans,
    startNs: String(startNs),
    texts,
    spanId,
    // As arrays, because JSON.stringify() turns a typed array into an object.
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
    path: criticalPath(forest),
    folds: findFolds(forest),
    services: summarizeServices(forest),
  };
}
