/** A value that changes, and those who watch it. */
import { useEffect, useReducer } from 'preact/hooks';

export class Store<T> {
  private readonly watchers = new Set<() => void>();
  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    for (const watcher of [...this.watchers]) watcher();
  }

  /** Returns how to stop. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }
}

/** What the browser calls the page while the component is there. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** The value of `store`; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useReducer((count: number, _: undefined) => count + 1, 0);
  const drawn = store.value;
  useEffect(() => {
    const stop = store.watch(() => redraw(undefined));
    // It may have changed between drawing and watching.
    if (!Object.is(drawn, store.value)) redraw(undefined);
    return stop;
  }, [store]);
  return drawn;
}
