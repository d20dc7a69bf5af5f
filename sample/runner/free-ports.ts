/** Ports of the loopback interface that nobody listens on, for servers that must be told theirs. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** One of them. */
export async function freePort(): Promise<number> {
  const { port } = await freePorts(['port']);
  return Number(port);
}

/** An environment that gives each of `variables` another port. */
export async function freePorts(variables: readonly string[] = []): Promise<Record<string, string>> {
  const probes = variables.map(() => createServer().listen(0, '127.0.0.1'));
  await Promise.all(probes.map(probe => once(probe, 'listening')));
  const ports = probes.map(probe => (probe.address() as AddressInfo).port);
  await Promise.all(probes.map(probe => once(probe.close(), 'close')));
  return Object.fromEntries(variables.map((variable, index) => [variable, String(ports[index])]));
}
