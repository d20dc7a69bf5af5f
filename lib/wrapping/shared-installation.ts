/** Installs a hook once for several applications. The last application that releases it removes it. */
import { type Method, replaceMethod, type Undo, undoAll } from './replace-method.js';

/** An installed hook. A subtype adds the data that its users need. */
interface Installation {
  readonly undo: Undo;
}

interface Use<I extends Installation> {
  readonly installation: I;
  readonly release: Undo;
}

class Shared<I extends Installation> {
  private installation: I | undefined;
  private users = 0;

  use(install: () => I, onUnused?: Undo): Use<I> {
    const installation = (this.installation ??= install());
    this.users += 1;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      this.users -= 1;
      if (this.users > 0) return;
      this.installation = undefined;
      onUnused?.();
      installation.undo();
    };
    return { installation, release };
  }
}

/**
 * Installs on `owner`, unless that is done already. With a registered symbol (`Symbol.for()`) as `key`, all copies of this library share
 * the installation. With any other symbol, each copy has its own. @internal
 */
export function share<I extends Installation>(owner: object, key: symbol, install: () => I): Use<I> {
  let shared = Object.getOwnPropertyDescriptor(owner, key)?.value as Shared<I> | undefined;
  if (shared === undefined) {
    shared = new Shared();
    Object.defineProperty(owner, key, { value: shared, configurable: true });
  }
  return shared.use(install, () => Reflect.deleteProperty(owner, key));
}

/** Does what {@link share} does, for an installation without data. Returns how to release it. @internal */
export function installOnce(owner: object, key: symbol, install: () => Undo): Undo {
  return share(owner, key, () => ({ undo: install() })).release;
}

/** Shared replacements of methods, by the replacing function. */
const replaced = new WeakMap<Function, { readonly owner: object; readonly shared: Shared<Installation> }>();

/** Replaces methods on the prototype of a class, once for all applications. Returns how to release them. @internal */
export function replaceOnPrototype(classRef: Function, methods: readonly string[], wrap: (method: Method, name: string) => Method): Undo {
  return undoAll(methods.map(name => replaceOnce(classRef.prototype as object, name, method => wrap(method, name))));
}

/** Replaces one own method of a prototype or class, once for all applications. Returns how to release it. @internal */
export function replaceOnce(owner: object, name: string, wrap: (method: Method) => Method): Undo {
  const current: unknown = Object.getOwnPropertyDescriptor(owner, name)?.value;
  const known = typeof current === 'function' ? replaced.get(current) : undefined;
  // A mixin may have copied the replacement to another class. There it needs a replacement of its own.
  const shared = known?.owner === owner ? known.shared : new Shared<Installation>();
  const install = (): Undo =>
    replaceMethod(owner, name, method => {
      const replacement = wrap(method);
      replaced.set(replacement, { owner, shared });
      return replacement;
    });
  return shared.use(() => ({ undo: install() })).release;
}

/** Installs once on each of many instances. Does not keep the instances in memory. @internal */
export class Installations {
  private readonly steps = new WeakMap<object, Undo>();
  private readonly instances = new Set<WeakRef<object>>();
  private readonly collected = new FinalizationRegistry<WeakRef<object>>(instance => this.instances.delete(instance));

  add(instance: object, install: () => Undo): void {
    if (this.steps.has(instance)) return;
    this.steps.set(instance, install());
    const reference = new WeakRef(instance);
    this.instances.add(reference);
    this.collected.register(instance, reference);
  }

  readonly undo: Undo = () => {
    const instances = [...this.instances].flatMap(reference => reference.deref() ?? []);
    this.instances.clear();
    undoAll(instances.map(instance => () => this.steps.get(instance)?.()))();
  };
}

const kept = new WeakSet();

/** Installs on an object of the user, once, and never undoes it. @internal */
export function installForGood<Owner extends object>(owner: Owner, install: (owner: Owner) => unknown): Owner {
  if (!kept.has(owner)) {
    install(owner);
    kept.add(owner);
  }
  return owner;
}
