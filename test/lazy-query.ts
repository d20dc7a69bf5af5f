/** A query like those of database libraries: not a promise, and it runs only when it is awaited. */
export class LazyQuery<T> implements PromiseLike<T> {
  constructor(private readonly run: () => T) {}

  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return Promise.resolve().then(this.run).then(onFulfilled, onRejected);
  }
}
