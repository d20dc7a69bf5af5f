/** Makes trace and span ids out of a pool of random bytes: asking the system for each id would cost as much as the span. */
import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 8192;
const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;

/** An IdGenerator whose next trace id can be looked at before it is used. @internal */
export class PooledIdGenerator {
  private readonly pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  private used = POOL_BYTES;
  private peeked: string | undefined;

  generateTraceId = (): string => {
    const id = this.peeked ?? this.cut(TRACE_ID_BYTES);
    this.peeked = undefined;
    return id;
  };

  generateSpanId = (): string => this.cut(SPAN_ID_BYTES);

  /** The trace id that {@link generateTraceId} returns next: sampling is decided on it before there is a span. */
  peekTraceId(): string {
    return (this.peeked ??= this.cut(TRACE_ID_BYTES));
  }

  private cut(bytes: number): string {
    if (this.used + bytes > POOL_BYTES) {
      randomFillSync(this.pool);
      this.used = 0;
    }
    const from = this.used;
    this.used += bytes;
    const id = this.pool.toString('hex', from, this.used);
    return isZero(id) ? this.cut(bytes) : id;
  }
}

/** The one id that is not allowed; the first character settles it nearly always. */
function isZero(id: string): boolean {
  return id.startsWith('0') && /^0+$/.test(id);
}
