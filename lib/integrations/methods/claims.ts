/** Notes which methods of an application are wrapped already, so that a method that is found in two ways is wrapped once. */
export class Claims {
  private readonly claimed = new WeakMap<object, Set<string>>();

  /** Returns true for the first caller. */
  claim(target: object, name: string): boolean {
    const names = this.claimed.get(target);
    if (names?.has(name) === true) return false;
    if (names === undefined) this.claimed.set(target, new Set([name]));
    else names.add(name);
    return true;
  }
}
