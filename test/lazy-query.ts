/** A query as database libraries build it: no promise, and it runs when somebody waits for it. */
export class LazyQuery<T> implements PromiseLike<T> {
  constructor(private readonly run: () => T) {}

  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return Promise.resolve().then(this.run).then(onFulfilled, onRejected);
  }
}
