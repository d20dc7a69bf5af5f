/** A value that components can watch. */
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

  /** Calls `watcher` after each change. Returns a function that stops it. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }
}

/** Sets the title of the browser tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** Returns the value of `store`, and renders the component again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useReducer((count: number, _: undefined) => count + 1, 0);
  const rendered = store.value;
  useEffect(() => {
    const stop = store.watch(() => redraw(undefined));
    // The value may have changed between rendering and this effect.
    if (!Object.is(rendered, store.value)) redraw(undefined);
    return stop;
  }, [store]);
  return rendered;
}
