/** Methods of a class that are wrapped on its prototype before Nest looks at them, once for all applications that want it. */

export type Method = (this: unknown, ...args: unknown[]) => unknown;

export interface DeclaredMethod {
  readonly method: string;
  readonly callback: Method;
}

/** Puts what `wrap` makes of each method in its place; returns what takes it out again once nobody wants it any more. */
export function wrapMethods(
  owner: Function,
  methods: readonly DeclaredMethod[],
  wrap: (owner: Function, method: string, callback: Method) => Method,
): () => void {
  const prototype = owner.prototype as Record<string, unknown>;
  const held: Wrapping[] = [];
  for (const { method, callback } of methods) {
    let wrapping = wrappings.get(callback);
    // Another application may have put it there; a base class's is not that of the class which inherits it.
    if (wrapping?.owner !== owner) {
      const own = Object.getOwnPropertyDescriptor(prototype, method);
      const replacement = wrap(owner, method, callback);
      Object.defineProperty(prototype, method, { ...own, value: replacement, writable: true, configurable: true });
      const restore = (): void => {
        if (Object.getOwnPropertyDescriptor(prototype, method)?.value !== replacement) return;
        if (own === undefined) Reflect.deleteProperty(prototype, method);
        else Object.defineProperty(prototype, method, own);
      };
      wrapping = { owner, holders: 0, restore };
      wrappings.set(replacement, wrapping);
    }
    wrapping.holders += 1;
    held.push(wrapping);
  }
  return () => {
    for (const wrapping of held.splice(0)) {
      wrapping.holders -= 1;
      if (wrapping.holders === 0) wrapping.restore();
    }
  };
}

/** One wrapped method and how many applications want it. */
interface Wrapping {
  readonly owner: Function;
  holders: number;
  restore(): void;
}

const wrappings = new WeakMap<Function, Wrapping>();
