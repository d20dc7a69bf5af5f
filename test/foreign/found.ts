/** What a spec needs and a machine may lack: where it is missing, the specs that need it are skipped, and one line says why. */

/** Something made ready on this machine, or why that cannot be. */
export type Found<T> = { readonly thing: T } | { readonly missing: string };

/** `it` for specs of `what`; theirs is what was found. */
export function specsWith<T>(what: string, found: Found<T>) {
  if ('thing' in found) {
    const { thing } = found;
    return (title: string, spec: (thing: T) => Promise<void>, timeoutMs?: number): void => {
      it(title, () => spec(thing), timeoutMs);
    };
  }
  process.stderr.write(`SKIPPED ${what}: ${found.missing}\n`);
  const skipped = it.skip; // The machine lacks what the specs need; the line above says what.
  return (title: string, _spec: (thing: T) => Promise<void>, _timeoutMs?: number): void => skipped(`${title} (${found.missing})`, () => {});
}
