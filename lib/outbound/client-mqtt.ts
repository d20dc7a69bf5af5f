/** Messages over MQTT: headers are user properties in MQTT 5; before that messages have none, and the envelope takes them. */
import { context } from '@opentelemetry/api';
import { serverAddressOf } from '../conventions/rpc.js';
import { replaceMethod, undoAll } from '../local/replace-method.js';
import { stamped } from './client-envelope.js';
import { type ClientProxy, type ClientTransport, hasMembers } from './client-transport.js';
import { outgoingHeaders } from './departure.js';

export const mqtt: ClientTransport = {
  system: 'mqtt',
  protocol: 'messaging',
  operation: 'publish',
  serverOf: client => serverAddressOf(Reflect.get(client, 'url'), 1883),
  carry: client => undoAll([carryInUserProperties(client), carryOrBind(client)]),
};

export function isMqtt(client: object): boolean {
  return hasMembers(client, 'mqttClient', 'mergePacketOptions');
}

/** Of the package `mqtt`, as far as it matters here. */
interface MqttConnection {
  readonly options?: { readonly protocolVersion?: unknown };
}

interface PacketOptions {
  readonly properties?: { readonly userProperties?: object };
}

function hasUserProperties(client: ClientProxy): boolean {
  const connection = Reflect.get(client, 'mqttClient') as MqttConnection | null;
  return (connection?.options ?? client.options)?.['protocolVersion'] === 5;
}

function carryInUserProperties(client: ClientProxy): () => void {
  return replaceMethod(client, 'mergePacketOptions', mergePacketOptions => {
    return function (given) {
      const merged = mergePacketOptions.call(this, given) as PacketOptions | undefined;
      if (!hasUserProperties(client)) return merged;
      const existing = merged?.properties?.userProperties;
      const headers = outgoingHeaders(existing);
      if (headers === undefined) return merged;
      return { ...merged, properties: { ...merged?.properties, userProperties: { ...existing, ...headers } } };
    };
  });
}

function carryOrBind(client: ClientProxy): () => void {
  const bound = new WeakMap<object, () => void>();
  const connection = (): object | null => Reflect.get(client, 'mqttClient') as object | null;
  return undoAll([
    () => {
      const current = connection();
      if (current !== null) bound.get(current)?.();
    },
    ...['publish', 'dispatchEvent'].map(name =>
      replaceMethod(client, name, send => {
        return function (packet, ...rest) {
          const current = connection();
          if (!hasUserProperties(client)) return send.call(this, stamped(packet), ...rest);
          if (current !== null && !bound.has(current)) bound.set(current, bindSubscribing(current));
          return send.call(this, packet, ...rest);
        };
      }),
    ),
  ]);
}

/** A request is published when the broker has confirmed the subscription to its answer: that is still the request's context. */
function bindSubscribing(connection: object): () => void {
  return replaceMethod(connection, 'subscribe', subscribe => {
    return function (...args) {
      const ctx = context.active();
      return subscribe.apply(
        this,
        args.map(arg => (typeof arg === 'function' ? context.bind(ctx, arg) : arg)),
      );
    };
  });
}
