/** Returns the class that a call of a method belongs to. Reads only `constructor`, and the name of a class. */

/** Returns the class of an instance, or the class itself for a static method. @internal */
export function classOf(self: unknown): object | undefined {
  if (typeof self === 'function') return self;
  if (typeof self !== 'object' || self === null) return undefined;
  const owner: unknown = self.constructor;
  return typeof owner === 'function' ? owner : undefined;
}

/** Returns an empty string for a class without a name, or whose static `name` is not a string. @internal */
export function nameOf(classRef: Function): string {
  const name: unknown = classRef.name;
  return typeof name === 'string' ? name : '';
}
