/** Reads the peer of a connection once: the getters of a socket are system calls, and a closed socket has no peer. */
import type { Attributes } from '@opentelemetry/api';

const PEER = Symbol.for('nestjs-tracing/peer');

export interface PeerSocket {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly encrypted?: boolean;
  readonly connecting?: boolean;
  [PEER]?: Peer;
}

export interface Peer {
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly scheme: 'http' | 'https';
}

const noPeer: Peer = { address: undefined, port: undefined, scheme: 'http' };

/** Returns the peer. It is stored on the socket, because a WeakMap would be slower. */
export function peerOf(socket: PeerSocket | null | undefined): Peer {
  if (socket === null || socket === undefined) return noPeer;
  return socket[PEER] ?? askPeer(socket);
}

function askPeer(socket: PeerSocket): Peer {
  const peer: Peer = { address: socket.remoteAddress, port: socket.remotePort, scheme: socket.encrypted ? 'https' : 'http' };
  if (socket.connecting !== true) Reflect.set(socket, PEER, peer);
  return peer;
}

/** Adds `network.peer.*` if `connection` is a socket that knows its peer. WebSockets, for example, do not. */
export function addPeer(attributes: Attributes, connection: unknown): void {
  if (typeof connection !== 'object' || connection === null) return;
  const { address, port } = peerOf(connection);
  if (typeof address !== 'string' || address === '') return;
  attributes['network.peer.address'] = address;
  if (typeof port === 'number') attributes['network.peer.port'] = port;
}

/** Returns the value at a path of properties, or undefined. Libraries keep their sockets in untyped members. */
export function memberAt(owner: unknown, ...path: readonly string[]): unknown {
  let member = owner;
  for (const name of path) {
    if (typeof member !== 'object' || member === null) return undefined;
    member = Reflect.get(member, name);
  }
  return member;
}
