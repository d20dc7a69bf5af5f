/** Recognises the span that OpenTelemetry's instrumentation of socket.io has opened for a message, so that it gets no second one. */
import { type Span, SpanKind, trace } from '@opentelemetry/api';

const NAME = '@opentelemetry/instrumentation-socket.io';

interface SdkSpan extends Span {
  readonly kind?: SpanKind;
  readonly instrumentationScope?: { readonly name?: string };
}

/** The span of the message that is being handled, if that instrumentation is at work. */
export function spanOfSocketIo(): Span | undefined {
  const span: SdkSpan | undefined = trace.getActiveSpan();
  return span?.kind === SpanKind.CONSUMER && span.instrumentationScope?.name === NAME ? span : undefined;
}
