/** Gives a generator its span: from the first value asked for until it is done, fails, or its consumer stops; each step runs inside. */
import { type GeneratorLike, shapeOf } from './result-shape.js';
import type { RunningSpan } from './running-span.js';

type Step = 'next' | 'return' | 'throw';

/** Follows a sync or async generator; `open` opens its span, `undefined` where nothing is traced. @internal */
export function followGenerator<T extends GeneratorLike>(generator: T, open: () => RunningSpan | undefined): T {
  let running: RunningSpan | undefined;
  let isUntouched = true;

  const step = (name: Step, args: unknown[]): unknown => {
    // One that is returned or thrown into before its first step never runs.
    if (isUntouched && name === 'next') running = open();
    isUntouched = false;
    const span = running;
    if (span === undefined || span.hasEnded) return generator[name](...args);
    const settle = (outcome: unknown): unknown => {
      if (isDone(outcome)) {
        // What a consumer that stops early hands in is not the generator's result.
        if (name === 'next') span.succeed(outcome.value);
        else span.end();
      }
      return outcome;
    };
    const fail = (thrown: unknown): never => {
      span.fail(thrown);
      throw thrown;
    };
    let outcome: unknown;
    try {
      outcome = span.run(() => generator[name](...args));
    } catch (thrown) {
      return fail(thrown);
    }
    return shapeOf(outcome) === 'promise' ? (outcome as Promise<unknown>).then(settle, fail) : settle(outcome);
  };

  const method = (name: Step): PropertyDescriptor => ({
    value: (...args: unknown[]) => step(name, args),
    configurable: true,
    writable: true,
  });
  return Object.create(Object.getPrototypeOf(generator) as object, {
    next: method('next'),
    return: method('return'),
    throw: method('throw'),
  }) as T;
}

function isDone(outcome: unknown): outcome is { value: unknown } {
  return typeof outcome === 'object' && outcome !== null && (outcome as { done?: unknown }).done === true;
}
