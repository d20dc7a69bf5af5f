/** Brings finished spans to the viewer, which takes care of the rest. */
import { TraceFlags } from '@opentelemetry/api';
import { Logger } from '@nestjs/common';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { FinishedSpan } from '../viewer/model/trace-span.js';
import type { ViewerLink } from '../viewer/server/viewer-link.js';
import type { ResolvedViewerOptions } from '../viewer/viewer-options.js';

/** @internal */
export class ViewerDelivery implements SpanProcessor {
  private constructor(readonly link: ViewerLink) {}

  /** Loads the viewer only here: an application without one need not hold it. */
  static async to(viewer: ResolvedViewerOptions): Promise<ViewerDelivery> {
    const { ViewerLink } = await import('../viewer/server/viewer-link.js');
    const link = new ViewerLink(viewer, { encode, say });
    link.start();
    return new ViewerDelivery(link);
  }

  onStart(): void {
    // Spans are shown when they have ended.
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0) this.link.take(span);
  }

  forceFlush(): Promise<void> {
    return this.link.flush();
  }

  shutdown(): Promise<void> {
    return this.link.close();
  }
}

/** The encoder costs as much at start-up as all the rest, so it comes with the first spans for another process. */
async function encode(spans: readonly FinishedSpan[]): Promise<Uint8Array> {
  const { ProtobufTraceSerializer } = await import('@opentelemetry/otlp-transformer');
  return ProtobufTraceSerializer.serializeRequest(spans as ReadableSpan[]) ?? new Uint8Array();
}

function say(message: string): void {
  try {
    new Logger('Tracing').log(message);
  } catch {
    // A logger that throws must not take the application down.
  }
}
