/** Runs a user's span processor so that its mistakes stay out of the code whose spans it sees. */
import type { Context } from '@opentelemetry/api';
import { reportTrouble } from '../local/trouble.js';
import { classOf } from '../tracing.checks.js';
import { messages } from '../tracing.messages.js';
import type { ReadableSpan, SpanProcessor } from './sdk.js';

type StartedSpan = Parameters<SpanProcessor['onStart']>[0];

/** @internal */
export class GuardedProcessor implements SpanProcessor {
  constructor(private readonly processor: SpanProcessor) {}

  onStart(span: StartedSpan, parent: Context): void {
    try {
      this.processor.onStart(span, parent);
    } catch (error) {
      this.report('onStart', error);
    }
  }

  onEnding(span: StartedSpan): void {
    try {
      this.processor.onEnding?.(span);
    } catch (error) {
      this.report('onEnding', error);
    }
  }

  onEnd(span: ReadableSpan): void {
    try {
      this.processor.onEnd(span);
    } catch (error) {
      this.report('onEnd', error);
    }
  }

  async forceFlush(): Promise<void> {
    try {
      await this.processor.forceFlush();
    } catch (error) {
      this.report('forceFlush', error);
    }
  }

  async shutdown(): Promise<void> {
    try {
      await this.processor.shutdown();
    } catch (error) {
      this.report('shutdown', error);
    }
  }

  private report(method: string, error: unknown): void {
    const name = classOf(this.processor);
    reportTrouble(`processor:${name}.${method}`, messages.processorFailed(name, method), error);
  }
}
