/** A context that costs one small object instead of a map and three closures: every request makes several, most of them for the same keys. */
import { type Context, createContextKey, ROOT_CONTEXT } from '@opentelemetry/api';
import type { Work } from './work.js';

// Keys are registered symbols: the same in every copy and version of the API.
const SPAN = createContextKey('OpenTelemetry Context Key SPAN');
const WORK = createContextKey('nestjs-tracing/work');
const SUPPRESSED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');
const RANDOM_FLAG = createContextKey('nestjs-tracing/random-flag');

/** Immutable like any context; what has no field of its own is kept in `rest`. */
class SlimContext implements Context {
  constructor(
    private readonly rest: Context,
    private readonly span: unknown,
    private readonly work: unknown,
    private readonly randomFlag: unknown,
  ) {}

  getValue(key: symbol): unknown {
    if (key === WORK) return this.work;
    // Work that turns out not to be traced is so in every context that it has reached.
    const relay = (this.work as Work | undefined)?.relay;
    if (relay !== undefined && key === SUPPRESSED) return true;
    if (key === SPAN) return relay === undefined ? this.span : relay.getValue(SPAN);
    if (key === RANDOM_FLAG) return this.randomFlag;
    return this.rest.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    const { rest, span, work, randomFlag } = this;
    if (key === SPAN) return new SlimContext(rest, value, work, randomFlag);
    if (key === WORK) return new SlimContext(rest, span, value, randomFlag);
    if (key === RANDOM_FLAG) return new SlimContext(rest, span, work, value);
    return new SlimContext(rest.setValue(key, value), span, work, randomFlag);
  }

  deleteValue(key: symbol): Context {
    if (key === SPAN || key === WORK || key === RANDOM_FLAG) return this.setValue(key, undefined);
    return new SlimContext(this.rest.deleteValue(key), this.span, this.work, this.randomFlag);
  }
}

/** The empty context to derive others from; it stands for `ROOT_CONTEXT`. @internal */
export const SLIM_ROOT: Context = new SlimContext(ROOT_CONTEXT, undefined, undefined, undefined);

/** A context in which `work` is not traced: it holds what `work` passes on, and forbids any span. @internal */
export function untracedContext(work: Work & { readonly relay: Context }): Context {
  return new SlimContext(work.relay, undefined, work, undefined);
}
