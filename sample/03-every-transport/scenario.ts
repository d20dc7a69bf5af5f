/** The scenario of the parcel: one request, and its one trace through every transport. */
import { startBrokers } from '../brokers/start.js';
import type { Scenario } from '../runner/scenario.js';
import { type Hop, hopsIn } from './hops.js';

/** The spans of each hop, from sender to receiver. The last one is the parent of the next hop. */
const SPANS: Readonly<Record<Hop, readonly string[]>> = {
  tcp: ['parcel.tcp (client)', 'stations: parcel.tcp (server)'],
  grpc: ['parcels.Station/Pass (client)', 'parcels.Station/Pass (server)'],
  redis: ['publish parcel.redis (producer)', 'process parcel.redis (consumer)'],
  nats: ['publish parcel.nats (producer)', 'process parcel.nats (consumer)'],
  rabbitmq: ['publish parcel.rabbitmq (producer)', 'consume parcel.rabbitmq (consumer)'],
  kafka: ['send parcel.kafka (producer)', 'process parcel.kafka (consumer)'],
  mqtt: ['publish parcel/mqtt (producer)', 'process parcel/mqtt (consumer)'],
  bullmq: ['send parcels (producer)', 'process parcels (consumer)'],
  websocket: ['gateway: message parcel.arrived (server)'],
};

export const everyTransport: Scenario = {
  folder: '03-every-transport',
  ports: ['TCP_PORT', 'GRPC_PORT'],
  services: [{ name: 'gateway' }, { name: 'stations', calls: { GATEWAY_URL: 'gateway' } }],
  entrance: 'gateway',
  surroundings: startBrokers,
  requests(env) {
    const hops = hopsIn(env);
    const spans = ['gateway: GET /parcels/:id (server)', ...hops.flatMap(hop => SPANS[hop])];
    return [
      {
        title: `A parcel takes ${hops.length} hops`,
        path: '/parcels/7',
        status: 200,
        tree: spans.map((span, depth) => '  '.repeat(depth) + span).join('\n'),
      },
    ];
  },
};
