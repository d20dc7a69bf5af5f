/** Nest's transports as the specs of this folder run over them: what a server and a client need to find each other. */
import { createServer } from 'node:net';
import { type ClientOptions, type MicroserviceOptions, Transport } from '@nestjs/microservices';

export interface TestTransport {
  readonly name: string;
  /** `messaging.system.name` or `rpc.system.name`. */
  readonly system: string;
  readonly protocol: 'rpc' | 'messaging';
  /** What is put before the destination in the names of sending and handling spans; nothing for calls. */
  readonly sending: string;
  readonly handling: string;
  /** Settings of one pair of server and client, unlike those of any other. */
  prepare(): Promise<Pair>;
}

export interface Pair {
  readonly server: MicroserviceOptions;
  readonly client: ClientOptions;
}

export const tcp: TestTransport = {
  name: 'TCP',
  system: 'nestjs.tcp',
  protocol: 'rpc',
  sending: '',
  handling: '',
  async prepare() {
    const options = { host: '127.0.0.1', port: await freePort() };
    return { server: { transport: Transport.TCP, options }, client: { transport: Transport.TCP, options } };
  },
};

/** Those that can run here; a broker that is missing is said once. */
export const transports: readonly TestTransport[] = [tcp];

/** A port of the loopback interface that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
