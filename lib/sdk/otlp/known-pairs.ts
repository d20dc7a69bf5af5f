/** Remembers how attributes are encoded that come again and again. Most attributes of a request are of that kind. */
import type { Attributes } from '@opentelemetry/api';
import type { GrowingBuffer } from './growing-buffer.js';

/** So many values of a key are remembered, and so many keys. A long text would take too much memory. */
const VALUES = 4;
const KEYS = 200;
const LONGEST_TEXT = 128;
/** Of the values that are not known, one in so many is remembered. The others may never come again. */
const ONE_IN = 16;

interface Known {
  readonly values: unknown[];
  readonly encoded: Uint8Array[];
  misses: number;
}

/** @internal */
export class KnownPairs<Out extends GrowingBuffer> {
  private readonly keys = new Map<string, Known>();

  constructor(private readonly writePair: (out: Out, key: string, value: unknown) => void) {}

  /** Writes a key and a value. */
  write(out: Out, key: string, value: unknown): void {
    const known = this.keys.get(key) ?? this.begin(key);
    if (known === undefined) {
      this.writePair(out, key, value);
      return;
    }
    const { values, encoded } = known;
    for (let index = 0; index < values.length; index++) {
      if (values[index] === value) {
        out.encoded(encoded[index] as Uint8Array);
        return;
      }
    }
    const start = out.length;
    this.writePair(out, key, value);
    if (known.misses++ % ONE_IN !== 0 || !isSmall(value)) return;
    const place = values.length < VALUES ? values.length : Math.floor(known.misses / ONE_IN) % VALUES;
    values[place] = value;
    encoded[place] = out.writtenSince(start);
  }

  private begin(key: string): Known | undefined {
    if (this.keys.size >= KEYS) return undefined;
    const known: Known = { values: [], encoded: [], misses: 0 };
    this.keys.set(key, known);
    return known;
  }
}

function isSmall(value: unknown): boolean {
  return typeof value === 'string' ? value.length <= LONGEST_TEXT : typeof value === 'number' || typeof value === 'boolean';
}

/** Attributes that several spans of a batch have in common, as they are encoded. @internal */
export type KnownAttributes = Map<Attributes, Uint8Array>;

/** Writes attributes that other spans may have, too. `write` is called for the first of the spans only. @internal */
export function writeOnce<Out extends GrowingBuffer>(
  out: Out,
  attributes: Attributes,
  known: KnownAttributes,
  write: (out: Out, attributes: Attributes) => void,
): void {
  const encoded = known.get(attributes);
  if (encoded !== undefined) {
    out.encoded(encoded);
    return;
  }
  const start = out.length;
  write(out, attributes);
  known.set(attributes, out.writtenSince(start));
}
