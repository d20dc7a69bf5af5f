/** The options of the transports, for the server and the client of each hop. */
import { join } from 'node:path';
import { type ClientProviderOptions, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { brokerOf, type Hop } from './hops.js';

const HOST = '127.0.0.1';

/** Returns the options for `connectMicroservice()` and, with a name, for `ClientsModule.register()`. */
export function transportOf(hop: Hop): MicroserviceOptions | undefined {
  const broker = brokerOf(hop) ?? '';
  switch (hop) {
    case 'tcp':
      return { transport: Transport.TCP, options: { host: HOST, port: Number(process.env.TCP_PORT ?? 4001) } };
    case 'grpc':
      return {
        transport: Transport.GRPC,
        options: {
          url: `${HOST}:${process.env.GRPC_PORT ?? 4002}`,
          package: 'parcels',
          protoPath: join(import.meta.dirname, '../../03-every-transport/parcel.proto'),
        },
      };
    case 'redis':
      return { transport: Transport.REDIS, options: { host: new URL(broker).hostname, port: Number(new URL(broker).port) } };
    case 'nats':
      return { transport: Transport.NATS, options: { servers: [broker] } };
    case 'rabbitmq':
      return { transport: Transport.RMQ, options: { urls: [broker], queue: 'parcels' } };
    case 'kafka':
      return { transport: Transport.KAFKA, options: { client: { brokers: [broker] }, consumer: { groupId: 'stations' } } };
    case 'mqtt':
      return { transport: Transport.MQTT, options: { url: broker, protocolVersion: 5 } };
    default:
      return undefined;
  }
}

/** Returns the clients of these hops for `ClientsModule.register()`, each with the name of its hop. */
export function clientsOf(wanted: readonly Hop[]): ClientProviderOptions[] {
  return wanted.flatMap(hop => {
    const transport = transportOf(hop);
    return transport === undefined ? [] : [{ name: hop, ...transport } as ClientProviderOptions];
  });
}
