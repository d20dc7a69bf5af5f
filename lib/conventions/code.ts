/** How spans name the code they stand for (semantic conventions for code, stable). */
import type { Attributes, Span } from '@opentelemetry/api';

/** What people call a method of a class: `OrdersService.load`; the method alone where the class has no name. */
export function codeName(className: string, method: string): string {
  return className === '' ? method : `${className}.${method}`;
}

/** `code.function.name` of a method of a class. */
export function codeAttributes(className: string, method: string): Attributes {
  return { 'code.function.name': codeName(className, method) };
}

/** Sets `code.function.name`; on a span that has begun it costs half of what it costs among the attributes at its start. */
export function setCodeName(span: Span, name: string): void {
  span.setAttribute('code.function.name', name);
}
