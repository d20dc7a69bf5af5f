/** Contexts whose content changes while code already runs in them. */
import { type Context, context, createContextKey, ROOT_CONTEXT } from '@opentelemetry/api';

/** A context that delegates to another one. */
abstract class Delegate implements Context {
  protected abstract readonly current: Context;

  getValue(key: symbol): unknown {
    return this.current.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.current.setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return this.current.deleteValue(key);
  }
}

/** Delegates to a context that can be replaced. Code that already runs in it then runs in the new one. */
export class ChangingContext extends Delegate {
  constructor(protected current: Context) {
    super();
  }

  become(ctx: Context): void {
    this.current = ctx;
  }
}

/** A subscription that waits for its next event. */
export interface Waiting {
  /** The context for work that leads to the next event. Opens the span of the event if needed. */
  readonly contextOfWaiting: Context;
  /** Called when an event has come. `call` runs the filter, which decides whether the event is delivered. */
  filter(call: () => unknown): unknown;
}

const WAITING = createContextKey('nestjs-tracing/graphql-waiting');

/** Returns the subscription that waits for its next event in the active context. */
export function waitingFor(): Waiting | undefined {
  return context.active().getValue(WAITING) as Waiting | undefined;
}

/**
 * Active while a subscription waits, and in the timers and listeners that it sets up for this. Reading the span opens the span of the
 * event. After the last event, remaining timers and listeners have no span.
 */
export class WaitingContext extends Delegate {
  isOver = false;
  private isOpening = false;

  constructor(private readonly subscription: Waiting) {
    super();
  }

  override getValue(key: symbol): unknown {
    if (key === WAITING) return this.isOver ? undefined : this.subscription;
    return super.getValue(key);
  }

  protected get current(): Context {
    // Processors and samplers read the context while the span opens.
    if (this.isOver || this.isOpening) return ROOT_CONTEXT;
    this.isOpening = true;
    try {
      return this.subscription.contextOfWaiting;
    } finally {
      this.isOpening = false;
    }
  }
}
