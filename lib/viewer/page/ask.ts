/** Asks the server, as model/wire.ts has settled it. */

/** The answer below `/api/`; `undefined` where there is none. Rejects where nobody answers. */
export async function ask<T>(path: string): Promise<T | undefined> {
  const response = await fetch(`/api/${path}`);
  return response.ok ? ((await response.json()) as T) : undefined;
}
