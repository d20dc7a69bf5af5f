/** A stored trace as a page draws it, all that takes thought done: here the code for that is warm, in a page that was just opened it never is. */
import { criticalPath } from '../model/critical-path.js';
import { columnsOfSpans } from '../model/span-columns.js';
import { growForest } from '../model/span-forest.js';
import { summarizeServices } from '../model/span-statistics.js';
import { findFolds } from '../model/visible-rows.js';
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
    path: criticalPath(forest),
    folds: findFolds(forest),
    services: summarizeServices(forest),
  };
}
