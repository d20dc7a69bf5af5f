/** Starts real database servers for the specs of this folder, each at its first use. They are stopped after the spec file. */
import { Broker, type BrokerKind } from '../../../sample/brokers/broker.js';

export { describeWith } from '../queue-application.js';
export { ferretdb } from './ferretdb.js';
export { mariadb } from './mariadb.js';
export { postgres } from './postgres.js';
export { redis } from '../../../sample/brokers/redis.js';

const servers = new Map<BrokerKind, Promise<Broker>>();

/** Starts the server if it is not running. All specs of a file share it. */
export function serverOf(kind: BrokerKind): Promise<Broker> {
  const server = servers.get(kind) ?? Broker.start(kind);
  servers.set(kind, server);
  return server;
}

afterAll(async () => {
  await Promise.all([...servers.values()].map(server => server.then(running => running.stop())));
  servers.clear();
});
