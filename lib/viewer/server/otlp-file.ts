/** Reads a file that somebody opened in the page: OTLP JSON, as a download of the viewer or a collector writes it. */
import type { Attributes } from '@opentelemetry/api';
import { readOtlp } from '../model/otlp-json.js';
import type { TraceSpan } from '../model/trace-span.js';
import { MAX_PARTS, refuseManyParts, Refusal } from './request-body.js';

/**
 * Bytes of a file, where `storedBytes` is what the store holds: a trace that fits in there fits in here as well. Never more than one text can
 * hold.
 * @internal
 */
export function maxFileBytes(storedBytes: number): number {
  return Math.min(2 * storedBytes, 256 * 1024 * 1024);
}

/** A file is what a developer chose, and longer than a request. */
const MAX_FILE_PARTS = 4 * MAX_PARTS;

/** The spans in `file`: one request, a list of them, or one on each line. Throws a {@link Refusal} that the page can show. @internal */
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
  // A decoder, as an editor may have put a byte order mark in front.
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
