/**
 * What spans of WebSocket gateways are called and carry. No convention exists for them: a message that a handler may answer is described as
 * a call (semantic conventions for RPC), in the way that they prescribe for systems of their own.
 */
import type { Attributes } from '@opentelemetry/api';
import { rpcAttributes } from './rpc.js';

/** Who connected, as far as the server says it. */
export interface SocketClient {
  readonly address?: string | undefined;
  readonly userAgent?: string | undefined;
}

/** `message {event}`: events are declared in the code, so there are few. */
export function socketMessageName(event: string): string {
  return `message ${event}`;
}

/** `connect {place}` or `disconnect {place}`: the namespace or path, unless it is one of many. */
export function socketChangeName(change: 'connect' | 'disconnect', place: string | undefined): string {
  return place === undefined ? change : `${change} ${place}`;
}

/** Attributes of a message. */
export function socketMessageAttributes(system: string, event: string, place: string): Attributes {
  return { ...rpcAttributes(system, event, undefined), 'nestjs.websocket.place': place };
}

/** Attributes of a client's coming and going. */
export function socketChangeAttributes(system: string, place: string, { address, userAgent }: SocketClient): Attributes {
  const attributes: Attributes = { 'rpc.system.name': system, 'nestjs.websocket.place': place };
  if (address !== undefined) attributes['client.address'] = address;
  if (userAgent !== undefined) attributes['user_agent.original'] = userAgent;
  return attributes;
}
