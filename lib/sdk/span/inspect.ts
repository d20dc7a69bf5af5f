/** Shows spans and tracers in `console.log()` as the SDK shows its own. */
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';

export const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** The arguments that Node calls the method {@link INSPECT} with. */
export type InspectArguments = [
  depth: number,
  options: { readonly depth?: number | null; stylize?(text: string, style: string): string } | undefined,
  inspect: ((value: unknown, options: object) => string) | undefined,
];

/** Returns `name` and the fields as text. */
export function inspectAs(name: string, fields: object, [depth, options, inspect]: InspectArguments): unknown {
  if (depth < 0) {
    const tag = `[${name}]`;
    return options?.stylize?.(tag, 'special') ?? tag;
  }
  if (options === undefined || inspect === undefined) return fields;
  const { depth: left } = options;
  return `${name} ${inspect(fields, { ...options, depth: typeof left === 'number' ? left - 1 : left })}`;
}

/** Returns the fields of a span as text, in the order of the SDK. */
export function inspectSpan(span: ReadableSpan, how: InspectArguments): unknown {
  const { name, kind, parentSpanContext, status, startTime, endTime, duration, ended, attributes, events, links, resource } = span;
  const { droppedAttributesCount, droppedEventsCount, droppedLinksCount, instrumentationScope } = span;
  const counts = { droppedAttributesCount, droppedEventsCount, droppedLinksCount };
  const before = { name, kind, spanContext: span.spanContext(), parentSpanContext, status, startTime, endTime, duration, ended };
  const after = { ...counts, instrumentationScope, resource: { attributes: knownAttributes(resource) } };
  return inspectAs('SpanImpl', { ...before, attributes, events, links, ...after }, how);
}

/** Returns those attributes of the resource that are known. Reading `attributes` would warn while others are awaited. */
export function knownAttributes(resource: Resource): Record<string, unknown> {
  const known: Record<string, unknown> = {};
  for (const [key, value] of resource.getRawAttributes()) {
    if (value === undefined || value === null || typeof (value as { then?: unknown }).then === 'function') continue;
    known[key] ??= value;
  }
  return known;
}
