/** What the compiler must accept and refuse of the decorators; checked by `npm run typecheck`, never run. */
import { applyDecorators } from '@nestjs/common';
import type { Attributes, Link, Span as OpenTelemetrySpan, Tracer as OpenTelemetryTracer } from '@opentelemetry/api';
import type { Observable } from 'rxjs';
import { CurrentSpan, Span, type SpanOptions, Traceable } from '../../lib/api/span.decorator.js';
import { NoSpan } from '../../lib/api/no-span.decorator.js';
import { SpanAttribute } from '../../lib/api/span-attribute.decorator.js';
import { Tracer } from '../../lib/api/tracer.js';

interface Order {
  readonly id: string;
  readonly items: readonly string[];
}

declare const links: Link[];
declare const orders: Observable<Order>;

const declared: SpanOptions = { attributes: { a: 1 }, resultAttributes: () => ({ b: 2 }) };
const declaredFor: SpanOptions<[id: string], Order> = { attributes: id => ({ id }), resultAttributes: order => ({ id: order.id }) };

@Traceable()
@NoSpan()
export class Accepted {
  @Span()
  plain(@SpanAttribute('order.id') id: string, @CurrentSpan() _span: OpenTelemetrySpan) {
    return id;
  }

  @Span('name', { attributes: { a: 1 }, root: true, links })
  named() {}

  @Span((id: string) => `load ${id.length}`)
  byName(_id: string, _more: number) {}

  @Span(id => `load ${String(id)}`)
  byUntypedName(_id: string) {}

  @Span({ attributes: id => ({ 'order.id': id }) })
  untyped(_id: string) {}

  @Span({ attributes: (order: Order, more?: number) => ({ items: order.items.length, more }) })
  optional(_order: Order, _more?: number) {}

  @Span({ attributes: (id: unknown) => ({ id }), name: 'wider' })
  wider(_id: string) {}

  @Span({ attributes: (...ids: string[]) => ({ ids }), links: (...ids: string[]) => (ids.length > 0 ? links : []) })
  variadic(..._ids: string[]) {}

  @Span('async', { attributes: (id: string) => ({ id }), resultAttributes: (order: Order) => ({ items: order.items.length }) })
  async load(id: string): Promise<Order> {
    return { id, items: [] };
  }

  @Span({ resultAttributes: (order: Order | null) => ({ found: order !== null }) })
  async find(): Promise<Order | null> {
    return null;
  }

  @Span({ resultAttributes: (last: Order) => ({ last: last.id }) })
  stream(): Observable<Order> {
    return orders;
  }

  @Span({ resultAttributes: (result: string) => ({ result }) })
  *generator(): Generator<number, string> {
    yield 1;
    return 'done';
  }

  @Span({ resultAttributes: (result: string) => ({ result }) })
  async *asyncGenerator(): AsyncGenerator<number, string> {
    yield 1;
    return 'done';
  }

  @Span(declared)
  declared(_id: string): string {
    return '';
  }

  @Span('declared', declaredFor)
  async declaredFor(id: string): Promise<Order> {
    return { id, items: [] };
  }

  @Span('per call', (id: string) => ({ attributes: { id } }))
  perCall(_id: string) {}

  @Span('per call', id => ({ attributes: { id } }))
  untypedPerCall(_id: string) {}

  @Span({ attributes: (value: unknown) => ({ value }) })
  generic<T>(value: T): T {
    return value;
  }

  @Span()
  static make() {}

  @NoSpan()
  hidden() {}
}

export const Composed = (): MethodDecorator => applyDecorators(Span('composed', { attributes: { a: 1 } }), NoSpan());

export class Refused {
  // @ts-expect-error the method takes a string
  @Span((id: number) => `load ${id}`)
  nameOfOtherType(_id: string) {}

  // @ts-expect-error the method takes a string
  @Span({ attributes: (id: number) => ({ id }) })
  attributesOfOtherType(_id: string) {}

  // @ts-expect-error the method takes no second argument
  @Span({ attributes: (id: string, more: number) => ({ id, more }) })
  tooManyArguments(_id: string) {}

  // @ts-expect-error the argument may be missing
  @Span({ attributes: (id: string) => ({ id }) })
  missingArgument(_id?: string) {}

  // @ts-expect-error the method takes a string
  @Span({ links: (id: number) => (id > 0 ? links : []) })
  linksOfOtherType(_id: string) {}

  // @ts-expect-error the method takes a string
  @Span('per call', (id: number) => ({ attributes: { id } }))
  perCallOfOtherType(_id: string) {}

  // @ts-expect-error the first function makes the name
  @Span((id: string) => ({ attributes: { id } }))
  optionsAsName(_id: string) {}

  // @ts-expect-error the promise resolves to an Order
  @Span({ resultAttributes: (result: Promise<Order>) => ({ result }) })
  async promise(): Promise<Order> {
    return { id: '', items: [] };
  }

  // @ts-expect-error the last value is an Order
  @Span({ resultAttributes: (result: string) => ({ result }) })
  stream(): Observable<Order> {
    return orders;
  }

  // @ts-expect-error the result may be null
  @Span('name', { resultAttributes: (order: Order) => ({ id: order.id }) })
  async nullable(): Promise<Order | null> {
    return null;
  }

  // @ts-expect-error declared for a method that results in an Order
  @Span('declared', declaredFor)
  declaredFor(id: string): string {
    return id;
  }

  // @ts-expect-error no such option
  @Span({ atributes: { a: 1 } })
  misspelt() {}

  // @ts-expect-error attributes are an object or a function
  @Span('name', { attributes: 'a=1' })
  noAttributes() {}

  // @ts-expect-error links are links
  @Span({ links: ['abc'] })
  noLinks() {}

  // @ts-expect-error an attribute has a key
  withoutKey(@SpanAttribute() _id: string) {}

  // @ts-expect-error not for properties
  @Span()
  readonly property = 1;

  // @ts-expect-error not for parameters
  parameter(@Span() _id: string) {}
}

// @ts-expect-error not for classes
@Span()
export class RefusedClass {}

export function useTracer(tracer: Tracer): OpenTelemetryTracer {
  const text: string = tracer.span('name', () => 'text');
  const promise: Promise<number> = tracer.span('name', { kind: 1 }, async span => (span.isRecording() ? 1 : 0));
  const id: string | undefined = tracer.traceId;
  const span: OpenTelemetrySpan | undefined = tracer.currentSpan();
  const headers: { accept: string } = tracer.inject({ accept: '*/*' });
  const inside: number = tracer.with(tracer.extract({ traceparent: '' }), () => 1);
  const baggage: boolean = tracer.withBaggage({ tenant: 'acme' }, () => true);
  const attributes: Attributes = { text, id, accept: headers.accept, inside, baggage };
  span?.setAttributes(attributes);
  // @ts-expect-error a span has a name
  void tracer.span(() => promise);
  // @ts-expect-error the trace id may be undefined
  tracer.traceId.slice();
  // @ts-expect-error an object is no attribute value
  tracer.setAttribute('order', { id: 7 });
  return tracer;
}
