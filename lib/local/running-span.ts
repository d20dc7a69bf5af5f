/** A span between its opening and its end: what runs inside it, how it fails, and that it ends exactly once on whatever path comes first. */
import { type Attributes, type Context, context, type Span } from '@opentelemetry/api';
import { recordFailure } from '../conventions/failure.js';
import { messages } from '../tracing.messages.js';
import { reportTrouble } from './trouble.js';

/** @internal */
export class RunningSpan {
  private isOver = false;

  constructor(
    readonly span: Span,
    /** In which the span is active. */
    readonly context: Context,
    private readonly resultAttributes?: (result: unknown) => Attributes | undefined,
  ) {}

  get hasEnded(): boolean {
    return this.isOver;
  }

  /** Calls `fn` with the span active. */
  run<T>(fn: () => T): T {
    return context.with(this.context, fn);
  }

  /** Ends the span with what the operation resulted in. */
  succeed(result: unknown): void {
    if (this.isOver) return;
    if (this.resultAttributes !== undefined && this.span.isRecording()) {
      const attributes = this.resultAttributes(result);
      if (attributes !== undefined) this.span.setAttributes(attributes);
    }
    this.end();
  }

  /** Ends the span with what was thrown. */
  fail(thrown: unknown): void {
    if (this.isOver) return;
    recordFailure(this.span, thrown);
    this.end();
  }

  /** Leaves the span to whoever opened it; nothing more is told to it. */
  release(): void {
    this.isOver = true;
  }

  /** Ends the span, at a moment that has passed if `endTime`, in milliseconds since 1970, says so; whoever comes later changes nothing. */
  end(endTime?: number): void {
    if (this.isOver) return;
    this.isOver = true;
    try {
      // A user may have ended the span in hand, and a span that does not record has no end.
      if (this.span.isRecording()) this.span.end(endTime);
    } catch (error) {
      reportTrouble('span-end', messages.spanNotEnded(), error);
    }
  }
}
