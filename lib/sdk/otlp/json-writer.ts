/** Writes JSON into a buffer that grows. */
import { GrowingBuffer } from './growing-buffer.js';

/** Texts up to this length are copied here, character by character. For longer ones, a call into Node is faster. */
const SHORT = 40;
/** What is written between values, as bytes. */
const pieces = new Map<string, Uint8Array>();

/** @internal */
export class JsonWriter extends GrowingBuffer {
  /** Writes a constant of the format as it is. */
  piece(constant: string): void {
    let bytes = pieces.get(constant);
    if (bytes === undefined) pieces.set(constant, (bytes = new TextEncoder().encode(constant)));
    this.encoded(bytes);
  }

  /** Writes one character in ASCII by its code. */
  character(code: number): void {
    this.reserve(1);
    this.bytes[this.at++] = code;
  }

  /** Writes a short text in ASCII as it is. */
  plain(text: string): void {
    const { length } = text;
    this.reserve(length);
    const { bytes } = this;
    let to = this.at;
    for (let index = 0; index < length; index++) bytes[to++] = text.charCodeAt(index);
    this.at = to;
  }

  /** Writes a text in quotation marks. */
  text(given: unknown): void {
    const text = typeof given === 'string' ? given : String(given);
    const { length } = text;
    if (length > SHORT) {
      this.escaped(text);
      return;
    }
    this.reserve(length + 2);
    const { bytes } = this;
    let to = this.at;
    bytes[to++] = 0x22;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      // JSON writes quotation marks, backslashes and control characters in another way.
      if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) {
        this.escaped(text);
        return;
      }
      bytes[to++] = code;
    }
    bytes[to++] = 0x22;
    this.at = to;
  }

  /** Writes a number. JSON has none that is not finite. */
  number(value: number): void {
    if (value >= 0 && value < 1000 && Number.isInteger(value)) this.digits(value, value < 10 ? 1 : value < 100 ? 2 : 3);
    else this.plain(Number.isFinite(value) ? String(value) : 'null');
  }

  /** Writes a whole number below 2^31 with `count` digits. */
  digits(value: number, count: number): void {
    this.reserve(count);
    const { bytes, at } = this;
    let rest = value;
    for (let place = at + count - 1; place >= at; place--) {
      const next = (rest / 10) | 0;
      bytes[place] = 0x30 + rest - next * 10;
      rest = next;
    }
    this.at = at + count;
  }

  private escaped(text: string): void {
    const json = JSON.stringify(text);
    // A character takes at most three bytes.
    this.reserve(json.length * 3);
    this.at += this.bytes.write(json, this.at, 'utf8');
  }
}
