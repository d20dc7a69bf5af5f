/** A context that is found out while work goes on in it. */
import type { Context } from '@opentelemetry/api';

/** Stands for another context, which may change: whoever has it active finds itself in the new one. @internal */
export class LateContext implements Context {
  constructor(private current: Context) {}

  become(ctx: Context): void {
    this.current = ctx;
  }

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
