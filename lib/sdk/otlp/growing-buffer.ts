/** A buffer that grows while something is written into it. */
export class GrowingBuffer {
  protected bytes: Buffer;
  /** The number of bytes that were written so far. */
  protected at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  get length(): number {
    return this.at;
  }

  /** Returns what was written. */
  finish(): Uint8Array {
    return this.bytes.subarray(0, this.at);
  }

  /** Returns a copy of what was written since `start`. */
  writtenSince(start: number): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, start, this.at);
  }

  /** Writes bytes that are encoded already. */
  encoded(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Makes room for so many bytes. */
  protected reserve(count: number): void {
    const needed = this.at + count;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }
}
