/** Headers as `metadata` of the JSON envelope: Nest reads it from 12.0.4 on, this library on every version, and all others pass it over. */
import { replaceMethod, undoAll } from '../local/replace-method.js';
import type { ClientProxy } from './client-transport.js';
import { outgoingHeaders } from './departure.js';

interface Packet {
  metadata?: unknown;
}

/** Puts the headers of the active context on every message of a client; returns what ends it. */
export function carryInEnvelope(client: ClientProxy): () => void {
  return undoAll(
    ['publish', 'dispatchEvent'].map(name =>
      replaceMethod(client, name, send => {
        return function (packet, ...rest) {
          return send.call(this, stamped(packet), ...rest);
        };
      }),
    ),
  );
}

/** The packet, with the headers of the active context. */
export function stamped(packet: unknown): unknown {
  if (typeof packet !== 'object' || packet === null) return packet;
  const { metadata } = packet as Packet;
  const existing = typeof metadata === 'object' && metadata !== null ? metadata : undefined;
  const headers = outgoingHeaders(existing);
  if (headers !== undefined) (packet as Packet).metadata = { ...existing, ...headers };
  return packet;
}
