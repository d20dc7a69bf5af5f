/** Writes protobuf into a buffer that grows: https://protobuf.dev/programming-guides/encoding */
import { GrowingBuffer } from './growing-buffer.js';

/** Texts up to this length are copied here, character by character. For longer ones, a call into Node is faster. */
const SHORT = 24;
/** A character of a text takes at most three bytes. A tag and a length take at most seven. */
const MOST_PER_CHARACTER = 3;
const MOST_BEFORE = 7;

/** By character: the value of a hexadecimal digit. */
const HEX = new Uint8Array(128);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  HEX[digit.charCodeAt(0)] = value;
  HEX[digit.toUpperCase().charCodeAt(0)] = value;
}

const scratch = new DataView(new ArrayBuffer(8));

/** Returns how many bytes `length` takes as a varint. */
function widthOf(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x4000) return 2;
  return length < 0x200000 ? 3 : length < 0x10000000 ? 4 : 5;
}

/** Tags are given as the varint `number * 8 + wireType`. @internal */
export class ProtobufWriter extends GrowingBuffer {
  /**
   * Begins a message of about `expected` bytes. Its length is written by {@link close}: if it takes as many bytes as the expected one, nothing
   * must be moved for it.
   */
  open(tag: number, expected: number): number {
    this.reserve(MOST_BEFORE);
    this.bytes[this.at++] = tag;
    return (this.at += widthOf(expected));
  }

  /** Ends the message that begins at `start`, as {@link open} returned it. */
  close(start: number, expected: number): void {
    const length = this.at - start;
    const reserved = widthOf(expected);
    const width = widthOf(length);
    if (width !== reserved) {
      this.reserve(MOST_BEFORE);
      this.bytes.copyWithin(start + width - reserved, start, this.at);
      this.at += width - reserved;
    }
    this.putVarint(length, start - reserved);
  }

  text(tag: number, given: unknown): void {
    const text = typeof given === 'string' ? given : String(given);
    const { length } = text;
    this.reserve(length * MOST_PER_CHARACTER + MOST_BEFORE);
    const { bytes } = this;
    bytes[this.at++] = tag;
    if (length <= SHORT) {
      let to = this.at + 1;
      let index = 0;
      for (; index < length; index++) {
        const code = text.charCodeAt(index);
        if (code > 0x7f) break;
        bytes[to++] = code;
      }
      if (index === length) {
        bytes[this.at] = length;
        this.at = to;
        return;
      }
    }
    const start = (this.at += widthOf(length));
    // Half of a surrogate pair becomes the replacement character.
    this.at += bytes.write(text, start, 'utf8');
    this.close(start, length);
  }

  data(tag: number, data: Uint8Array): void {
    this.reserve(data.length + MOST_BEFORE);
    this.bytes[this.at++] = tag;
    this.at = this.putVarint(data.length, this.at);
    this.bytes.set(data, this.at);
    this.at += data.length;
  }

  /** Writes the bytes of an id, which is given in hexadecimal. */
  id(tag: number, hex: string): void {
    const length = hex.length >>> 1;
    this.reserve(length + MOST_BEFORE);
    const { bytes } = this;
    bytes[this.at++] = tag;
    let to = this.putVarint(length, this.at);
    for (let index = 0; index < length * 2; index += 2) {
      bytes[to++] = ((HEX[hex.charCodeAt(index)] ?? 0) << 4) | (HEX[hex.charCodeAt(index + 1)] ?? 0);
    }
    this.at = to;
  }

  /** Writes a whole number of at most 64 bits. A negative one is written as its two's complement. */
  integer(tag: number, value: number): void {
    this.reserve(12);
    this.bytes[this.at++] = tag;
    if (value >= 0 && value <= 0xffffffff) {
      this.at = this.putVarint(value, this.at);
      return;
    }
    let low = value >>> 0;
    let high = Math.floor(value / 0x100000000) >>> 0;
    while (high > 0) {
      this.bytes[this.at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.at = this.putVarint(low, this.at);
  }

  double(tag: number, value: number): void {
    scratch.setFloat64(0, value, true);
    this.fixed64(tag, scratch.getUint32(0, true), scratch.getUint32(4, true));
  }

  /** Writes seconds and nanoseconds as the number of nanoseconds, which has too many digits for a number of JavaScript. */
  time(tag: number, seconds: number, nanoseconds: number): void {
    // The seconds are two numbers of 16 bits. Each of them, in nanoseconds, is an exact number.
    const upper = ((seconds / 0x10000) >>> 0) * 1e9;
    const lower = (upper & 0xffff) * 0x10000 + (seconds & 0xffff) * 1e9 + nanoseconds;
    this.fixed64(tag, lower >>> 0, (Math.floor(upper / 0x10000) + Math.floor(lower / 0x100000000)) >>> 0);
  }

  /** The tag takes two bytes. */
  fixed32(tag: number, value: number): void {
    this.reserve(6);
    const at = this.putVarint(tag, this.at);
    this.at = this.putFixed32(value, at);
  }

  private fixed64(tag: number, low: number, high: number): void {
    this.reserve(9);
    this.bytes[this.at++] = tag;
    this.at = this.putFixed32(high, this.putFixed32(low, this.at));
  }

  private putFixed32(value: number, at: number): number {
    const { bytes } = this;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
    return at + 4;
  }

  private putVarint(value: number, at: number): number {
    const { bytes } = this;
    let rest = value;
    let to = at;
    while (rest > 0x7f) {
      bytes[to++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[to] = rest;
    return to + 1;
  }
}
