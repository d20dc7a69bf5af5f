/** What is known about an operation, kept as it is until somebody reads the attributes of its span. */
import type { Attributes, Span } from '@opentelemetry/api';

/** @internal */
export interface SpanFacts {
  /** Returns a new object with the attributes that the facts stand for. Must not throw. */
  toAttributes(): Attributes;
}

/** The member of a span of the built-in provider with its facts. Undefined after somebody has read or set an attribute. @internal */
export const FACTS = Symbol('nestjs-tracing/facts');

/** Returns the facts of a span, which may still be changed. @internal */
export function factsOf(span: Span | { readonly [FACTS]?: SpanFacts | undefined }): SpanFacts | undefined {
  return FACTS in span ? span[FACTS] : undefined;
}
