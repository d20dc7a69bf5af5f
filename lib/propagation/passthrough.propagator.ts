/** Passes a caller's headers through an application that is not traced. B3 and baggage headers are not parsed. */
import { type Context, createContextKey, type TextMapGetter, type TextMapPropagator, type TextMapSetter } from '@opentelemetry/api';
import { GuardedPropagators } from './guarded-propagators.js';
import type { PropagatorName } from '../options/tracing-options.js';
import { StrictTraceContextPropagator } from './trace-context.propagator.js';

const B3 = ['b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags'];
const HEADERS = { baggage: ['baggage'], b3: B3, b3multi: B3 };

/** Returns a propagator for the same formats as createPropagator. B3 headers are sent in the form in which they were received. @internal */
export function createPassthroughPropagator(formats: readonly (PropagatorName | TextMapPropagator)[]): TextMapPropagator {
  const names = new Set<string>();
  const propagators: TextMapPropagator[] = [];
  for (const format of formats) {
    if (typeof format !== 'string') propagators.push(format);
    else if (format === 'tracecontext') propagators.push(new StrictTraceContextPropagator(false));
    else if (format !== 'none') for (const name of HEADERS[format]) names.add(name);
  }
  if (names.size > 0) propagators.push(new PassthroughHeaders([...names]));
  return new GuardedPropagators(propagators, propagators, undefined, false);
}

type Received = readonly (readonly [name: string, value: string])[];

const RECEIVED = createContextKey('nestjs-tracing/received-headers');

class PassthroughHeaders implements TextMapPropagator {
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
