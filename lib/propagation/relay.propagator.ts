/** Passes a caller's headers on through an application that is not traced: unread, and without loading what could read them. */
import { type Context, createContextKey, type TextMapGetter, type TextMapPropagator, type TextMapSetter } from '@opentelemetry/api';
import { GuardedPropagators } from './guarded-propagators.js';
import type { PropagatorName } from './propagator-choice.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

const B3 = ['b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags'];
const HEADERS: Readonly<Record<Exclude<PropagatorName, 'tracecontext' | 'none'>, readonly string[]>> = {
  baggage: ['baggage'],
  b3: B3,
  b3multi: B3,
};

/** The same formats as createPropagator; B3 comes and goes in the form it has. @internal */
export function createRelay(formats: readonly (PropagatorName | TextMapPropagator)[]): TextMapPropagator {
  const names = new Set<string>();
  const propagators: TextMapPropagator[] = [];
  for (const format of formats) {
    if (typeof format !== 'string') propagators.push(format);
    else if (format === 'tracecontext') propagators.push(new StrictTraceContextPropagator(false));
    else if (format !== 'none') for (const name of HEADERS[format]) names.add(name);
  }
  if (names.size > 0) propagators.push(new HeaderRelay([...names]));
  return new GuardedPropagators(propagators, propagators, undefined, false);
}

type Received = readonly (readonly [name: string, value: string])[];

const RECEIVED = createContextKey('nestjs-tracing/received-headers');

class HeaderRelay implements TextMapPropagator {
  constructor(private readonly names: string[]) {}

  inject(ctx: Context, carrier: unknown, setter: TextMapSetter): void {
    for (const [name, value] of (ctx.getValue(RECEIVED) ?? []) as Received) setter.set(carrier, name, value);
  }

  extract(ctx: Context, carrier: unknown, getter: TextMapGetter): Context {
    const received: [string, string][] = [];
    for (const name of this.names) {
      const value = getter.get(carrier, name);
      if (value !== undefined) received.push([name, String(value)]);
    }
    return received.length === 0 ? ctx : ctx.setValue(RECEIVED, received satisfies Received);
  }

  fields(): string[] {
    return this.names;
  }
}
