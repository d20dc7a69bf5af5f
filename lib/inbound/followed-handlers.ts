/** Handlers whose results nobody waits for: when all of them are done, and what the first of them failed with. */

export interface FollowedHandlers {
  /** Calls a handler; what it returns or throws passes unchanged. */
  follow(call: () => unknown): unknown;
  /** `undefined` where all is well and done; else a promise of that, or of the first failure. */
  outcome(): Promise<void> | undefined;
}

export function followedHandlers(): FollowedHandlers {
  let pending = 0;
  let failure: { thrown: unknown } | undefined;
  let settle: (() => void) | undefined;
  const done = (): void => {
    pending -= 1;
    if (pending === 0) settle?.();
  };
  const fail = (thrown: unknown): never => {
    failure ??= { thrown };
    throw thrown;
  };
  return {
    follow(call) {
      let result: unknown;
      try {
        result = call();
      } catch (thrown) {
        return fail(thrown);
      }
      if (!(result instanceof Promise)) return result;
      pending += 1;
      // Whoever gets the promise that stands for this one is told of the failure, or nobody is, as before.
      return result.then(
        (value: unknown) => {
          done();
          return value;
        },
        (thrown: unknown) => {
          failure ??= { thrown };
          done();
          throw thrown;
        },
      );
    },
    outcome() {
      if (pending === 0 && failure === undefined) return undefined;
      return new Promise((resolve, reject) => {
        settle = (): void => {
          if (failure === undefined) resolve();
          else reject(failure.thrown);
        };
        if (pending === 0) settle();
      });
    },
  };
}
