/** A request that is not traced: no span is made in it, and outgoing calls carry on what the caller sent. */
import type { Context } from '@opentelemetry/api';
import { SLIM_ROOT } from '../local/slim-context.js';
import type { TracingApplication, Work } from '../local/work.js';

export class UntracedRequest implements Work {
  constructor(
    readonly application: TracingApplication,
    readonly request: object,
    readonly relay: Context,
  ) {}
}

/** A context that is put together when somebody first asks for it: most requests that are not traced call nobody. */
export class LateContext implements Context {
  private context: Context | undefined;
  private isBeingMade = false;

  constructor(private readonly create: () => Context) {}

  getValue(key: symbol): unknown {
    return this.known().getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.known().setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return this.known().deleteValue(key);
  }

  private known(): Context {
    if (this.context !== undefined) return this.context;
    // A propagator of the user's that asks for the active context gets an empty one.
    if (this.isBeingMade) return SLIM_ROOT;
    this.isBeingMade = true;
    return (this.context = this.create());
  }
}
