/** What this folder needs to know of one database library. */
import type { Undo } from '../../wrapping/replace-method.js';

/** @internal */
export interface DatabaseLibrary {
  /** The name of the package. */
  readonly name: string;
  /**
   * Returns the object to trace: `value` itself, or one that it holds. Returns undefined if `value` is of another library.
   * Called with what it has returned, it returns the same object.
   */
  find?(value: object): object | undefined;
  /** Traces an object that {@link find} has returned. It is called once for each object. `trace` traces an object of another library. */
  install?(target: object, trace: Trace): Undo;
  /** Listens to the library's channels, once for all applications. Returns how to undo it. */
  listen?(): Undo;
}

/** Traces an object if it belongs to a known library. Returns how to undo it. @internal */
export type Trace = (value: unknown) => Undo;
