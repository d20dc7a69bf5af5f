/** Sees what a Nest provider makes again and again: an instance per request, per consumer, or per call of `resolve()`. */
import type { ModulesContainer } from '@nestjs/core';

type Module = ModulesContainer extends Map<string, infer M> ? M : never;
/** What Nest keeps about one provider. */
export type ProviderWrapper = Module['providers'] extends Map<unknown, infer W> ? W : never;

type Factory = (this: unknown, ...dependencies: unknown[]) => unknown;

/**
 * Calls `onMade` with each instance that the provider makes from now on, before anybody else has it; `onMade` must not throw. Classes are
 * watched where `isWanted` says so. Returns what ends it.
 */
export function watchProvider(
  wrapper: ProviderWrapper,
  isWanted: (prototype: unknown) => boolean,
  onMade: (made: unknown) => void,
): () => void {
  const { metatype } = wrapper;
  if (typeof metatype !== 'function') return () => undefined;
  if (!wrapper.isFactory && !isWanted(metatype.prototype)) return () => undefined;
  const watched = wrapper.isFactory ? watchedFactory(metatype as Factory, onMade) : watchedClass(metatype, onMade);
  wrapper.metatype = watched;
  return () => {
    if (wrapper.metatype === watched) wrapper.metatype = metatype;
  };
}

function watchedFactory(factory: Factory, onMade: (made: unknown) => void): Factory {
  return function (this: unknown, ...dependencies) {
    const made = Reflect.apply(factory, this, dependencies);
    if (made instanceof Promise) {
      return made.then((value: unknown) => {
        onMade(value);
        return value;
      });
    }
    onMade(made);
    return made;
  };
}

/** Its instances are those of the original class; Nest finds the metadata of that along the prototype chain. */
function watchedClass(original: Function, onMade: (made: unknown) => void): Function {
  const watched = function (...dependencies: unknown[]): unknown {
    const made: unknown = Reflect.construct(original, dependencies);
    onMade(made);
    return made;
  };
  Object.setPrototypeOf(watched, original);
  Object.defineProperty(watched, 'name', { value: original.name, configurable: true });
  Object.defineProperty(watched, 'prototype', { value: original.prototype as object });
  return watched;
}
