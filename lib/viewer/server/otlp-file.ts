/** Reads a file that a user opened in the page: OTLP JSON, as the viewer's download or a collector's file exporter writes it. */
import type { Attributes } from '@opentelemetry/api';
import { readOtlp } from '../model/otlp-json.js';
import type { TraceSpan } from '../model/trace-span.js';
import { MAX_PARTS, refuseManyParts, Refusal } from './request-body.js';

/**
 * The most bytes of a file. It is twice what the store can hold, so a trace that fits into the store can be opened again. It is never more
 * than a string can hold.
 * @internal
 */
export function maxFileBytes(maxStoredBytes: number): number {
  return Math.min(2 * maxStoredBytes, 256 * 1024 * 1024);
}

/** Is higher than the limit of a request, because a file is longer and the developer chose it. */
const MAX_FILE_PARTS = 4 * MAX_PARTS;

/**
 * Returns the spans in `file`, which holds one OTLP request, an array of them, or one in each line. Throws a {@link Refusal} with a message
 * for the page.
 * @internal
 */
export function readOtlpFile(file: Buffer, share: (resource: Attributes) => Attributes): TraceSpan[] {
  refuseManyParts(file, MAX_FILE_PARTS, 'This file');
  const spans = requestsIn(file).flatMap(request => {
    try {
      return readOtlp(request, share).spans;
    } catch {
      throw notOtlp();
    }
  });
  if (spans.length === 0) throw new Refusal(400, 'There are no spans in this file.');
  return spans;
}

function requestsIn(file: Buffer): readonly unknown[] {
  // A decoder removes the byte order mark that some editors write.
  const text = new TextDecoder().decode(file);
  try {
    const whole: unknown = JSON.parse(text);
    return Array.isArray(whole) ? whole : [whole];
  } catch {
    try {
      const lines = text.split('\n').filter(line => line.trim() !== '');
      return lines.map((line): unknown => JSON.parse(line));
    } catch {
      throw notOtlp();
    }
  }
}

function notOtlp(): Refusal {
  return new Refusal(400, 'This file is not OTLP JSON.');
}
