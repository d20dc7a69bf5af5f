/**
 * Names and attributes of the spans of WebSocket gateways. OpenTelemetry has no conventions for them. A message is described as a call
 * (semantic conventions for RPC, custom system), because its handler may answer.
 */
import type { Attributes } from '@opentelemetry/api';
import { rpcAttributes } from '../../conventions/rpc.js';

/** The client, as far as the server knows it. */
export interface SocketClient {
  readonly address?: string | undefined;
  readonly userAgent?: string | undefined;
}

/** `message {event}`: events are declared in the code, so there are few. */
export function socketMessageName(event: string): string {
  return `message ${event}`;
}

/** `connect {place}` or `disconnect {place}`: the namespace or path, if it has low cardinality. */
export function socketChangeName(change: 'connect' | 'disconnect', place: string | undefined): string {
  return place === undefined ? change : `${change} ${place}`;
}

export function socketMessageAttributes(system: string, event: string, place: string): Attributes {
  return { ...rpcAttributes(system, event, undefined), 'nestjs.websocket.place': place };
}

export function socketChangeAttributes(system: string, place: string, { address, userAgent }: SocketClient): Attributes {
  const attributes: Attributes = { 'rpc.system.name': system, 'nestjs.websocket.place': place };
  if (address !== undefined) attributes['client.address'] = address;
  if (userAgent !== undefined) attributes['user_agent.original'] = userAgent;
  return attributes;
}
