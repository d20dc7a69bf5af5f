/** Finds free ports of the loopback interface. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * The operating system gives higher ports to outgoing connections and to servers that ask for port 0. One of these could be taken between
 * the search and the start of the server.
 */
const [LOWEST, HIGHEST] = [10_000, 32_000];
const ATTEMPTS = 20;

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(LOWEST, HIGHEST);
    if (await isFree(port)) return port;
  }
  throw new Error(`None of ${ATTEMPTS} ports between ${LOWEST} and ${HIGHEST} is free`);
}

/** Returns an environment with a different free port for each of `variables`. */
export async function freePorts(variables: readonly string[] = []): Promise<Record<string, string>> {
  const ports = new Set<number>();
  while (ports.size < variables.length) ports.add(await freePort());
  return Object.fromEntries([...ports].map((port, index) => [variables[index], String(port)]));
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return false;
  }
  await once(probe.close(), 'close');
  return true;
}
